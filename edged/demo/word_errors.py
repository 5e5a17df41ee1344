"""Word error rate, and assignment of recognised words to sentences. Pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Words that were heard somewhere in `[start, end)`, in positions."""

    start: int
    end: int
    words: tuple[str, ...]


def bare(text: str) -> tuple[str, ...]:
    """Words to compare: in lower case, without the punctuation around them."""
    stripped = (word.strip(".,;:!?\"'()-").casefold() for word in text.split())
    return tuple(word for word in stripped if word)


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest words to replace, insert and leave out that make one into the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(diagonal + (word != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def by_sentence(sentences: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[tuple[str, ...]]:
    """The words for each sentence `[start, end)`: each span belongs to the one it overlaps most, or is nearest to.

    So nothing that was heard is left out: a word made up in the silence counts against its neighbour.
    """
    heard: list[tuple[str, ...]] = [() for _ in sentences]
    for span in sorted(spans):
        # The overlap, which for a span outside is less than 0: by how much it misses.
        overlaps = [min(end, span.end) - max(start, span.start) for start, end in sentences]
        heard[overlaps.index(max(overlaps))] += span.words
    return heard
