"""Which position and which time a block gets. Pure: it sees stamps, never a clock.

1. Positions keep pace with the clock: audio that is missing (overrun, unplugged, asleep) moves the position on by as
   much time as passed since the end of the last block.
2. A block can be stamped too late (it waited, for its reader or in a plug-in that buffers), never too early. So a stamp
   before the expected time is believed at once, and one after it only as fast as a card's clock can drift.
3. A stamp later than all that can have waited proves that audio is missing. Otherwise time proves it: what waited comes
   early again, what is missing makes all later blocks late. What all blocks of `PROOF_S` are late by is taken for true,
   from the block on that was late first: its audio and what followed is captured later than was said, and in one piece,
   so that its position stays.
   (pyalsaaudio 0.10 recovers from some overruns without a word, and some plug-ins never say how much waits in them.)
4. While the card's pace is not known, only lateness that stays as it is proves a hole: that of a slow card grows.
"""

import math
from typing import NamedTuple

MAX_DRIFT = 500e-6
"""Of a card's clock against the system's: quartz is within 100 ppm, cheap resonators and NTP's slewing within 500."""
PROOF_S = 1.0
"""Twice the most that is read at a time, and longer than any plug-in's period: one block of it is on time."""
STEADY = 0.25
"""Growth of the lateness within `PROOF_S`, as a share of it, that is no slow card's: there it is half of it or more."""


class Tolerance(NamedTuple):
    """How late a stamp may be, in seconds."""

    usual_s: float
    """By waiting: what all blocks of `PROOF_S` are later by is missing."""
    most_s: float
    """With every buffer full: what comes later than that, all at once, is missing."""


class PlacedBlock(NamedTuple):
    """Where a block belongs."""

    position: int
    at_s: float
    lost_samples: int
    """Samples that are missing: before this block, and counted in `position`, unless `late_from` says where."""
    late_from: int | None = None
    """Position before which they are missing, where that is proven only now. Positions from there on stay as they are:
    their times are later."""


class CaptureClock:
    """The positions of one run, from 0."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._position = 0
        self._end_s: float | None = None
        self._late_s = 0.0
        """Of the last block."""
        self._late_from: int | None = None
        """Position of the first of the blocks in a row that are later than waiting usually makes them."""
        self._least_late_s = math.inf
        self._seen = 0
        """Samples that `_least_late_s` is of."""
        self._has_pace = self._proves = False
        """The card's pace is known for all of them; it was for those before too, of which something may be left."""

    def place(
        self, samples: int, stamp_s: float, *, broken: bool, tolerance: Tolerance, pace: float | None
    ) -> PlacedBlock:
        """Places the next block of `samples` samples, whose first was captured at `stamp_s` as far as can be seen.

        `broken`: audio between the last block and this one is known to be missing. `pace`: how long the card takes for
        a second of audio, in seconds of the clock; None if that is not measured yet.
        """
        length_s = samples / self._rate * (pace or 1.0)
        late_s = 0.0 if self._end_s is None else stamp_s - self._end_s
        lost_s, late_from = 0.0, None
        if self._end_s is None or broken or late_s - max(0.0, self._late_s) > tolerance.most_s:
            lost_s, at_s, self._late_from = max(0.0, late_s), stamp_s, None
            self._has_pace = pace is not None  # nothing is left of what was before
            self._begin_proof(pace)
        else:
            at_s = self._end_s + min(late_s, MAX_DRIFT * length_s)
            self._least_late_s = min(self._least_late_s, stamp_s - at_s)
            if stamp_s - at_s <= tolerance.usual_s:
                self._late_from = None
            elif self._late_from is None:
                self._late_from = self._position
            self._seen += samples
            if self._seen >= PROOF_S * self._rate:
                growth_s = stamp_s - at_s - self._least_late_s
                stays = growth_s < STEADY * self._least_late_s
                proves = stays if pace is None else self._proves
                if self._least_late_s > tolerance.usual_s and proves:
                    lost_s, late_from, self._late_from = self._least_late_s, self._late_from, None
                at_s += self._least_late_s
                self._begin_proof(pace)
        lost = round(lost_s * self._rate)
        placed = PlacedBlock(self._position + (lost if late_from is None else 0), at_s, lost, late_from)
        self._position = placed.position + samples
        self._late_s = stamp_s - at_s
        self._end_s = at_s + length_s
        return placed

    def _begin_proof(self, pace: float | None) -> None:
        self._least_late_s = math.inf
        self._proves, self._has_pace = self._has_pace and pace is not None, pace is not None
        self._seen = 0
