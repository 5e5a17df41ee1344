"""The server's messages in Deepgram's live protocol, version 1, and in that of compatible servers. Pure.

`parse` accepts what other clients accept. It distinguishes unreadable messages from unexpected ones: an unreadable one
may have been a final.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from edged.model.record import probability
from edged.stream.lenient_json import as_array, as_bool, as_number, as_object, as_string, decode, one_line
from edged.transcripts.text import bare, is_opening, is_punctuation

MAX_ESTIMATED_WORD_S: Final = 0.5
"""Longest duration given to a word whose end is unknown. Few words last longer, and the middle must lie in the word."""

WINDOW_TOLERANCE_S: Final = 1.0
"""Distance that a word may lie outside its window. Word times are off by about 0.1 s; one farther away is wrong."""

MAX_TIME_S: Final = 1e9
"""Largest time to accept: no connection lasts thirty years."""

MAX_SPEAKERS: Final = 1 << 31
"""Limit of speaker numbers: larger ones are dropped."""

MAX_CHARACTERS: Final = 1 << 20
"""Default limit of a message's text. No message of `deepgram.MAX_MESSAGE_BYTES` has more."""

MAX_EXPLANATION_CHARACTERS: Final = 200
"""Length that a server's explanation is cut to: about two sentences."""


class StreamWord(NamedTuple):
    """One recognised word; `start` and `end` are samples of stream time."""

    start: int
    end: int
    word: str
    text: str
    confidence: float
    speaker: int | None
    end_estimated: bool = False
    """The server gave no end: `end` is an estimate."""


class Results(NamedTuple):
    """The transcript of the window `[start, end)`, in samples of stream time.

    Words are in order: none begins before its predecessor, and none ends after its successor begins.
    """

    start: int
    end: int
    words: list[StreamWord]
    is_final: bool
    speech_final: bool
    from_finalize: bool
    truncated: bool = False
    """The message held more words than the limit given to `parse`: the rest is missing."""
    has_word_times: bool = True
    """The server gave the words times; otherwise `parse` spread them evenly over the window."""
    transcript: str = ""
    """The server's own text of the words; empty if it is longer than the limit given to `parse`."""
    punctuation: str = ""
    """Punctuation that belongs to the last word before this result."""

    @property
    def characters(self) -> int:
        """Length of the text, counting a space after each word."""
        words = sum(max(len(word.text), len(word.word)) + 1 for word in self.words)
        return max(len(self.transcript), words) + len(self.punctuation)


class UtteranceEnd(NamedTuple):
    """A notice that a gap followed the word ending at `last_word_end` (samples of stream time; negative if unknown)."""

    last_word_end: int


class Metadata(NamedTuple):
    """The end of the stream: the response to CloseStream, or a server that closes by itself."""


class ServerError(NamedTuple):
    """An error or warning in the server's own words. The server usually closes next."""

    text: str


class UnexpectedMessage(NamedTuple):
    """A message of an unknown type that can't have been a result; to be logged once per `kind`."""

    kind: str


class UnreadableMessage(NamedTuple):
    """A message that can't be read and may have been a final: its audio can't be called acknowledged."""

    kind: str


Message = Results | UtteranceEnd | Metadata | ServerError | UnexpectedMessage | UnreadableMessage

_IGNORED_TYPES: Final = frozenset({"speechstarted"})


def parse(text: str | bytes, rate: int, max_characters: int = MAX_CHARACTERS) -> Message | None:
    """Parse one message of the server. Never raises; returns None for types that need no reaction.

    Args:
        text: The message as it came.
        rate: Samples per second, to convert times.
        max_characters: Limit of the text; words beyond it are dropped, and the result is `truncated`.
    """
    try:
        message = decode(text)
    except ValueError:
        return _undecodable(text, "a binary message" if isinstance(text, bytes) else "text that is not JSON")
    if not isinstance(message, dict):
        return _undecodable(text, "a message without a type")
    kind = as_string(message.get("type"))
    match kind.lower():
        case "results":
            return _read_results(message, rate, max_characters)
        case "" if as_object(message.get("channel")).get("alternatives"):
            return _read_results(message, rate, max_characters)
        case "utteranceend":
            last_s = _read_time_s(message.get("last_word_end"))
            return UtteranceEnd(-1 if last_s is None else round(last_s * rate))
        case "metadata":
            return Metadata()
        case known if known in _IGNORED_TYPES:
            return None
    if _is_error(message):
        return ServerError(explanation(message) or "no description")
    return UnexpectedMessage(f"a message of type {one_line(kind)[:40]!r}" if kind else "a message without a type")


