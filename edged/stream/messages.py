"""What the server says: the messages of Deepgram's live protocol, version 1, and of servers that resemble it. Pure.

`parse` takes what other clients take. What remains unreadable is told apart: it may have been a final.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from edged.model.record import probability
from edged.stream.lenient_json import as_array, as_bool, as_number, as_object, as_string, decode, one_line
from edged.transcripts.text import bare, is_opening, is_punctuation

MAX_ESTIMATED_WORD_S: Final = 0.5
"""A word whose end is unknown lasts no longer than this: few do, and its middle must lie in it."""

WINDOW_TOLERANCE_S: Final = 1.0
"""Words may lie this far outside their window: times are off by some 0.1 s. What is farther away was not said there."""

MAX_TIME_S: Final = 1e9
"""A time beyond this is none: no connection lasts thirty years."""

MAX_SPEAKERS: Final = 1 << 31
"""A larger number is no speaker's."""

MAX_CHARACTERS: Final = 1 << 20
"""Of a message's text, unless `parse` is told otherwise: none is longer."""

MAX_EXPLANATION_CHARACTERS: Final = 200
"""Characters of what a server explains: two sentences."""


class StreamWord(NamedTuple):
    """A word as it was heard; times are samples of stream time."""

    start: int
    end: int
    word: str
    text: str
    confidence: float
    speaker: int | None
    end_estimated: bool = False
    """Its end was not told."""


class Results(NamedTuple):
    """What the recogniser made of the window `[start, end)`, in samples of stream time.

    The words are in order: none begins before the one before it, and none ends after the next one begins.
    """

    start: int
    end: int
    words: list[StreamWord]
    is_final: bool
    speech_final: bool
    from_finalize: bool
    truncated: bool = False
    """There were more words than `parse` was to read."""
    has_word_times: bool = True
    """The words have times of their own: else they share the window."""
    transcript: str = ""
    """The server's own text of the words, if it is no more than may be read."""
    punctuation: str = ""
    """What belongs to the last word before this result."""

    @property
    def characters(self) -> int:
        """Of its text, with a space behind each word."""
        words = sum(max(len(word.text), len(word.word)) + 1 for word in self.words)
        return max(len(self.transcript), words) + len(self.punctuation)


class UtteranceEnd(NamedTuple):
    """A gap followed the word that ended at `last_word_end` (samples of stream time; negative if unknown)."""

    last_word_end: int


class Metadata(NamedTuple):
    """The end of the stream: asked for by CloseStream, or because the server is closing."""


class ServerError(NamedTuple):
    """The server complains, in its own words; a close usually follows."""

    text: str


class UnexpectedMessage(NamedTuple):
    """A message that means nothing to us, to be noted once for each `kind`."""

    kind: str


class UnreadableMessage(NamedTuple):
    """A message that can't be read, and may have been a final."""

    kind: str


Message = Results | UtteranceEnd | Metadata | ServerError | UnexpectedMessage | UnreadableMessage

_IGNORED_TYPES: Final = frozenset({"speechstarted"})


