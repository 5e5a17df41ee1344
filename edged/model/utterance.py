"""Utterances, which become records, and their words with positions in the captured audio. Pure."""

from typing import NamedTuple


class Passage(NamedTuple):
    """The server's own text of one final result."""

    text: str
    words: int
    """Number of words in the text."""


class PlacedWord(NamedTuple):
    """A word with its position in the captured audio, instead of the server's stream time."""

    start: int
    end: int
    word: str
    text: str
    confidence: float
    speaker: int | None
    end_estimated: bool = False
    """The server gave no end, so `end` is an upper limit."""
    passage: Passage | None = None
    """The final result that the word is part of: the same object for all words of one final."""

    @property
    def middle(self) -> int:
        """Position in the middle: word times are off by tens of milliseconds, but the middle is surely in the word."""
        return (self.start + self.end) // 2


class Utterance(NamedTuple):
    """The words of one future record, and the samples `[start, end)` that they transcribe."""

    start: int
    end: int
    words: tuple[PlacedWord, ...]
    request_id: str
    replayed: bool