def _undecodable(text: str | bytes, kind: str) -> UnexpectedMessage | UnreadableMessage:
    """Classify a message that is not a JSON object: without a brace it can't have been a result."""
    braces = (b"{", b"}") if isinstance(text, bytes) else ("{", "}")
    return UnreadableMessage(kind) if any(brace in text for brace in braces) else UnexpectedMessage(kind)  # type: ignore[operator]


# -- results ----------------------------------------------------------------------------------------------------------


class _WireWord(NamedTuple):
    """A word as the server sent it; times in seconds, None if unknown."""

    start_s: float | None
    end_s: float | None
    word: str
    text: str
    confidence: float
    speaker: int | None


def _read_results(message: dict[str, Any], rate: int, max_characters: int) -> Message:
    is_final = as_bool(message.get("is_final"))
    best = as_object(next(iter(as_array(as_object(message.get("channel")).get("alternatives"))), None))
    words, truncated = _read_words(best, max_characters)
    times_s = [time_s for word in words for time_s in (word.start_s, word.end_s) if time_s is not None]
    if is_final and not words and not truncated and not _has_no_text(message.get("channel")):
        return UnreadableMessage("a Results whose text can't be read")
    start_s, duration_s = _read_time_s(message.get("start")), as_number(message.get("duration"))
    if start_s is None and times_s:
        start_s = min(times_s)
    if start_s is not None and duration_s is None and times_s:
        duration_s = max(times_s) - start_s
    if duration_s == 0 and times_s:  # some servers always send 0
        start_s, duration_s = min(times_s), max(times_s) - min(times_s)
    if start_s is None or duration_s is None:
        # Never guess a window: it says which audio is acknowledged.
        kind = "a Results that can't be read"
        return UnreadableMessage(kind) if is_final and words else UnexpectedMessage(kind)
    end_s = start_s + min(max(0.0, duration_s), MAX_TIME_S)
    if all(word.start_s == word.end_s == 0 for word in words):  # some servers send 0 for unknown
        words = [word._replace(start_s=None, end_s=None) for word in words]
    transcript = _read_transcript(best, max_characters) if words and not truncated else ""
    punctuation, words = _attach_punctuation(words)
    return Results(
        start=round(start_s * rate),
        end=round(end_s * rate),
        words=_to_stream_words(words, start_s, end_s, rate),
        is_final=is_final,
        speech_final=as_bool(message.get("speech_final")),
        from_finalize=as_bool(message.get("from_finalize")),
        truncated=truncated,
        has_word_times=any(word.start_s is not None for word in words),
        transcript=transcript.removeprefix(punctuation).lstrip() if words else "",
        punctuation=punctuation,
    )


def _has_no_text(channel: Any) -> bool:
    """Tell whether a result without a readable word has no text at all, and so means silence."""
    if not isinstance(channel, dict):
        return not channel
    alternatives = channel.get("alternatives")
    best = alternatives[0] if isinstance(alternatives, list) and alternatives else alternatives
    if not isinstance(best, dict):
        return not best
    words = best.get("words") or []
    texts = [best.get("transcript"), *(map(_entry_text, words) if isinstance(words, list) else [words])]
    return not any(as_string(text) or (text and not isinstance(text, str)) for text in texts)


def _entry_text(entry: Any) -> Any:
    """Return the value in the text field of an entry of `words`; the entry itself if it has no such field."""
    if not isinstance(entry, dict) or not entry.keys() & {"word", "punctuated_word"}:
        return entry
    return entry["word"] if entry.get("word") else entry.get("punctuated_word")


