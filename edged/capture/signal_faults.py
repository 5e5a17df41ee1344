"""Signals in which nothing can be heard: one value only, nothing near speech, two channels that cancel. Pure.

Each is told of. One value is also a reason to open the device again, at growing intervals: some devices give zeros
after a disturbance until that is done. A muted one loses nothing by it. One that gives sound again by itself gets more
time: an opening could cut a word.
"""

import math
from itertools import chain
from typing import Final

from edged.capture.level import pick
from edged.model.audio import BYTES_PER_SAMPLE, SignalChange
from edged.model.message_ids import MessageId

ONE_VALUE_S: Final = 10.0
"""One value for this long is reported: a live converter's noise never holds still for more than some samples."""
LONGEST_PATIENCE_S: Final = 600.0
"""With a device that gives sound again by itself, such as a headset that gives zeros while nobody speaks: what was
longer was somebody's doing.
"""
LONGEST_S: Final = 3600.0
"""Between two openings for the same fault; the waits double until then."""
SOUND_S: Final = 0.5
"""Sound for this long ends it: a converter of rates gives a moment of it at each opening, whatever it converts."""
HELPED_S: Final = 2.0
"""What comes within this much audio after an opening came by it."""

FAINT_S: Final = 120.0
"""So long nothing was louder than `FAINT`: nobody has spoken who could be heard, and the room has made no noise."""
QUIET_S: Final = 86_400.0
"""The same for a microphone that has been loud enough: a night is quiet, but no whole day."""
LOUD_LOOKS: Final = 3
"""That show it to be: one may be the click with which it was opened."""
LOOK_S, LOUD_LOOK_S = 1.0, 10.0
"""Intervals between measured blocks, and after a louder one: measuring costs as much as all else here."""
FAINT: Final = 64
"""-54 dBFS: a voice is 20 dB louder with the lowest gain that is of use."""
CANCELLED: Final = 10
"""So much fainter, 20 dB, is what is left of two channels that cancel."""

REOPENED: Final = "it is opened again, at growing intervals"
BY_REOPENING: Final = ", since it was opened again"


class StuckValueDetector:
    """Notices a channel that gives one value only, mostly 0, and whether another has signal meanwhile."""

    fault: bool
    _samples: int
    """For which it has lasted."""
    _varied: int
    """Since, in a row."""
    _opened_at: int | None
    _wait_s: float
    _reopen_at: int
    _others: set[int]
    """Channels that have signal meanwhile."""

    def __init__(self, rate: int, channels: int, channel: int) -> None:
        self._rate, self._channels, self._channel = rate, channels, channel
        self._value = b""
        self._patience_s = ONE_VALUE_S
        """How long one value is no fault yet: twice as long as what the device has ended by itself."""
        self._begin()

    @property
    def wants_reopening(self) -> bool:
        """Whether the device should be opened again now."""
        return self.fault and not self._others and self._samples >= self._reopen_at

    def reopened(self) -> None:
        """The device was opened again."""
        self._wait_s = min(2 * self._wait_s, LONGEST_S)
        self._opened_at, self._reopen_at = self._samples, self._samples + round(self._wait_s * self._rate)

    def feed(self, pcm: bytes, frames: bytes) -> SignalChange | None:
        """Takes a block of the chosen channel and the interleaved frames that it came from."""
        if not _is_one_value(pcm):
            return self._varies(pcm)
        value, self._varied = pcm[:BYTES_PER_SAMPLE], 0
        if value != self._value and not self.fault:
            self._begin()
        self._value = value
        self._samples += len(pcm) // BYTES_PER_SAMPLE
        if self._channels > 1:
            self._look_elsewhere(frames)
        if self.fault or self._samples < self._patience_s * self._rate:
            return None
        self.fault = True
        return SignalChange(self._told(), True, MessageId.MICROPHONE_SILENT)

    def _varies(self, pcm: bytes) -> SignalChange | None:
        if not self.fault:
            if self._samples:
                self._begin()
            return None
        self._varied += len(pcm) // BYTES_PER_SAMPLE
        if self._varied < SOUND_S * self._rate:
            return None
        helped = self._opened_at is not None and self._samples - self._opened_at <= HELPED_S * self._rate
        self._patience_s = ONE_VALUE_S if helped else min(2 * self._samples / self._rate, LONGEST_PATIENCE_S)
        self._begin()
        return SignalChange(f"delivers sound again{BY_REOPENING if helped else ''}", False, MessageId.MICROPHONE_SILENT)

    def _begin(self) -> None:
        """To count."""
        self.fault, self._samples, self._varied, self._opened_at = False, 0, 0, None
        self._wait_s, self._reopen_at = self._patience_s, round(self._patience_s * self._rate)
        self._others = set()

    def _look_elsewhere(self, frames: bytes) -> None:
        for other in range(self._channels):
            samples = pick(frames, self._channels, other)
            if not _is_one_value(samples):
                self._others.add(other)

    def _told(self) -> str:
        value = int.from_bytes(self._value, "little", signed=True)
        what = f"one value only ({value})" if value else "digital silence"
        if self._others:
            heard = ", ".join(str(other) for other in sorted(self._others))
            return (
                f"delivers {what} on channel {self._channel}, but there is signal on channel {heard}:"
                f" set capture.channel = {min(self._others)}"
            )
        if not value:
            return f"delivers {what}: is it muted, or its volume at 0? {REOPENED}"
        if value in (32767, -32768):
            return (
                f"delivers {what}, full scale: has it a DC offset that gain drives there? Lower capture.gain_db or"
                f" capture.volume; {REOPENED}"
            )
        return f"delivers {what}: its data line is stuck (look at the wiring and overlay of an I2S one); {REOPENED}"


