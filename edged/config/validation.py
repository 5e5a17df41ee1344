"""Finds settings that are each permitted but don't fit together, before anything is opened or connected. Pure.

A contradiction keeps edged from working; a caution is about settings that are merely unwise.
"""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from edged.config.options import toml, toml_key
from edged.config.settings import Settings
from edged.model.urls import is_host, is_local_host, may_be_secret, without_secrets


class Finding(NamedTuple):
    """A contradiction: one line for people, and the options (`section.key`) that it is about."""

    options: tuple[str, ...]
    text: str


def find_contradictions(settings: Settings, ignore: Collection[str] = ()) -> list[Finding]:
    """Find contradictions, except those about an option in `ignore`. Their text contains nothing secret."""
    finders = (_capture, _url, _models, _query, _times, _transcripts, _paths)
    return [finding for find in finders for finding in find(settings) if not set(finding.options) & set(ignore)]


def find_cautions(settings: Settings) -> list[str]:
    """Find settings that work, but probably not as intended; one line each."""
    return list(_cautions(settings))


def _capture(settings: Settings) -> Iterator[Finding]:
    capture = settings.capture
    if capture.channel >= capture.channels:
        yield Finding(
            ("capture.channel", "capture.channels"),
            f"[capture] channel = {capture.channel} does not exist with channels = {capture.channels}: "
            f"channels are numbered from 0, so channel may be at most {capture.channels - 1}",
        )
    if capture.source == "wav" and capture.path is None:
        yield Finding(("capture.source", "capture.path"), '[capture] source = "wav" needs path: the recording to play')
    if capture.buffer_ms < 2 * capture.period_ms:
        yield Finding(
            ("capture.buffer_ms", "capture.period_ms"),
            f"[capture] buffer_ms = {capture.buffer_ms} is too short for period_ms = {capture.period_ms}: "
            f"ALSA fills one period while another is read, so at least {2 * capture.period_ms}",
        )


SCHEMES = {"https": "wss", "http": "ws"}
"""WebSocket schemes for the HTTP schemes that people paste."""


