"""Differences of compatible servers from Deepgram, and the rewriting of its messages to match. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

HELD_WORDS = 2
"""Words that a server holds back while it expects more."""


@dataclass(frozen=True)
class Quirks:
    """Differences of a compatible server from Deepgram."""

    finalize_close_code: int | None = None
    """Close with this code (4400) when Finalize comes."""
    metadata_on_open: bool = False
    windows_from_words: bool = False
    """`start` and `duration` span the words, not the audio; 0 without words."""
    no_empty_interims: bool = False
    confidence: float | None = None
    """Every word's and every result's."""
    reject_after_upgrade: str | None = None
    """A parameter that is refused by closing with 1008 after the handshake, instead of by status 400."""
    text_at_close: bool = False
    """The last words come at CloseStream only, as text without words, times or width."""
    restated_words: int = 0
    """The window of a final reaches back over so many words of the one before, and holds them again."""
    late_punctuation: bool = False
    """The full stop of an utterance comes as a final of its own, without words or width."""
    restart_times: bool = False
    """Stream times count from the end of the last utterance."""


class MessageRewriter:
    """Turns the messages of one connection, in order, into what a compatible server says."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._held: list[Message] = []
        self._last: Message = {}
        """The last final that was to be held."""
        self._said: list[Message] = []
        """The words of the last final that had any."""
        self._given_to_s = 0.0
        self._zero_s = 0.0
        """The time that counts as 0."""

    def rewrite(self, texts: Sequence[str], *, closing: bool = False) -> list[str]:
        """`closing`: they answer CloseStream."""
        quirks = self._quirks
        if not (quirks.text_at_close or quirks.restated_words or quirks.late_punctuation or quirks.restart_times):
            return list(texts)
        out: list[Message] = []
        for message in map(json.loads, texts):
            out += self._results(message) if message["type"] == "Results" else [message]
        if closing and self._held:
            text = " ".join(str(word["word"]) for word in self._held)
            out.append(_final(self._last, self._given_to_s, text))
        return [json.dumps(message) for message in out]

    def _results(self, message: Message) -> list[Message]:
        out = [message]
        if message["is_final"]:
            if self._quirks.text_at_close:
                out = self._hold(message)
            if self._quirks.restated_words:
                self._restate(message)
            if self._quirks.late_punctuation and message["speech_final"] and _words(message):
                out = self._punctuate_late(message)
        if self._quirks.restart_times:
            out = [self._counted_anew(each) for each in out]
        return out

    def _hold(self, message: Message) -> list[Message]:
        self._last = message
        words = self._held + _words(message)
        given, self._held = words[:-HELD_WORDS], words[-HELD_WORDS:]
        if not given:
            return []
        end_s = max(word["end"] for word in given)
        _set(message, given, self._given_to_s, end_s)
        self._given_to_s = end_s
        message["speech_final"] = False
        return [message]

    def _restate(self, message: Message) -> None:
        words, before = _words(message), self._said[-self._quirks.restated_words :]
        if not words:
            return
        self._said = words
        end_s = message["start"] + message["duration"]
        _set(message, before + words, min([message["start"], *(word["start"] for word in before)]), end_s)

    def _punctuate_late(self, message: Message) -> list[Message]:
        at_s = message["start"] + message["duration"]
        message["speech_final"] = False
        *before, last = _words(message)
        if "punctuated_word" in last:
            last = {**last, "punctuated_word": last["punctuated_word"].removesuffix(".")}
        _set(message, [*before, last], message["start"], at_s)
        return [message, _final(message, at_s, "."), {**_final(message, at_s, ""), "speech_final": True}]

    def _counted_anew(self, message: Message) -> Message:
        end_s = message["start"] + message["duration"]
        words = [
            {**word, "start": word["start"] - self._zero_s, "end": word["end"] - self._zero_s}
            for word in _words(message)
        ]
        _set(message, words, message["start"] - self._zero_s, end_s - self._zero_s)
        if message["speech_final"]:
            self._zero_s = end_s
        return message


def _words(message: Message) -> list[Message]:
    words: list[Message] = message["channel"]["alternatives"][0]["words"]
    return words


def _set(message: Message, words: list[Message], start_s: float, end_s: float) -> None:
    alternative = message["channel"]["alternatives"][0]
    alternative["words"] = words
    if words:
        alternative["transcript"] = " ".join(str(word.get("punctuated_word", word["word"])) for word in words)
    message["start"], message["duration"] = start_s, end_s - start_s


def _final(like: Message, at_s: float, text: str) -> Message:
    """One without words and without width."""
    alternative = {"transcript": text, "confidence": 0.0, "words": []}
    return {**like, "start": at_s, "duration": 0.0, "channel": {"alternatives": [alternative]}}
