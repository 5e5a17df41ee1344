"""Positions and times of blocks, decided from their stamps. Pure: it sees stamps, never a clock.

1. Positions keep pace with the clock: missing audio (overrun, unplugged, suspended) moves the position on by the time
   that passed since the end of the last block.
2. A stamp can be too late (the block waited for its reader, or in a plug-in that buffers), but never too early. So a
   stamp before the expected time is believed at once, and a later one only as fast as the clock of a card can drift.
3. A stamp later than full buffers can explain proves that audio is missing. Otherwise time proves it: what waited comes
   early again, but missing audio makes all later blocks late. The lateness that all blocks of `PROOF_S` in a row share
   is a hole before the first of them: positions after it stay, and only their times become later.
   (pyalsaaudio 0.10 recovers from some overruns silently, and some plug-ins never report what waits in them.)
4. While the true rate of the card is unknown, only a constant lateness proves a hole: that of a slow card grows.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

MAX_DRIFT = 500e-6
"""Fastest drift of a card's clock against the system's: quartz 100 ppm, cheap resonators and NTP's slewing 500 ppm."""
PROOF_S = 1.0
"""Audio that proves a hole: twice the longest read, and longer than any plug-in's period, so some block is on time."""
MAX_GROWTH_SHARE = 0.25
"""Growth of the lateness within `PROOF_S`, as a share of it, up to which it counts as constant: a slow card's grows by
half of it or more."""


class Tolerance(NamedTuple):
    """Lateness of a stamp that waiting explains, in seconds."""

    usual_s: float
    """Usual waiting: the lateness that all blocks of `PROOF_S` share beyond this is missing audio."""
    max_s: float
    """Waiting with every buffer full: a single block that is later than this proves missing audio."""


class PlacedBlock(NamedTuple):
    """The position and time of a block, and how much audio is missing before it."""

    position: int
    at_s: float
    lost_samples: int
    """Number of missing samples: before this block, and counted in `position`, unless `late_from` is set."""
    late_from: int | None = None
    """Position before which the samples are missing, if that is only proven now. Positions from there on stay as they
    are, but their times are later."""


@dataclass(slots=True)
class _LateBlocks:
    """Blocks in a row that are later than usual waiting explains."""

    start: int
    """Position of the first."""
    samples: int = 0
    min_late_s: float = math.inf


class CaptureClock:
    """Gives each block of one run its position, from 0, and its time."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._position = 0
        self._end_s: float | None = None
        self._late_s = 0.0
        """Lateness of the last block."""
        self._late_blocks: _LateBlocks | None = None
        self._min_late_s = math.inf
        self._min_late_samples = 0
        """Number of samples that `_min_late_s` is the minimum over."""
        self._rate_known = False
        """The true rate of the card is known for all of these samples."""
        self._rate_known_before = False
        """The rate was known for the samples before these too: no lateness of a slow card is left over."""

    def place(
        self,
        samples: int,
        stamp_s: float,
        *,
        after_hole: bool,
        tolerance: Tolerance,
        clock_s_per_audio_s: float | None,
    ) -> PlacedBlock:
        """Place the next block of `samples` samples, whose first was captured at `stamp_s` as far as is known.

        `after_hole`: audio before this block is known to be missing. `clock_s_per_audio_s`: seconds of the clock that
        the card takes for a second of audio; None until that is measured.
        """
        length_s = samples / self._rate * (clock_s_per_audio_s or 1.0)
        late_s = 0.0 if self._end_s is None else stamp_s - self._end_s
        lost_s, late_from = 0.0, None
        if self._end_s is None or after_hole or late_s - max(0.0, self._late_s) > tolerance.max_s:
            lost_s, at_s, self._late_blocks = max(0.0, late_s), stamp_s, None
            self._rate_known = clock_s_per_audio_s is not None  # nothing is left over from before
            self._restart_minimum(clock_s_per_audio_s)
        else:
            at_s = self._end_s + min(late_s, MAX_DRIFT * length_s)
            self._note_lateness(samples, stamp_s - at_s, tolerance)
            if hole := self._proven_hole(stamp_s - at_s, clock_s_per_audio_s):
                lost_s, late_from = hole.min_late_s, hole.start
                at_s += lost_s
                self._late_blocks = None
                self._restart_minimum(clock_s_per_audio_s)
            elif self._min_late_samples >= PROOF_S * self._rate:
                at_s += self._min_late_s
                self._forgive(self._min_late_s, tolerance)
                self._restart_minimum(clock_s_per_audio_s)
        lost_samples = round(lost_s * self._rate)
        skipped_samples = lost_samples if late_from is None else 0
        placed = PlacedBlock(self._position + skipped_samples, at_s, lost_samples, late_from)
        self._position = placed.position + samples
        self._late_s = stamp_s - at_s
        self._end_s = at_s + length_s
        return placed

    def _note_lateness(self, samples: int, late_s: float, tolerance: Tolerance) -> None:
        self._min_late_s = min(self._min_late_s, late_s)
        self._min_late_samples += samples
        if late_s <= tolerance.usual_s:
            self._late_blocks = None
            return
        if self._late_blocks is None:
            self._late_blocks = _LateBlocks(self._position)
        self._late_blocks.samples += samples
        self._late_blocks.min_late_s = min(self._late_blocks.min_late_s, late_s)

    def _proven_hole(self, late_s: float, clock_s_per_audio_s: float | None) -> _LateBlocks | None:
        """Return the blocks whose shared lateness is a hole before them; None while nothing is proven.

        `late_s`: lateness of the last of them.
        """
        blocks = self._late_blocks
        if blocks is None or blocks.samples < PROOF_S * self._rate:
            return None
        constant = late_s - blocks.min_late_s < MAX_GROWTH_SHARE * blocks.min_late_s
        proven = constant if clock_s_per_audio_s is None else self._rate_known_before
        return blocks if proven else None

    def _forgive(self, late_s: float, tolerance: Tolerance) -> None:
        """Count the late blocks from the clock as it is now, after it was set later by `late_s`."""
        if self._late_blocks:
            self._late_blocks.min_late_s -= late_s
            if self._late_blocks.min_late_s <= tolerance.usual_s:
                self._late_blocks = None

    def _restart_minimum(self, clock_s_per_audio_s: float | None) -> None:
        self._min_late_s, self._min_late_samples = math.inf, 0
        rate_known = clock_s_per_audio_s is not None
        self._rate_known_before, self._rate_known = self._rate_known and rate_known, rate_known
