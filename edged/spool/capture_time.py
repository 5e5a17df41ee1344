"""When spooled audio was captured, and how old it is at least.  Pure.

Positions lie on a run's line of anchors in boot time; a boot's offset makes that wall time. Boot time dies with the
boot, and the offset of a boot that never had a set clock is worth nothing: so the age of audio is elapsed time, as far
as it can be proved.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Anchor(NamedTuple):
    """The sample at `position` was captured at `at_s`, seconds of CLOCK_BOOTTIME."""

    position: int
    at_s: float


class Boot(NamedTuple):
    """What makes a boot's time wall time. `synchronized`: the clock was set when this was last looked at."""

    boot_id: str
    wall_offset_s: float
    synchronized: bool


def later(known: Boot | None, told: Boot) -> Boot:
    """What holds of one boot when `told` follows on what is `known`: what was ever synchronised stays so."""
    return known if known and known.synchronized and not told.synchronized else told


class PositionClock:
    """Positions of one run to seconds of its CLOCK_BOOTTIME: each anchor holds until the next.

    Anchors a minute apart bound the error by what a card drifts meanwhile, 6 ms at 100 ppm; the first audio after a
    hole needs one.
    """

    def __init__(self, anchors: Sequence[Anchor], rate: int) -> None:
        """`anchors` in order of their positions, at least one."""
        if not anchors:
            raise ValueError("a line needs an anchor")
        self._anchors = anchors
        self._rate = rate

    def at_s(self, position: int) -> float:
        """When the sample at `position` was captured."""
        i = max(0, bisect_right(self._anchors, position, key=lambda anchor: anchor.position) - 1)
        anchor = self._anchors[i]
        return anchor.at_s + (position - anchor.position) / self._rate


def age_s(at_s: float, captured: Boot | None, here: Boot, now_s: float) -> float:
    """How long ago `at_s` (boot time of the boot `captured`, `None`: another one, not known) was, at least.

    `here` is this boot and `now_s` its time. In one boot this is exact. Across boots wall times count only where both
    clocks were set; otherwise all that is known is that it was before this boot.
    """
    if captured is not None and captured.boot_id == here.boot_id:
        return max(0.0, now_s - at_s)
    if captured is not None and captured.synchronized and here.synchronized:
        return max(now_s, now_s + here.wall_offset_s - at_s - captured.wall_offset_s)
    return now_s
