"""When spooled audio was captured, and its minimum age.  Pure.

Anchors map the positions of a run to boot time. The boot's offset maps boot time to wall time. Boot time ends with the
boot, and the offset of a boot whose clock was never set is useless. So the age of audio is elapsed time as far as that
can be proved.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Anchor(NamedTuple):
    """The sample at `position` was captured at `at_s`, seconds of CLOCK_BOOTTIME."""

    position: int
    at_s: float


class Boot(NamedTuple):
    """The offset from a boot's time to wall time; `synchronized` if the clock was set when the offset was measured."""

    boot_id: str
    wall_offset_s: float
    synchronized: bool


def later(known: Boot | None, update: Boot) -> Boot:
    """Return the better of two offsets of one boot: the update, unless only the known one is synchronized."""
    return known if known and known.synchronized and not update.synchronized else update


class PositionClock:
    """Maps positions of one run to seconds of CLOCK_BOOTTIME: each anchor holds until the next.

    Anchors a minute apart bound the error to the drift of the sound card: 6 ms at 100 ppm. The first audio after a hole
    needs an anchor.
    """

    def __init__(self, anchors: Sequence[Anchor], rate: int) -> None:
        """Takes at least one anchor, in the order of their positions."""
        if not anchors:
            raise ValueError("a position clock needs an anchor")
        self._anchors = anchors
        self._rate = rate

    def at_s(self, position: int) -> float:
        """Return when the sample at `position` was captured."""
        i = max(0, bisect_right(self._anchors, position, key=lambda anchor: anchor.position) - 1)
        anchor = self._anchors[i]
        return anchor.at_s + (position - anchor.position) / self._rate


def age_s(at_s: float, captured: Boot | None, this_boot: Boot, now_s: float) -> float:
    """Return the minimum age of audio that was captured at `at_s` of the boot `captured`, at `now_s` of this boot.

    `captured` is None if that boot is unknown. The age is exact within one boot. Across boots, wall times count only
    if both clocks were set. Otherwise the audio is known only to be older than this boot.
    """
    if captured is not None and captured.boot_id == this_boot.boot_id:
        return max(0.0, now_s - at_s)
    if captured is not None and captured.synchronized and this_boot.synchronized:
        return max(now_s, now_s + this_boot.wall_offset_s - at_s - captured.wall_offset_s)
    return now_s