def parse(text: str | bytes, rate: int, most_characters: int = MAX_CHARACTERS) -> Message | None:
    """Read one message of the server. Never raises; `None` for a kind that is known and not needed.

    `most_characters`: words beyond so much text are left out.
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
            return _read_results(message, rate, most_characters)
        case "" if as_object(message.get("channel")).get("alternatives"):
            return _read_results(message, rate, most_characters)
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
    """A result is an object: what has no brace was none."""
    braces = (b"{", b"}") if isinstance(text, bytes) else ("{", "}")
    return UnreadableMessage(kind) if any(brace in text for brace in braces) else UnexpectedMessage(kind)  # type: ignore[operator]


# -- results ----------------------------------------------------------------------------------------------------------


class _WireWord(NamedTuple):
    """A word as it stands on the wire; times in seconds, None if unknown."""

    start_s: float | None
    end_s: float | None
    word: str
    text: str
    confidence: float
    speaker: int | None


def _read_results(message: dict[str, Any], rate: int, most_characters: int) -> Message:
    is_final = as_bool(message.get("is_final"))
    best = as_object(next(iter(as_array(as_object(message.get("channel")).get("alternatives"))), None))
    heard, cut = _read_words(best, most_characters)
    times_s = [time_s for each in heard for time_s in (each.start_s, each.end_s) if time_s is not None]
    if is_final and not heard and not cut and not _has_no_text(message.get("channel")):
        return UnreadableMessage("a Results whose text can't be read")
    start_s, duration_s = _read_time_s(message.get("start")), as_number(message.get("duration"))
    if start_s is None and times_s:
        start_s = min(times_s)
    if start_s is not None and duration_s is None and times_s:
        duration_s = max(times_s) - start_s
    if duration_s == 0 and times_s:  # some servers leave it at that
        start_s, duration_s = min(times_s), max(times_s) - min(times_s)
    if start_s is None or duration_s is None:
        # A window can't be guessed: it says which audio is answered.
        kind = "a Results that can't be read"
        return UnreadableMessage(kind) if is_final and heard else UnexpectedMessage(kind)
    end_s = start_s + min(max(0.0, duration_s), MAX_TIME_S)
    if all(each.start_s == each.end_s == 0 for each in heard):  # how some servers say that they don't know
        heard = [each._replace(start_s=None, end_s=None) for each in heard]
    transcript = _read_transcript(best, most_characters) if heard and not cut else ""
    punctuation, heard = _attach_punctuation(heard)
    return Results(
        start=round(start_s * rate),
        end=round(end_s * rate),
        words=_to_stream_words(heard, start_s, end_s, rate),
        is_final=is_final,
        speech_final=as_bool(message.get("speech_final")),
        from_finalize=as_bool(message.get("from_finalize")),
        truncated=cut,
        has_word_times=any(each.start_s is not None for each in heard),
        transcript=transcript.removeprefix(punctuation).lstrip() if heard else "",
        punctuation=punctuation,
    )


def _has_no_text(channel: Any) -> bool:
    """Of a result in which no word can be read: whether none is there either."""
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
    """What should be the text of a word; the entry itself where there is no place for one."""
    if not isinstance(entry, dict) or not entry.keys() & {"word", "punctuated_word"}:
        return entry
    return entry["word"] if entry.get("word") else entry.get("punctuated_word")


def _read_transcript(best: dict[str, Any], most_characters: int) -> str:
    """On one line; an ideographic space is kept."""
    text = re.sub(r"[^\S\u3000]+", " ", as_string(best.get("transcript")))
    return text if len(text) <= most_characters else ""


def _attach_punctuation(heard: list[_WireWord]) -> tuple[str, list[_WireWord]]:
    """Put punctuation that stands like a word at the word it belongs to. Returns also what comes before the first."""
    words: list[_WireWord] = []
    before = opening = ""
    for each in heard:
        if not (is_punctuation(each.word) and is_punctuation(each.text)):
            words.append(each._replace(text=opening + each.text))
            opening = ""
        elif is_opening(each.text):
            opening += each.text
        elif words:
            words[-1] = words[-1]._replace(text=words[-1].text + each.text)
        else:
            before += each.text
    return before, words


def _read_words(best: dict[str, Any], most_characters: int) -> tuple[list[_WireWord], bool]:
    """The words of an alternative, and whether there are more of them than may be read."""
    heard: list[_WireWord] = []
    for each in _iter_words(best, most_characters):
        most_characters -= max(len(each.text), len(each.word)) + 1
        if most_characters < 0:
            return heard, True
        heard.append(each)
    return heard, False


def _iter_words(best: dict[str, Any], most_characters: int) -> Iterator[_WireWord]:
    """A text without words (compatible servers) is taken apart at its spaces, and no farther than it may be read."""
    found = False
    for word in (_read_word(entry) for entry in map(as_object, as_array(best.get("words"))[: most_characters + 1])):
        if word:
            found = True
            yield word
    if not found:
        confidence = probability(as_number(best.get("confidence")))
        for text in as_string(best.get("transcript"))[: most_characters + 1].split():
            yield _WireWord(None, None, bare(text), text, confidence, None)


def _read_word(entry: dict[str, Any]) -> _WireWord | None:
    """One entry of `words`; None if it has no text. Some servers give only the one or the other form of it."""
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
    """Seconds; None if it is no time. A little less than 0 is rounding, -1 is how servers say that they don't know."""
    time_s = as_number(value)
    if time_s is None or not -1 < time_s <= MAX_TIME_S:
        return None
    return time_s if time_s > 0 else 0.0