def _read_transcript(best: dict[str, Any], max_characters: int) -> str:
    """Return the transcript as one line, keeping ideographic spaces; empty if it is too long."""
    text = re.sub(r"[^\S\u3000]+", " ", as_string(best.get("transcript")))
    return text if len(text) <= max_characters else ""


def _attach_punctuation(wire_words: list[_WireWord]) -> tuple[str, list[_WireWord]]:
    """Attach punctuation that was sent as words to its neighbours.

    Returns the punctuation that precedes the first word, and the words.
    """
    words: list[_WireWord] = []
    before = opening = ""
    for word in wire_words:
        if not (is_punctuation(word.word) and is_punctuation(word.text)):
            words.append(word._replace(text=opening + word.text))
            opening = ""
        elif is_opening(word.text):
            opening += word.text
        elif words:
            words[-1] = words[-1]._replace(text=words[-1].text + word.text)
        else:
            before += word.text
    return before, words


def _read_words(best: dict[str, Any], max_characters: int) -> tuple[list[_WireWord], bool]:
    """Return the words of an alternative, and whether the limit cut some off."""
    words: list[_WireWord] = []
    for word in _iter_words(best, max_characters):
        max_characters -= max(len(word.text), len(word.word)) + 1
        if max_characters < 0:
            return words, True
        words.append(word)
    return words, False


def _iter_words(best: dict[str, Any], max_characters: int) -> Iterator[_WireWord]:
    """Yield the words of an alternative. Without a list of words (compatible servers) split the transcript at spaces.

    Reads no more of either than the limit needs.
    """
    found = False
    for word in (_read_word(entry) for entry in map(as_object, as_array(best.get("words"))[: max_characters + 1])):
        if word:
            found = True
            yield word
    if not found:
        confidence = probability(as_number(best.get("confidence")))
        for text in as_string(best.get("transcript"))[: max_characters + 1].split():
            yield _WireWord(None, None, bare(text), text, confidence, None)


def _read_word(entry: dict[str, Any]) -> _WireWord | None:
    """Read one entry of `words`; None if it has no text. Some servers send only one of the two forms of a word."""
    word, text = as_string(entry.get("word")), as_string(entry.get("punctuated_word"))
    if not word and not text:
        return None
    speaker = entry.get("speaker")
    return _WireWord(
        _read_time_s(entry.get("start")),
        _read_time_s(entry.get("end")),
        word or bare(text),
        text or word,
        probability(as_number(entry.get("confidence"))),
        None if speaker is None else _read_speaker(as_number(speaker)),
    )


def _read_speaker(value: float | None) -> int | None:
    return int(value) if value is not None and 0 <= value < MAX_SPEAKERS else None


def _read_time_s(value: Any) -> float | None:
    """Read a time in seconds; None if it is invalid. A little below 0 is rounding; servers send -1 for unknown."""
    time_s = as_number(value)
    if time_s is None or not -1 < time_s <= MAX_TIME_S:
        return None
    return time_s if time_s > 0 else 0.0


def _to_stream_words(wire_words: list[_WireWord], start_s: float, end_s: float, rate: int) -> list[StreamWord]:
    """Convert words to samples, in order and in or near their window. Words without times share the window evenly."""
    if all(word.start_s is None for word in wire_words):
        wire_words = _spread(wire_words, start_s, end_s)
    origin_s = start_s if _are_relative(wire_words, start_s, end_s) else 0.0
    # A window of no length does not limit where its words lie.
    low_s, high_s = 0.0, MAX_TIME_S
    if end_s > start_s:
        low_s, high_s = max(0.0, start_s - WINDOW_TOLERANCE_S), end_s + WINDOW_TOLERANCE_S
    starts: list[int] = []
    for word in wire_words:
        if word.start_s is not None and word.start_s + origin_s > low_s:
            low_s = min(word.start_s + origin_s, high_s)
        starts.append(round(low_s * rate))
    window_end, longest = round(end_s * rate), round(MAX_ESTIMATED_WORD_S * rate)
    words: list[StreamWord] = []
    for i, word in enumerate(wire_words):
        start, following = starts[i], starts[i + 1] if i + 1 < len(starts) else None
        end = 0 if word.end_s is None else round(min(word.end_s + origin_s, high_s) * rate)
        end_estimated = end <= start
        if end_estimated:
            # Estimate the next word's start, or the window's end, if that is near. A longer word would reach into
            # silence, and its middle could lie in another segment.
            end = max(start, min(window_end if following is None else following, start + longest))
        elif following is not None and following < end:
            end = following
        words.append(StreamWord(start, end, word.word, word.text, word.confidence, word.speaker, end_estimated))
    return words


