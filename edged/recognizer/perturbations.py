"""Irregularities of a real recogniser, which a client must cope with. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

Draw = Callable[[], float]
"""Returns a random number from 0 to 1, as `random.Random(seed).random` does."""


@dataclass(frozen=True)
class Perturbations:
    """Irregularities of a real recogniser that a well-behaved one would not show; drawn anew for each connection."""

    cut_mid_word: bool = False
    """Whether forced finals come at any time in 3-9 s, in the middle of a word if possible, and interims unevenly."""
    jitter_ms: int = 0
    """Largest error of a word's start and end."""
    rephrase: bool = False
    """Whether capitals, punctuation and confidences differ each time the same audio arrives. `word` stays the same."""
    missing_end_ratio: float = 0.0
    """Share of words whose `end` is -1."""
    ignored_finalize_ratio: float = 0.0
    """Share of Finalize messages that have no effect and get no answer."""
    late_ratio: float = 0.0
    """Share of Finalize and CloseStream messages that take effect only after `late_s`."""
    late_s: float = 2.0
    """Delay of the messages that `late_ratio` selects."""

    @classmethod
    def all(cls, *, jitter_ms: int = 80) -> "Perturbations":
        """Return every irregularity at once, to a degree at which a correct client still gets every word."""
        return cls(
            cut_mid_word=True,
            jitter_ms=jitter_ms,
            rephrase=True,
            missing_end_ratio=0.02,
            ignored_finalize_ratio=0.3,
            late_ratio=0.3,
            late_s=2.0,
        )
