"""Deepgram's live protocol, version 1: the URL, the messages of both sides, and what a refusal or a close means.

Everything that is peculiar to this wire format is in this file, so that another can stand beside it. The facts come
from Deepgram's documentation and from traffic that others recorded; where sources disagree either answer is survived.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from edged.errors import Limited, Refused, Unreachable
from edged.settings import Deepgram
from edged.troubles import Trouble

KEEP_ALIVE: Final = '{"type":"KeepAlive"}'
"""As text: in a binary frame it would be taken for audio."""
FINALIZE: Final = '{"type":"Finalize"}'
CLOSE_STREAM: Final = '{"type":"CloseStream"}'

IDLE_LIMIT_S: Final = 12.0
"""The server closes a connection this long after our last message (documented as 10, measured as about 12)."""

MAX_MESSAGE_BYTES: Final = 1 << 20
"""No Results comes near this; a server that sends more is not what we think it is."""


UNKNOWN_WORD_S: Final = 0.5
"""A word whose end is unknown lasts no longer than this: few do, and its middle must lie in it."""


class Word(NamedTuple):
    """A word as it was heard; times are samples of stream time."""

    start: int
    end: int
    word: str
    text: str
    confidence: float
    speaker: int | None
    guessed: bool = False
    """Its end was not told."""


class Results(NamedTuple):
    """What the recogniser made of the window `[start, end)`, in samples of stream time."""

    start: int
    end: int
    words: list[Word]
    is_final: bool
    speech_final: bool
    from_finalize: bool
    confidence: float


class UtteranceEnd(NamedTuple):
    """A gap followed the word that ended at `last_word_end` (samples of stream time; negative if unknown)."""

    last_word_end: int


class Metadata(NamedTuple):
    """The end of the stream: asked for by CloseStream, or because the server is closing."""


class ServerError(NamedTuple):
    """The server complains; a close usually follows."""

    text: str


class Odd(NamedTuple):
    """A message that means nothing to us, to be noted once for each `kind`."""

    kind: str


Message = Results | UtteranceEnd | Metadata | ServerError | Odd


class _WireWord(msgspec.Struct):
    word: str = ""
    start: float = 0.0
    end: float = -1.0
    confidence: float = 0.0
    punctuated_word: str | None = None
    speaker: int | None = None


class _WireAlternative(msgspec.Struct):
    transcript: str = ""
    confidence: float = 0.0
    words: list[_WireWord] = []


class _WireChannel(msgspec.Struct):
    alternatives: list[_WireAlternative] = []


class _WireResults(msgspec.Struct):
    start: float
    duration: float
    channel: _WireChannel
    is_final: bool = False
    speech_final: bool = False
    from_finalize: bool = False


class _WireKind(msgspec.Struct):
    type: str = ""
    last_word_end: float = -1.0
    description: str = ""
    message: str = ""


_read_kind = msgspec.json.Decoder(_WireKind, strict=False).decode
_read_results = msgspec.json.Decoder(_WireResults, strict=False).decode
_QUIET_KINDS: Final = frozenset({"SpeechStarted"})


def parse(text: str | bytes, rate: int) -> Message | None:
    """Read one message of the server. Never raises; `None` for a kind that is known and not needed."""
    if isinstance(text, bytes):
        return Odd("a binary message")
    try:
        return _message(text, rate)
    except (msgspec.DecodeError, RecursionError):
        return Odd("text that is not JSON")
    except (OverflowError, ValueError):
        return Odd("a message with a time that is none")


def _message(text: str, rate: int) -> Message | None:
    """Like `parse`, but raises what its numbers and its JSON raise."""
    try:
        kind = _read_kind(text)
    except msgspec.ValidationError:
        kind = _WireKind(type=_salvaged_kind(text))
    match kind.type:
        case "Results":
            return _results(text, rate)
        case "UtteranceEnd":
            return UtteranceEnd(round(kind.last_word_end * rate))
        case "Metadata":
            return Metadata()
        case "Error":
            return ServerError(kind.description or kind.message or "no description")
        case known if known in _QUIET_KINDS:
            return None
        case "":
            return Odd("a message without a type")
        case other:
            return Odd(f"a message of type {other[:40]!r}")


def _salvaged_kind(text: str) -> str:
    message = msgspec.json.decode(text)
    kind = message.get("type") if isinstance(message, dict) else None
    return kind if isinstance(kind, str) else ""


def _results(text: str, rate: int) -> Message:
    try:
        wire = _read_results(text)
    except msgspec.ValidationError:
        # Some field is odd. A final that were dropped for that would lose its words: take what can be read.
        salvaged = _salvage(msgspec.json.decode(text))
        if salvaged is None:
            return Odd("a Results that can't be read")
        wire = salvaged
    best = wire.channel.alternatives[0] if wire.channel.alternatives else _WireAlternative()
    start, end = round(wire.start * rate), round((wire.start + max(0.0, wire.duration)) * rate)
    words = [
        Word(
            round(w.start * rate),
            round(w.end * rate) if w.end > w.start else -1,
            w.word,
            w.punctuated_word or w.word,
            w.confidence,
            w.speaker,
        )
        for w in best.words
        if w.word
    ]
    if not words and best.transcript.strip():
        words = _spread(best.transcript.split(), start, end, best.confidence)
    words = _with_ends(words, end, round(UNKNOWN_WORD_S * rate))
    return Results(start, end, words, wire.is_final, wire.speech_final, wire.from_finalize, best.confidence)


def _spread(texts: list[str], start: int, end: int, confidence: float) -> list[Word]:
    """A text without word times (compatible servers): its words share the window."""
    step = (end - start) / len(texts)
    return [
        Word(
            start + round(i * step), start + round((i + 1) * step), text.strip(".,;:!?").lower(), text, confidence, None
        )
        for i, text in enumerate(texts)
    ]


def _with_ends(words: list[Word], window_end: int, longest: int) -> list[Word]:
    """An unknown end (-1 on the wire) is where the next word starts, or where the window ends, if that is near.

    Otherwise the word would reach into silence, and be placed in a segment that it was not said in.
    """
    for i, word in enumerate(words):
        if word.end < 0:
            following = words[i + 1].start if i + 1 < len(words) else window_end
            words[i] = word._replace(end=max(word.start, min(following, word.start + longest)), guessed=True)
    return words


def _salvage(message: Any) -> _WireResults | None:
    """What can be read of a Results with odd fields; `None` without a usable window."""

    def number(value: Any, default: float) -> float:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    def table(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    def listed(value: Any) -> list[Any]:
        return value if isinstance(value, list) else []

    if not isinstance(message, dict):
        return None
    start, duration = number(message.get("start"), -1), number(message.get("duration"), -1)
    if start < 0 or duration < 0:
        return None
    best = table(next(iter(listed(table(message.get("channel")).get("alternatives"))), None))
    words = []
    for entry in map(table, listed(best.get("words"))):
        text = entry.get("punctuated_word")
        speaker = entry.get("speaker")
        words.append(
            _WireWord(
                word=str(entry.get("word") or ""),
                start=number(entry.get("start"), start),
                end=number(entry.get("end"), -1),
                confidence=number(entry.get("confidence"), 0),
                punctuated_word=text if isinstance(text, str) else None,
                speaker=speaker if isinstance(speaker, int) else None,
            )
        )
    transcript = best.get("transcript")
    return _WireResults(
        start=start,
        duration=duration,
        channel=_WireChannel(
            [
                _WireAlternative(
                    transcript if isinstance(transcript, str) else "", number(best.get("confidence"), 0), words
                )
            ]
        ),
        is_final=message.get("is_final") is True,
        speech_final=message.get("speech_final") is True,
        from_finalize=message.get("from_finalize") is True,
    )


def listen_url(settings: Deepgram, rate: int) -> str:
    """The URL to connect to, its query made from the settings. Booleans are lower case, lists repeat their name."""
    query: list[tuple[str, str]] = [
        ("model", settings.model),
        ("encoding", settings.encoding),
        ("sample_rate", str(rate)),
        ("channels", "1"),
        ("interim_results", _wire(settings.interim_results)),
        ("endpointing", _wire(settings.endpointing_ms)),
        ("smart_format", _wire(settings.smart_format)),
    ]
    if settings.language:
        query.append(("language", settings.language))
    if settings.utterance_end_ms and settings.interim_results:
        query.append(("utterance_end_ms", str(settings.utterance_end_ms)))
    if settings.diarize:
        query.append(("diarize", "true"))
    query += [("keyterm", term) for term in settings.keyterms]
    query += [("keywords", word) for word in settings.keywords]
    for name, value in settings.options.items():
        query += [(name, _wire(v)) for v in (value if isinstance(value, list) else [value])]
    parts = urlsplit(settings.url)
    return urlunsplit(
        (
            parts.scheme,
            parts.netloc,
            parts.path or "/v1/listen",
            "&".join(filter(None, [parts.query, urlencode(query)])),
            "",
        )
    )


def _wire(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


RETRIED_STATUSES: Final = frozenset({408, 425, 429})
"""Refusals that pass by themselves; 5xx do too."""
NETWORK_AUTHENTICATION_REQUIRED: Final = 511
"""RFC 6585: for login pages only."""


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, key_origin: str | None = None
) -> Refused | Unreachable:
    """What a refused handshake means for us. The text names the server's own words, and where our key is from."""
    said = _said(headers, body)
    request_id = headers.get("dg-request-id")
    where = f" (request {request_id})" if request_id else ""
    if _is_a_page(status, headers):
        return Unreachable(
            f"a web page answered instead of the recogniser (HTTP {status}): a captive portal or a proxy? "
            "Log in to the network, or check deepgram.url"
        ).known_as(Trouble.PORTAL)
    if status in RETRIED_STATUSES or status >= 500:
        kind = Limited if status == 429 else Unreachable
        return kind(f"the server can't take us now: HTTP {status}{said}{where}", retry_after_s=_retry_after_s(headers))
    advice = {
        400: "check the parameters in [deepgram]",
        401: f"the key from {key_origin} is wrong" if key_origin else "no key was given",
        402: "no credit is left",
        403: "the key may not use this model",
        404: "check deepgram.url and deepgram.model",
        405: "check deepgram.url and deepgram.model",
    }.get(status, "check [deepgram]")
    refused = Refused(f"refused by the server: HTTP {status}: {advice}{said}{where}")
    return refused if status != 401 else refused.known_as(Trouble.KEY_REFUSED if key_origin else Trouble.KEY_ABSENT)


