"""What is read from an open PCM at a time, when it was captured, and whether audio is missing before it.

Where nobody waits for it, the thread rests between reads, and then takes all that has come as one stretch. There is no
hole in the midst of a stretch: it ends before an overrun, and only its first read waits for audio.
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


class Stretch(NamedTuple):
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


class Patience:
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


class Reading:
    """Of one opening, in the thread that opened it."""

    def __init__(self, pcm: Any, rate: int) -> None:
        info = pcm.info()
        self._period: int = info["period_size"]
        self.period_s: float = self._period / rate
        self.buffer_s: float = info["buffer_size"] / rate
        self._pcm, self._rate = pcm, rate
        self._longest_s = self.buffer_s / 2
        """A rest of more would be near an overrun."""
        self._may_rest = False
        """It can be known how much has come meanwhile."""
        self._overrun = self._stalled = False

    def next(self, patience: Patience) -> Stretch | None:
        """One period, or a rest and what has come since. None if there was nothing but an overrun.

        Raises alsaaudio.ALSAAudioError when the device is gone.
        """
        rest_s = min(patience.rest_s, self._longest_s)
        rested = self._may_rest and rest_s > self.period_s and patience.wait(rest_s)
        pieces, samples, pcm = list[bytes](), 0, self._pcm
        while True:
            if pcm.state() == alsaaudio.PCM_STATE_XRUN:
                if pieces:
                    break
                self._overrun = True
            asked_s = time.monotonic()
            count, frames = pcm.read()
            self._stalled |= time.monotonic() - asked_s > NO_BLOCK_S
            if count <= 0:
                self._overrun = True
                break
            if not pieces:
                overrun, stalled = self._overrun, self._stalled
                self._overrun = self._stalled = False
            pieces.append(frames)
            samples += count
            at_s, available = _stamp(pcm, samples, self._rate, self.buffer_s)
            if not rested or available is None or samples + self._period > MOST_S * self._rate:
                break
            if available < self._period:
                self._believe(samples, rest_s)
                break
        if not pieces:
            return None
        self._may_rest = available is not None
        return Stretch(b"".join(pieces), samples, at_s, available is not None, overrun, stalled)

    def _believe(self, samples: int, rest_s: float) -> None:
        """So many have come in a rest, and no more, as the driver says. It can't be much less than the rest took."""
        if samples < rest_s * self._rate - self._period:
            logger.debug("the driver does not know how much has come: every period is waited for")
            self._longest_s = 0.0


def _stamp(pcm: Any, count: int, rate: int, buffer_s: float) -> tuple[float, int | None]:
    """When the first of the `count` samples just read was captured (CLOCK_BOOTTIME), and how many more there are; None
    if the card does not say.

    The card's stamp is the moment at which `available` frames were waiting. alsaaudio does not look at the result of
    `snd_pcm_htimestamp`: when it failed, the numbers are whatever lay in memory, so only sane ones are believed.
    """
    seconds, nanoseconds, available = pcm.htimestamp()
    now_s, boot_s = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    age_s = now_s - (seconds + nanoseconds / 1e9)
    if 0 <= age_s <= buffer_s and 0 <= available <= buffer_s * rate:
        return boot_s - age_s - (available + count) / rate, available
    return boot_s - count / rate, None
