"""Which time each position of the capture has: a line through the stamps of its blocks. Pure."""

from bisect import bisect_right
from typing import NamedTuple

SLEW_OVER_S = 60.0
"""A measured error of the card's clock is spread over this long: cards drift by up to 100 ppm, 6 ms a minute."""
MEASURED_S = 10.0
"""The last of it: an error that is older is not the one to correct, and this many stamps hold one that is not late."""
MAX_SLEW = 0.0005
"""A crystal is never this far off; a larger error is a measuring fault, or catches up more slowly."""
WRONG_S, MAX_WRONG_SLEW = 0.5, 0.9
"""An error of this much all through `MEASURED_S` is a card that does not keep its rate: that is followed whatever it
is, short of standing still."""
KEPT_ANCHORS = 512
"""Over eight hours of them: positions older than that are dated by the oldest one's rate."""


class _Anchor(NamedTuple):
    position: int
    at_s: float
    seconds_per_sample: float


class Timeline:
    """Positions to seconds of CLOCK_BOOTTIME.

    The card's clock drifts, so the line is bent every `SLEW_OVER_S` towards the stamps of the blocks, never broken:
    times never run backwards. A hole begins a new line from the stamp of the block after it.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._anchors: list[_Anchor] = []
        self._expected = 0
        self._least_error_s: float | None = None

    def observe(self, position: int, length: int, at_s: float) -> float | None:
        """A block of `length` samples was captured at `position`; its first sample at `at_s`.

        Returns when it was captured by this line, if the line begins or bends here: who keeps that can date by it.
        """
        hole = position != self._expected
        self._expected = position + length
        if not self._anchors or hole:
            at_s = max(at_s, self.at_s(position - 1)) if self._anchors else at_s
            return self._anchor(_Anchor(position, at_s, 1 / self._rate))
        since_s = (position - self._anchors[-1].position) / self._rate
        if since_s < SLEW_OVER_S - MEASURED_S:
            return None
        # Scheduling makes stamps late, never early: the smallest error is the best measurement.
        error_s = at_s - self.at_s(position)
        self._least_error_s = error_s if self._least_error_s is None else min(error_s, self._least_error_s)
        if since_s < SLEW_OVER_S:
            return None
        # What is left of the error at a steady drift is what it does in one stretch: 6 ms at 100 ppm.
        most = MAX_SLEW if abs(self._least_error_s) < WRONG_S else MAX_WRONG_SLEW
        bend = max(-most, min(most, self._least_error_s / SLEW_OVER_S))
        return self._anchor(_Anchor(position, self.at_s(position), (1 + bend) / self._rate))

    def shift(self, position: int, by_s: float) -> list[tuple[int, float]]:
        """Date what was captured from `position` on later, by `by_s`: audio before it turned out to be lost.

        Returns the position and time of each anchor that is new or moved. Raises ValueError before the first block.
        """
        at_s = self.at_s(position) + by_s
        i = bisect_right(self._anchors, position, key=lambda anchor: anchor.position)
        before = self._anchors[max(0, i - 1)]
        moved = [anchor._replace(at_s=anchor.at_s + by_s) for anchor in self._anchors[i:]]
        self._anchors[i:] = [_Anchor(position, at_s, before.seconds_per_sample), *moved]
        del self._anchors[:-KEPT_ANCHORS]
        return [(anchor.position, anchor.at_s) for anchor in self._anchors[i:]]

    def at_s(self, position: int) -> float:
        """When the sample at `position` was captured. Raises ValueError before the first block."""
        if not self._anchors:
            raise ValueError("nothing was captured yet")
        i = max(0, bisect_right(self._anchors, position, key=lambda anchor: anchor.position) - 1)
        anchor = self._anchors[i]
        return anchor.at_s + (position - anchor.position) * anchor.seconds_per_sample

    def _anchor(self, anchor: _Anchor) -> float:
        self._anchors.append(anchor)
        self._least_error_s = None
        if len(self._anchors) > KEPT_ANCHORS:
            del self._anchors[0]
        return anchor.at_s