def _is_a_page(status: int, headers: Mapping[str, str]) -> bool:
    """Whether something between answers in the server's place: a login page, or a filter's.

    The recogniser answers with 101 or an error, in JSON. 401 is about a key, whoever says it in front of a server of
    one's own.
    """
    if status < 400 or status == NETWORK_AUTHENTICATION_REQUIRED:
        return True
    ours = any(name.startswith("dg-") for name in headers)
    in_html = headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
    return in_html and not ours and status < 500 and status not in {401, *RETRIED_STATUSES}


def _said(headers: Mapping[str, str], body: bytes) -> str:
    """The server's own explanation: `dg-error`, or the JSON body under any of its known keys."""
    text = headers.get("dg-error", "")
    if not text:
        try:
            fields = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            keys = ("err_msg", "message", "error", "details", "err_code", "error_code", "category")
            text = next((str(fields[key]) for key in keys if fields.get(key)), "")
    text = " ".join(text.split())[:200]
    return f': "{text}"' if text else ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header's other form, a date, needs a set clock and is not used for this by any known server."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isdecimal() else None


def closure(code: int | None, reason: str) -> Refused | Unreachable:
    """What a close that we did not ask for means for us."""
    flat = reason.lower().replace("-", "")
    if code == 1008 or "data0000" in flat:
        return Refused(f"the server can't decode the audio (close {code}): check [deepgram.options] and deepgram.url")
    if "net0001" in flat:
        return Unreachable(f"the server closed an idle connection (close {code}, NET-0001)")
    if "net0000" in flat:
        return Unreachable(f"the server gave no answer in time and closed (close {code}, NET-0000)")
    said = f': "{" ".join(reason.split())[:120]}"' if reason else ""
    return Unreachable(f"connection closed with code {code}{said}" if code else "connection lost")
