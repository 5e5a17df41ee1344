"""The times of positions: a line through the stamps of the blocks. Pure."""

from bisect import bisect_right
from typing import NamedTuple

SLEW_S = 60.0
"""Time over which a measured error of the card's clock is corrected: cards drift by up to 100 ppm, 6 ms a minute."""
MEASURE_S = 10.0
"""Time at the end of it in which the error is measured: recent, and long enough that some stamp is not late."""
MAX_SLEW = 0.0005
"""Fastest usual correction: a crystal is never this far off, so a larger error is a measuring fault."""
GROSS_ERROR_S, MAX_GROSS_SLEW = 0.5, 0.9
"""An error of this much all through `MEASURE_S` is that of a card that does not keep its rate. The line follows it at
any speed up to 0.9, where 1 would be standing still."""
MAX_ANCHORS = 512
"""Points of the line that are kept, over eight hours of them. The oldest one's rate dates all positions before it."""


class _Anchor(NamedTuple):
    """A point at which the line begins or bends."""

    position: int
    at_s: float
    seconds_per_sample: float


class Timeline:
    """The line from positions to seconds of CLOCK_BOOTTIME.

    The card's clock drifts, so the line bends every `SLEW_S` towards the stamps of the blocks. It never breaks: times
    never run backwards. After a hole a new line begins at the stamp of the block that follows it.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._anchors: list[_Anchor] = []
        self._expected_position = 0
        self._min_error_s: float | None = None

    def observe(self, position: int, length: int, at_s: float) -> float | None:
        """Take a block of `length` samples at `position`, whose first sample was captured at `at_s`.

        Returns the time of `position` if the line begins or bends here, so that the caller can store it; else None.
        """
        after_hole = position != self._expected_position
        self._expected_position = position + length
        if not self._anchors or after_hole:
            at_s = max(at_s, self.at_s(position - 1)) if self._anchors else at_s
            return self._add_anchor(_Anchor(position, at_s, 1 / self._rate))
        elapsed_s = (position - self._anchors[-1].position) / self._rate
        if elapsed_s < SLEW_S - MEASURE_S:
            return None
        # Scheduling makes stamps late, never early: the smallest error is the best measurement.
        error_s = at_s - self.at_s(position)
        self._min_error_s = error_s if self._min_error_s is None else min(error_s, self._min_error_s)
        if elapsed_s < SLEW_S:
            return None
        # At a steady drift the remaining error is that of one SLEW_S: 6 ms at 100 ppm.
        max_slew = MAX_SLEW if abs(self._min_error_s) < GROSS_ERROR_S else MAX_GROSS_SLEW
        slew = max(-max_slew, min(max_slew, self._min_error_s / SLEW_S))
        return self._add_anchor(_Anchor(position, self.at_s(position), (1 + slew) / self._rate))

    def shift(self, position: int, by_s: float) -> list[tuple[int, float]]:
        """Make the times from `position` on later by `by_s`, because audio before it turned out to be missing.

        Returns the position and time of each anchor that is new or moved. Raises ValueError before the first block.
        """
        at_s = self.at_s(position) + by_s
        i = bisect_right(self._anchors, position, key=lambda anchor: anchor.position)
        previous = self._anchors[max(0, i - 1)]
        moved = [anchor._replace(at_s=anchor.at_s + by_s) for anchor in self._anchors[i:]]
        self._anchors[i:] = [_Anchor(position, at_s, previous.seconds_per_sample), *moved]
        del self._anchors[:-MAX_ANCHORS]
        return [(anchor.position, anchor.at_s) for anchor in self._anchors[i:]]

    def at_s(self, position: int) -> float:
        """Return when the sample at `position` was captured. Raises ValueError before the first block."""
        if not self._anchors:
            raise ValueError("nothing was captured yet")
        i = max(0, bisect_right(self._anchors, position, key=lambda anchor: anchor.position) - 1)
        anchor = self._anchors[i]
        return anchor.at_s + (position - anchor.position) * anchor.seconds_per_sample

    def _add_anchor(self, anchor: _Anchor) -> float:
        self._anchors.append(anchor)
        self._min_error_s = None
        if len(self._anchors) > MAX_ANCHORS:
            del self._anchors[0]
        return anchor.at_s