_FAINT_HIGH = bytes((0, 255))
_FAINT_LOW = bytes(chain(range(FAINT), range(256 - FAINT, 256)))
"""By high and low byte: what no sample has that is louder. What passes for faint here and is not, such as 200, is never
without neighbours that are seen.
"""


def _is_one_value(pcm: bytes) -> bool:
    value = pcm[:BYTES_PER_SAMPLE]
    return value == pcm[-BYTES_PER_SAMPLE:] and pcm == value * (len(pcm) // BYTES_PER_SAMPLE)


class FaintSignalDetector:
    """Notices that nothing is as loud as speech, for minutes, or a day after it was. It is told once, and its end."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = self._since = self._look_at = 0
        """Heard; since when nothing was louder; when to look."""
        self._loud_looks = 0
        self._told = self.fault = False

    def feed(self, pcm: bytes) -> SignalChange | None:
        """Takes a block of the chosen channel."""
        self._samples += len(pcm) // BYTES_PER_SAMPLE
        if self._samples < self._look_at or (self._told and not self.fault):
            return None
        if pcm[1::2].translate(None, _FAINT_HIGH) or pcm[::2].translate(None, _FAINT_LOW):
            self._since, self._look_at = self._samples, self._samples + round(LOUD_LOOK_S * self._rate)
            self._loud_looks += 1
            was, self.fault = self.fault, False
            return SignalChange("is loud enough now", False, MessageId.MICROPHONE_FAINT) if was else None
        self._look_at = self._samples + round(LOOK_S * self._rate)
        most_s = FAINT_S if self._loud_looks < LOUD_LOOKS else QUIET_S
        if self.fault or self._samples - self._since < most_s * self._rate:
            return None
        self._told = self.fault = True
        level, minutes = round(20 * math.log10(FAINT / 32768)), round(most_s / 60)
        text = (
            f"gave nothing louder than {level} dBFS for {minutes} min, far below speech: if somebody spoke, raise"
            " capture.volume or set capture.gain_db, and see that the right socket is used"
        )
        return SignalChange(text, True, MessageId.MICROPHONE_FAINT)


def channels_cancel(frames: bytes) -> bool:
    """Whether two interleaved channels are so opposed to each other that a mixture of both is hardly to be heard."""
    samples = memoryview(frames).cast("h").tolist()
    one, other = samples[::2], samples[1::2]
    mixed = sum(abs(a + b) for a, b in zip(one, other, strict=True)) / 2
    alone = sum(map(abs, one))
    return alone > CANCELLED * max(mixed, len(one))


CANCELLING: Final = SignalChange(
    "hears two channels with opposite signs, which cancel each other: set capture.channels = 2",
    True,
    MessageId.MICROPHONE_SILENT,
)