def _spread(wire_words: list[_WireWord], start_s: float, end_s: float) -> list[_WireWord]:
    """Give words without times equal parts of their window."""
    step_s = (end_s - start_s) / max(1, len(wire_words))
    edges_s = [start_s + i * step_s for i in range(len(wire_words) + 1)]
    return [word._replace(start_s=edges_s[i], end_s=edges_s[i + 1]) for i, word in enumerate(wire_words)]


def _are_relative(wire_words: list[_WireWord], start_s: float, end_s: float) -> bool:
    """Tell whether word times count from the window's start: all lie before the window, and fit into its length."""
    before_s = min(start_s - WINDOW_TOLERANCE_S, end_s - start_s + WINDOW_TOLERANCE_S)
    times_s = [time_s for word in wire_words for time_s in (word.start_s, word.end_s) if time_s is not None]
    return bool(times_s) and times_s[0] < before_s and max(times_s) < before_s


# -- errors and warnings ----------------------------------------------------------------------------------------------

_EXPLANATION_KEYS: Final = (
    *("description", "message", "errormessage", "errordescription", "errmsg", "error", "errors", "err", "exception"),
    *("warning", "warnings", "details", "detail", "reason", "msg", "text", "title", "data", "payload"),
    *("errcode", "errorcode", "category", "code"),
)
"""Keys of explanations, the most useful first; in lower case, without hyphens and underscores."""

_ERROR_KEYS: Final = frozenset({"error", "errors", "err", "exception", "warning"}) | {
    *("errormessage", "errordescription", "errmsg", "errcode", "errorcode"),
}
"""Keys that make a message an error, whatever its type."""

_TYPE_KEYS: Final = ("type", "messagetype", "event", "status", "level")
"""Keys that hold the type or the severity of a message."""

_UNINFORMATIVE: Final = frozenset({"", "error", "warning"})
"""Texts that explain nothing."""

MAX_EXPLANATION_DEPTH: Final = 4
"""Depth of nested objects and arrays to search for an explanation."""


def explanation(value: Any, depth: int = MAX_EXPLANATION_DEPTH) -> str:
    """Return the server's explanation, whatever shape it has, as one short line; empty if there is none."""
    if isinstance(value, dict) and depth:
        fields = _normalized(value)
        return _first(explanation(fields.get(key), depth - 1) for key in _EXPLANATION_KEYS)
    if isinstance(value, list) and depth:
        return _first(explanation(entry, depth - 1) for entry in value[:MAX_EXPLANATION_DEPTH])
    return one_line(as_string(value))[:MAX_EXPLANATION_CHARACTERS]


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text.lower() not in _UNINFORMATIVE), "")


def _is_error(message: dict[str, Any]) -> bool:
    fields = _normalized(message)
    kinds = " ".join(as_string(fields.get(key)).lower() for key in _TYPE_KEYS)
    if fields.get("success") is False or as_string(fields.get("message")).lower() in _UNINFORMATIVE - {""}:
        return True
    return any(word in kinds for word in ("error", "warning", "fail")) or any(fields.get(key) for key in _ERROR_KEYS)


def _normalized(message: dict[str, Any]) -> dict[str, Any]:
    return {key.lower().replace("_", "").replace("-", ""): value for key, value in message.items()}
