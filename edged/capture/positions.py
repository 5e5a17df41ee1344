"""Which position and which time a block gets. Pure: it sees stamps, never a clock.

1. Positions keep pace with the clock: audio that is missing (overrun, unplugged, asleep) moves the position on by as
   much time as passed since the end of the last block.
2. A block can be stamped too late (its thread had to wait), never too early. So a stamp before the expected time is
   believed at once, and one after it only as fast as a card's clock can drift.
3. Unless it is later than any waiting explains: then audio is missing, even if nobody said so. (pyalsaaudio 0.10
   recovers from some overruns without a word.)
"""

from typing import NamedTuple

MAX_DRIFT = 500e-6
"""Of a card's clock against the system's: quartz is within 100 ppm, cheap resonators and NTP's slewing within 500."""


class Placed(NamedTuple):
    """Where a block belongs."""

    position: int
    at_s: float
    lost_samples: int
    """Missing before it; counted in `position`."""


class Positions:
    """The positions of one run, from 0."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._position = 0
        self._end_s: float | None = None

    def place(self, samples: int, stamp_s: float, *, broken: bool, tolerance_s: float) -> Placed:
        """Places the next block of `samples` samples, whose first was captured at `stamp_s` as far as can be seen.

        `broken`: audio between the last block and this one is known to be missing. `tolerance_s`: how much too late
        a stamp can be without anything missing.
        """
        length_s = samples / self._rate
        lost = 0
        if self._end_s is None:
            at_s = stamp_s
        else:
            late_s = stamp_s - self._end_s
            if broken or late_s > tolerance_s:
                lost = max(0, round(late_s * self._rate))
                at_s = stamp_s
            else:
                at_s = self._end_s + min(late_s, MAX_DRIFT * length_s)
        placed = Placed(self._position + lost, at_s, lost)
        self._position = placed.position + samples
        self._end_s = at_s + length_s
        return placed
