"""Reads of an open PCM: the frames, when they were captured, and whether audio is missing before them.

While nobody waits for audio, the thread rests between reads, and then takes all periods that have arrived as one read.
No hole lies within a read: it ends before an overrun, and only its first period may block.

The card says how many frames are available, and the clock checks that. Plug-ins that buffer don't always know: with
libasound 1.2.8 a `route` in front of S32 at the card's own rate always says 0, although periods wait in it.
"""

import logging
import time
from threading import Event
from typing import Any, Final, NamedTuple

import alsaaudio

from edged.capture.level import STALL_S

logger = logging.getLogger(__name__)

MAX_READ_S: Final = 0.5
"""Most audio in one read, also after a delay of our own: the longest period, and well within what the ring takes."""
BLOCKED_SHARE: Final = 0.25
"""A read that took this share of a period was blocked: reading what is there takes less, even on a busy machine."""
OVERDUE_PERIODS: Final = 1.5
"""Periods that are due by the clock before one is read although the card reports none. With one period due, the
difference would be too small to tell."""
REST_GROWTH: Final = 1.0001
"""Factor by which the longest rest grows with each read: what an overrun has halved is back in an hour or two."""
WRONG_COUNT_COST, DISTRUST_LIMIT = 8, 48
"""Each wrong frame count of a card adds 8 to a score, each right one takes 1 away; from 48 on edged ignores its counts.
So six wrong counts suffice, unless it is right eight times as often: a busy machine makes right ones look wrong."""


class PcmRead(NamedTuple):
    """Frames without a hole, as the card delivered them."""

    frames: bytes
    samples: int
    """Number of samples of each channel."""
    at_s: float
    """When the first frame was captured, in seconds of CLOCK_BOOTTIME."""
    stamped_by_card: bool
    """The card gave the time; if not, the time of the read stands for it."""
    first: bool
    """No read since the opening came before."""
    overrun: bool
    """Audio before it was lost in an overrun."""
    stalled: bool
    """The read blocked for so long that `StallDetector` has reported it."""


class ReadPacing:
    """The interval between reads: one thread sets it, another one rests by it and wakes up when it becomes 0."""

    def __init__(self) -> None:
        self.interval_s = 0.0
        self._wake = Event()
        self._wake.set()

    def set_interval(self, seconds: float) -> None:
        """Rest this long before each read from now on; 0: read each period as soon as it is complete."""
        if seconds != self.interval_s:
            self.interval_s = seconds
            self._wake.clear() if seconds else self._wake.set()

    def wait(self, seconds: float) -> bool:
        """Rest this long. Return False if the interval is 0 or became 0 meanwhile."""
        return not self._wake.wait(seconds)


