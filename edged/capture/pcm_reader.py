"""What is read from an open PCM at a time, when it was captured, and whether audio is missing before it.

Where nobody waits for it, the thread rests between reads, and then takes all that has come as one stretch. There is no
hole in the midst of a stretch: it ends before an overrun, and only its first read waits for audio.

How much has come is what the card says, checked by the clock. Plug-ins that buffer don't always know: with libasound
1.2.8 a `route` in front of S32 at the card's own rate always says 0, and what waited came in a row nevertheless.
"""

import logging
import time
from threading import Event
from typing import Any, Final, NamedTuple

import alsaaudio

from edged.capture.level import NO_BLOCK_S

logger = logging.getLogger(__name__)

MOST_S: Final = 0.5
"""In one stretch, also after a delay of our own: as long as the longest period, and well within what the ring takes."""

WAITED: Final = 0.25
"""A read that took this share of a period waited for it: what is there is read in less, even on a busy machine."""
OVERDUE: Final = 1.5
"""Periods that must have come by the clock, and are missing by what the card says, before one is read to find out. One
would be there or not by a hair."""
REGAIN: Final = 1.0001
"""By how much the longest rest grows with each: what an overrun has halved is regained in an hour or two."""
LIE, DISBELIEVED = 8, 48
"""A card is disbelieved that is wrong about how much waits six times, unless it is right eight times as often: a busy
machine can make one that is right look wrong now and then."""


class PcmRead(NamedTuple):
    """Frames in a row, as the card gave them."""

    frames: bytes
    samples: int
    """Of each channel."""
    at_s: float
    """When the first was captured (CLOCK_BOOTTIME)."""
    exact: bool
    """The card says so; else it is when they were read."""
    overrun: bool
    """Audio was lost before it."""
    stalled: bool
    """It was waited for so long that `level.Watch` has told."""


class ReadPacing:
    """How much audio may come at a time: told by one thread, heeded by another, whose rest it ends."""

    def __init__(self) -> None:
        self.rest_s = 0.0
        self._hurry = Event()
        self._hurry.set()

    def rest(self, seconds: float) -> None:
        """So much from now on; 0: every period as soon as it is there."""
        if seconds != self.rest_s:
            self.rest_s = seconds
            self._hurry.clear() if seconds else self._hurry.set()

    def wait(self, seconds: float) -> bool:
        """Rest; False if somebody is in a hurry."""
        return not self._hurry.wait(seconds)


class PcmReader:
    """Of one opening, in the thread that opened it."""

    def __init__(self, pcm: Any, rate: int) -> None:
        info = pcm.info()
        self._period: int = info["period_size"]
        self.period_s: float = self._period / rate
        self.buffer_s: float = info["buffer_size"] / rate
        self._pcm, self._rate = pcm, rate
        self._longest_s = self.buffer_s / 2
        """A rest of more would be near an overrun. Each halves it: a card may be faster than it promises."""
        self._says = False
        """It says how much has come meanwhile."""
        self._lies = 0
        """How much it was wrong about that."""
        self._held: tuple[int, bytes] | None = None
        """Read behind a stretch that had ended: what was waited for may come after a hole."""
        self._overrun = self._stalled = self._waited = self._doubted = False
        self._empty_s = time.monotonic()
        """When nothing waited to be read, and how much was read since."""
        self._since = 0

    def next(self, patience: ReadPacing) -> PcmRead | None:
        """One period, or a rest and what has come since. None if there was nothing but an overrun.

        Raises alsaaudio.ALSAAudioError when the device is gone.
        """
        rest_s = min(patience.rest_s, self._longest_s)
        may_rest = self._says and not self._held and not self._overrun  # behind an overrun the card stands
        rested = may_rest and rest_s > self.period_s and patience.wait(rest_s)
        self._longest_s = min(self._longest_s * REGAIN, self.buffer_s / 2)
        pieces, samples, available = list[bytes](), 0, None
        while not pieces or (rested and self._has_more(available) and samples + self._period <= MOST_S * self._rate):
            if self._pcm.state() == alsaaudio.PCM_STATE_XRUN:
                if pieces:
                    break
                self._overran()
            count, frames = self._read()
            if count <= 0:
                self._overran()
                break
            if not pieces:
                overrun, stalled = self._overrun, self._stalled
                self._overrun = self._stalled = False
            else:
                self._judge(available)
                if self._waited:
                    self._held = (count, frames)
                    break
            pieces.append(frames)
            samples += count
            at_s, available = self._stamp(samples)
        if not pieces:
            return None
        self._says = available is not None
        return PcmRead(b"".join(pieces), samples, at_s, self._says, overrun, stalled)

    def _overran(self) -> None:
        if not self._overrun:
            self._longest_s = max(self._longest_s / 2, self.period_s)
        self._overrun = True

    def _read(self) -> tuple[int, bytes]:
        if self._held:
            held, self._held = self._held, None
            return held
        asked_s = time.monotonic()
        count, frames = self._pcm.read()
        now_s = time.monotonic()
        waited_s = now_s - asked_s
        self._stalled |= waited_s > NO_BLOCK_S
        self._waited = waited_s > self.period_s * WAITED
        if self._waited or count <= 0:
            self._empty_s, self._since = now_s, 0
        else:
            self._since += count
        return count, frames

    def _promised(self, available: int | None) -> bool:
        return available is not None and available >= self._period

    def _has_more(self, available: int | None) -> bool:
        """Whether another period is there: the card says so, or, as it can be wrong, the clock does."""
        due = (time.monotonic() - self._empty_s) * self._rate - self._since
        return self._promised(available) or self._doubted or due > OVERDUE * self._period

    def _judge(self, available: int | None) -> None:
        """What it said before this read: that a period was there, or that none was.

        One that was not there can come in this very moment; two in a row can't.
        """
        doubted, self._doubted = self._doubted, not self._promised(available) and not self._waited
        if self._waited == self._promised(available) and (self._waited or doubted):
            self._lies += LIE
        else:
            self._lies = max(0, self._lies - 1)
        if self._lies - LIE < DISBELIEVED <= self._lies:
            text = "the driver does not know how much has come (it said %s): every period is waited for"
            logger.debug(text, available)

    def _stamp(self, count: int) -> tuple[float, int | None]:
        """When the first of the `count` samples just read was captured (CLOCK_BOOTTIME), and how many more there are;
        None if the card does not say, or can't be believed.

        The card's stamp is the moment at which `available` frames were waiting. alsaaudio does not look at the result
        of `snd_pcm_htimestamp`: when it failed, the numbers are whatever lay in memory, so only sane ones are believed.
        """
        seconds, nanoseconds, available = self._pcm.htimestamp()
        now_s, boot_s = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        age_s = now_s - (seconds + nanoseconds / 1e9)
        sane = 0 <= age_s <= self.buffer_s and 0 <= available <= self.buffer_s * self._rate
        if sane and self._lies < DISBELIEVED:
            return boot_s - age_s - (available + count) / self._rate, available
        return boot_s - count / self._rate, None
