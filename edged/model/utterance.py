"""Words with their places in the captured audio, and the utterances that become records. Pure."""

from typing import NamedTuple


class Passage(NamedTuple):
    """The server's own text of one final, and how many words it has."""

    text: str
    words: int


class PlacedWord(NamedTuple):
    """A word, placed in the capture: positions instead of stream time."""

    start: int
    end: int
    word: str
    text: str
    confidence: float
    speaker: int | None
    guessed: bool = False
    """Where it ends was not told: it may be before `end`."""
    passage: Passage | None = None
    """What it is part of: the same object for all words of one final."""

    @property
    def middle(self) -> int:
        """Word times are off by tens of milliseconds at either end; the middle is surely in the word."""
        return (self.start + self.end) // 2


class Utterance(NamedTuple):
    """What becomes a record: words, and the samples `[start, end)` that they answer."""

    start: int
    end: int
    words: tuple[PlacedWord, ...]
    request_id: str
    replayed: bool