class PcmReader:
    """Reads one opening of a PCM, in the thread that opened it."""

    def __init__(self, pcm: Any, rate: int) -> None:
        info = pcm.info()
        self._period: int = info["period_size"]
        self.period_s: float = self._period / rate
        self.buffer_s: float = info["buffer_size"] / rate
        self._pcm, self._rate = pcm, rate
        self._max_rest_s = self.buffer_s / 2
        """Longest rest that is safe from an overrun. Each overrun halves it: a card may be faster than it promises."""
        self._has_count = False
        """The last stamp came with a credible count of available frames."""
        self._distrust = 0
        """Score of wrong counts, see `DISTRUST_LIMIT`."""
        self._period_ahead: tuple[int, bytes] | None = None
        """A period that ended the last read, as it was blocked on and may follow a hole; it begins the next one."""
        self._first = True
        self._overrun = self._stalled = False
        """Faults since the last read, which the next one reports."""
        self._blocked = False
        """The last period was not there yet when it was asked for."""
        self._count_contradicted = False
        """The card reported no full period, but the last one was there without blocking."""
        self._drained_s = time.monotonic()
        """When nothing was available last."""
        self._samples_since_drained = 0

    def read(self, pacing: ReadPacing) -> PcmRead | None:
        """Return one period, or rest and return all periods that have arrived; None after an overrun without audio.

        Raises alsaaudio.ALSAAudioError when the device fails.
        """
        rest_s = min(pacing.interval_s, self._max_rest_s)
        may_rest = self._has_count and not self._period_ahead and not self._overrun  # after an overrun the card stands
        rested = may_rest and rest_s > self.period_s and pacing.wait(rest_s)
        self._max_rest_s = min(self._max_rest_s * REST_GROWTH, self.buffer_s / 2)
        periods, samples, available = list[bytes](), 0, None
        while not periods or (
            rested and self._has_more(available) and samples + self._period <= MAX_READ_S * self._rate
        ):
            if self._pcm.state() == alsaaudio.PCM_STATE_XRUN:
                if periods:
                    break
                self._note_overrun()
            count, frames = self._read_period()
            if count <= 0:
                self._note_overrun()
                break
            if not periods:
                first, overrun, stalled = self._first, self._overrun, self._stalled
                self._first = self._overrun = self._stalled = False
            else:
                self._check_count(available)
                if self._blocked:
                    self._period_ahead = (count, frames)
                    break
            periods.append(frames)
            samples += count
            at_s, available = self._stamp(samples)
        if not periods:
            return None
        self._has_count = available is not None
        return PcmRead(b"".join(periods), samples, at_s, self._has_count, first, overrun, stalled)

    def _note_overrun(self) -> None:
        if not self._overrun:
            self._max_rest_s = max(self._max_rest_s / 2, self.period_s)
        self._overrun = True

    def _read_period(self) -> tuple[int, bytes]:
        if self._period_ahead:
            period, self._period_ahead = self._period_ahead, None
            return period
        begun_s = time.monotonic()
        count, frames = self._pcm.read()
        now_s = time.monotonic()
        blocked_s = now_s - begun_s
        self._stalled |= blocked_s > STALL_S
        self._blocked = blocked_s > self.period_s * BLOCKED_SHARE
        if self._blocked or count <= 0:
            self._drained_s, self._samples_since_drained = now_s, 0
        else:
            self._samples_since_drained += count
        return count, frames

    def _has_period(self, available: int | None) -> bool:
        return available is not None and available >= self._period

    def _has_more(self, available: int | None) -> bool:
        """Return whether another period is there: by the card's count or, as that may be wrong, by the clock."""
        due = (time.monotonic() - self._drained_s) * self._rate - self._samples_since_drained
        return self._has_period(available) or self._count_contradicted or due > OVERDUE_PERIODS * self._period

    def _check_count(self, available: int | None) -> None:
        """Compare the count that the card gave before a period with whether reading that period blocked.

        A period that was not counted may have arrived in between; two in a row can't.
        """
        contradicted_before = self._count_contradicted
        self._count_contradicted = not self._has_period(available) and not self._blocked
        if self._blocked == self._has_period(available) and (self._blocked or contradicted_before):
            self._distrust += WRONG_COUNT_COST
        else:
            self._distrust = max(0, self._distrust - 1)
        if self._distrust - WRONG_COUNT_COST < DISTRUST_LIMIT <= self._distrust:
            logger.debug(
                "the driver does not know how many frames are available (it said %s); reading one period at a time",
                available,
            )

    def _stamp(self, count: int) -> tuple[float, int | None]:
        """Return when the first of the `count` samples just read was captured, and how many more are available.

        The count is None, and the time that of the read, if the card gives no credible ones. Its stamp is the moment
        at which `available` frames were waiting. alsaaudio ignores the result of `snd_pcm_htimestamp`: after a failure
        the numbers are whatever lay in memory, so edged checks that they are plausible.
        """
        seconds, nanoseconds, available = self._pcm.htimestamp()
        now_s, boot_s = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        age_s = now_s - (seconds + nanoseconds / 1e9)
        plausible = 0 <= age_s <= self.buffer_s and 0 <= available <= self.buffer_s * self._rate
        if plausible and self._distrust < DISTRUST_LIMIT:
            return boot_s - age_s - (available + count) / self._rate, available
        return boot_s - count / self._rate, None