def _to_stream_words(heard: list[_WireWord], start_s: float, end_s: float, rate: int) -> list[StreamWord]:
    """The words in samples, in order, and in the window or near it. Without times they share the window."""
    if all(each.start_s is None for each in heard):
        step_s = (end_s - start_s) / max(1, len(heard))
        edges_s = [start_s + i * step_s for i in range(len(heard) + 1)]
        heard = [each._replace(start_s=edges_s[i], end_s=edges_s[i + 1]) for i, each in enumerate(heard)]
    from_s = start_s if _are_relative(heard, start_s, end_s) else 0.0
    # A window without width says nothing of where its words were said.
    at_s, high_s = (
        (max(0.0, start_s - WINDOW_TOLERANCE_S), end_s + WINDOW_TOLERANCE_S) if end_s > start_s else (0.0, MAX_TIME_S)
    )
    starts: list[int] = []
    for each in heard:
        if each.start_s is not None and each.start_s + from_s > at_s:
            at_s = min(each.start_s + from_s, high_s)
        starts.append(round(at_s * rate))
    window_end, longest = round(end_s * rate), round(MAX_ESTIMATED_WORD_S * rate)
    words: list[StreamWord] = []
    for i, each in enumerate(heard):
        start, following = starts[i], starts[i + 1] if i + 1 < len(starts) else None
        end = 0 if each.end_s is None else round(min(each.end_s + from_s, high_s) * rate)
        guessed = end <= start
        if guessed:
            # Where the next word starts, or where the window ends, if that is near: otherwise the word would reach into
            # silence, and be placed in a segment that it was not said in.
            end = max(start, min(window_end if following is None else following, start + longest))
        elif following is not None and following < end:
            end = following
        words.append(StreamWord(start, end, each.word, each.text, each.confidence, each.speaker, guessed))
    return words


def _are_relative(heard: list[_WireWord], start_s: float, end_s: float) -> bool:
    """Whether all words lie before their window, as far in as it is long: then they count from its start."""
    before_s = min(start_s - WINDOW_TOLERANCE_S, end_s - start_s + WINDOW_TOLERANCE_S)
    times_s = [time_s for each in heard for time_s in (each.start_s, each.end_s) if time_s is not None]
    return bool(times_s) and times_s[0] < before_s and max(times_s) < before_s


# -- complaints -------------------------------------------------------------------------------------------------------

_EXPLANATION_KEYS: Final = (
    *("description", "message", "errormessage", "errordescription", "errmsg", "error", "errors", "err", "exception"),
    *("warning", "warnings", "details", "detail", "reason", "msg", "text", "title", "data", "payload"),
    *("errcode", "errorcode", "category", "code"),
)
"""Keys that servers put an explanation under, the best first; in lower case and without what parts their words."""

_ERROR_KEYS: Final = frozenset({"error", "errors", "err", "exception", "warning"}) | {
    *("errormessage", "errordescription", "errmsg", "errcode", "errorcode"),
}
"""Those that make a message a complaint, whatever its type."""

_TYPE_KEYS: Final = ("type", "messagetype", "event", "status", "level")
"""Keys under which servers say what kind of message it is."""

_UNINFORMATIVE: Final = frozenset({"", "error", "warning"})
"""What explains nothing."""

MAX_EXPLANATION_DEPTH: Final = 4
"""Explanations are looked for so deep inside one another."""


def explanation(value: Any, depth: int = MAX_EXPLANATION_DEPTH) -> str:
    """The server's own words in whatever shape it has put them, as one line in short; empty if there are none."""
    if isinstance(value, dict) and depth:
        fields = _normalized(value)
        return _first(explanation(fields.get(key), depth - 1) for key in _EXPLANATION_KEYS)
    if isinstance(value, list) and depth:
        return _first(explanation(each, depth - 1) for each in value[:MAX_EXPLANATION_DEPTH])
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