def _url(settings: Settings) -> Iterator[Finding]:
    url = settings.deepgram.url
    shown = f"[deepgram] url = {toml(without_secrets(url))}"

    def finding(text: str, *more: str) -> Finding:
        return Finding(("deepgram.url", *more), f"{shown} {text}")

    if any(c.isspace() or not c.isprintable() for c in url):
        yield finding("contains a space or a control character")
        return
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        yield finding("is not a URL: its host or port can't be read")
        return
    if "://" not in url:
        rest = re.sub(r"^((wss?|https?):|(wss?|https?)?(?=/))/*", "", url)
        meant = ("ws://" if is_local_host(f"ws://{rest}") else "wss://") + rest
        yield finding(f"has no scheme: did you mean {_suggested(meant)}?")
        return
    if parts.scheme not in SCHEMES.values():
        meant = f"{SCHEMES.get(parts.scheme, 'wss')}://{url.partition('://')[2]}"
        yield finding(f"must begin with wss:// (or ws://): did you mean {_suggested(meant)}?")
    if not parts.hostname or port == 0:
        yield finding("names no host to connect to")
    elif not is_host(parts.hostname):
        yield finding(
            "names an impossible host: between its dots a part is empty, longer than 63 characters, or has a "
            "character that no name can have"
        )
    if "@" in parts.netloc:
        yield finding("contains a user or password: the key belongs in deepgram.api_key_file, never in a URL")
    if "#" in url:
        yield finding("contains a fragment (#...), which a WebSocket can't have")
    for name in dict.fromkeys(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        if why := _why_not_own(name):
            yield finding(f"sets {toml_key(name)} in its query: {why}")
    if parts.path.rstrip("/").endswith("/v2/listen"):
        yield finding("is the Flux protocol, which edged does not speak: use .../v1/listen and a nova model")
    if parts.scheme == "ws" and not is_local_host(url) and not settings.deepgram.allow_plaintext:
        yield finding(
            "sends the key and the speech to another machine without encryption: use wss://, or set "
            "allow_plaintext = true",
            "deepgram.allow_plaintext",
        )


def _suggested(url: str) -> str:
    """Return a URL to write into the settings: complete, but without what may be secret."""
    host, _, path = url.partition("://")[2].partition("/")
    return toml(without_secrets(url if path or "?" in host else f"{url.removesuffix('/')}/v1/listen"))


OWN_PARAMETERS = {
    "model": "use deepgram.model",
    "language": "use deepgram.language",
    "encoding": "use deepgram.encoding",
    "sample_rate": "use capture.rate",
    "channels": "edged sends the one channel that capture.channel names",
    "multichannel": "edged sends the one channel that capture.channel names",
    "endpointing": "use deepgram.endpointing_ms",
    "interim_results": "use deepgram.interim_results",
    "utterance_end_ms": "use deepgram.utterance_end_ms",
    "smart_format": "use deepgram.smart_format",
    "diarize": "use deepgram.diarize",
    "keyterm": "use deepgram.keyterms",
    "keywords": "use deepgram.keywords",
    "callback": "results would go there instead of to edged",
}
"""Query parameters that edged sends itself, with advice: in `[deepgram.options]` they would be sent twice."""


def _why_not_own(name: str) -> str | None:
    """Return why a query parameter can't be set by the user, or None. Its value is not shown then."""
    if may_be_secret(name):
        return "a key never goes into the settings: use deepgram.api_key_file"
    return OWN_PARAMETERS.get(name.lower())


def _query(settings: Settings) -> Iterator[Finding]:
    for name in settings.deepgram.options:
        if why := _why_not_own(name):
            yield Finding(
                ("deepgram.options", f"deepgram.options.{name}"), f"[deepgram.options] {toml_key(name)}: {why}"
            )


OLD_MODELS = re.compile(r"(nova-2|enhanced|base|whisper)(-.*)?|nova(-[a-z]+)?")
"""Models before nova-3 with their variants (`nova-2-meeting`, `whisper-large`). Unknown models are accepted."""


def _models(settings: Settings) -> Iterator[Finding]:
    deepgram = settings.deepgram
    model = deepgram.model.lower()
    shown = f"[deepgram] model = {toml(deepgram.model)}"
    if model.startswith("flux"):
        yield Finding(
            ("deepgram.model",),
            f"{shown} needs the protocol of /v2/listen, which edged does not speak: use a nova model",
        )
    if deepgram.keyterms and OLD_MODELS.fullmatch(model):
        yield Finding(
            ("deepgram.model", "deepgram.keyterms"), f"{shown} does not take keyterms: use keywords, or nova-3"
        )
    if deepgram.keywords and model.startswith("nova-3"):
        yield Finding(("deepgram.model", "deepgram.keywords"), f"{shown} does not take keywords: use keyterms")
    if deepgram.utterance_end_ms and not deepgram.interim_results:
        yield Finding(
            ("deepgram.utterance_end_ms", "deepgram.interim_results"),
            f"[deepgram] utterance_end_ms = {deepgram.utterance_end_ms} needs interim_results = true: "
            "the server looks for the gap in interim results (utterance_end_ms = false goes without)",
        )


def _times(settings: Settings) -> Iterator[Finding]:
    deepgram, replay = settings.deepgram, settings.replay
    for section, less, more, why in (
        ("deepgram", "prime_s", "prime_max_s", "it is part of that"),
        ("reconnect", "initial_s", "max_s", "waits grow from the one to the other"),
        ("gate", "stays_at", "opens_at", "the gate would shut as soon as it opens"),
    ):
        values = getattr(settings, section)
        low, high = getattr(values, less), getattr(values, more)
        if low > high:
            yield Finding(
                (f"{section}.{less}", f"{section}.{more}"),
                f"[{section}] {less} = {low:.10g} is more than {more} = {high:.10g}: {why}",
            )
    if deepgram.stall_s >= deepgram.inflight_s:
        yield Finding(
            ("deepgram.stall_s", "deepgram.inflight_s"),
            f"[deepgram] stall_s = {deepgram.stall_s:.10g} must be less than inflight_s = {deepgram.inflight_s:.10g}: "
            "sending pauses there, and edged would never detect a stall",
        )
    if deepgram.inflight_s > replay.max_s:
        yield Finding(
            ("deepgram.inflight_s", "replay.max_s"),
            f"[deepgram] inflight_s = {deepgram.inflight_s:.10g} is more than [replay] max_s = {replay.max_s:.10g}: "
            "audio would be dropped before it is transcribed",
        )


def _transcripts(settings: Settings) -> Iterator[Finding]:
    sinks = settings.transcripts.sinks
    for sink in dict.fromkeys(sinks):
        if sinks.count(sink) > 1:
            yield Finding(("transcripts.sinks",), f"[transcripts] sinks = {toml(sinks)} names {sink} twice")
    if settings.spool.directory == settings.spool.runtime_directory:
        yield Finding(
            ("spool.directory", "spool.runtime_directory"),
            f"[spool] directory and runtime_directory are both {toml(settings.spool.directory)}: "
            "the first must survive a reboot, the second must spare the disk",
        )


def used_paths(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of each path that these settings use."""
    capture, deepgram, spool, transcripts = settings.capture, settings.deepgram, settings.spool, settings.transcripts
    if capture.source == "wav" and capture.path:
        yield "capture", "path", capture.path
    if deepgram.api_key_file:
        yield "deepgram", "api_key_file", deepgram.api_key_file
    if deepgram.ca_file:
        yield "deepgram", "ca_file", deepgram.ca_file
    yield "spool", "directory", spool.directory
    yield "spool", "runtime_directory", spool.runtime_directory
    for sink in dict.fromkeys(transcripts.sinks):  # the options of a sink are a section of its own name
        if path := getattr(getattr(transcripts, sink, None), "path", None):
            yield f"transcripts.{sink}", "path", path


def _paths(settings: Settings) -> Iterator[Finding]:
    if "\0" in settings.capture.device:
        yield Finding(("capture.device",), "[capture] device contains a NUL, which a device name can't contain")
    for section, key, value in used_paths(settings):
        if "\0" in value:
            yield Finding((f"{section}.{key}",), f"[{section}] {key} contains a NUL, which a file name can't contain")
        elif value.startswith("~"):
            yield Finding(
                (f"{section}.{key}",),
                f"[{section}] {key} begins with ~, which only a shell expands: write the whole path",
            )


def _cautions(settings: Settings) -> Iterator[str]:
    capture, deepgram, transcripts = settings.capture, settings.deepgram, settings.transcripts
    if capture.path and capture.source == "alsa":
        yield '[capture] path is not used: source is "alsa"'
    if not transcripts.sinks:
        yield "[transcripts] sinks is empty: speech is transcribed and paid for, but written nowhere"
    if deepgram.url.startswith("ws:") and not is_local_host(deepgram.url) and deepgram.allow_plaintext:
        yield "[deepgram] url is ws://: anyone on the way can read the key and the speech"
    if deepgram.ca_file and deepgram.url.startswith("ws:"):
        yield "[deepgram] ca_file is not used: url is ws://"
    endpointing_ms, gate = deepgram.endpointing_ms, settings.gate
    silence_ms = gate.hangover_ms - min(gate.pre_roll_ms, gate.hangover_ms // 2)  # the rest of it is withheld
    if deepgram.finalize == "off" and gate.enabled and endpointing_ms > silence_ms:
        yield (
            f"[deepgram] endpointing_ms = {endpointing_ms} is longer than the {silence_ms} ms of silence that are sent "
            f'with [gate] hangover_ms = {gate.hangover_ms}: with finalize = "off" the server hears no utterance end'
        )
    for section, key, value in used_paths(settings):
        if not value.startswith("/") and key != "api_key_file":
            shown = f"[{section}] {key} = {toml(value)}"
            yield f"{shown} depends on the directory that edged is started in: write an absolute path"
