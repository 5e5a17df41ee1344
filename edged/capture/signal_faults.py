"""Signals in which nothing can be heard: a stuck value, nothing near speech, two channels that cancel. Pure.

Each is reported. A stuck value is also a reason to reopen the device, at growing intervals: some devices deliver zeros
after a disturbance until they are reopened. A muted device loses nothing by it. A device that delivers sound again by
itself gets more time, because an opening could cut off a word.
"""

import math
from itertools import chain
from typing import Final

from edged.capture.level import pick_channel
from edged.model.audio import BYTES_PER_SAMPLE, SignalChange
from edged.model.message_ids import MessageId

STUCK_S: Final = 10.0
"""Time of one value that is reported: a live converter's noise never holds still for more than some samples."""
MAX_STUCK_S: Final = 600.0
"""Longest such time for a device that delivers sound again by itself, such as a headset that delivers zeros between
words: somebody caused what lasts longer."""
MAX_REOPEN_INTERVAL_S: Final = 3600.0
"""Longest interval between two openings for the same fault; it doubles until then."""
SOUND_S: Final = 0.5
"""Time of sound that ends the fault: a rate converter delivers a moment of it at each opening, whatever its input."""
CURED_S: Final = 2.0
"""Audio after an opening within which returning sound counts as the effect of that opening."""

FAINT_S: Final = 120.0
"""Time without anything above `FAINT` that is reported: nobody has spoken audibly, and the room has made no noise."""
FAINT_AFTER_SOUND_S: Final = 86_400.0
"""The same time for a microphone that has been loud enough: a night is quiet, but not a whole day."""
LOUD_CHECKS: Final = 3
"""Loud checks that show a microphone to be loud enough: one may be the click with which it was opened."""
CHECK_S, LOUD_CHECK_S = 1.0, 10.0
"""Interval between checked blocks, and the one after a loud block: a check costs as much as all else here."""
FAINT: Final = 64
"""Magnitude below which nothing is speech, -54 dBFS: a voice is 20 dB louder with the lowest gain that is of use."""
CANCELLATION: Final = 10
"""Factor by which the sum of two channels that cancel is fainter than each of them: 20 dB."""

REOPENING: Final = "reopening it at growing intervals"


class StuckValueDetector:
    """Notices a channel that delivers one value only, mostly 0, and whether another channel has signal meanwhile."""

    fault: bool
    _stuck_samples: int
    """Number of samples for which the value has lasted."""
    _changing_samples: int
    """Number of samples since then that differ, in a row."""
    _opened_at: int | None
    """`_stuck_samples` at the last opening."""
    _reopen_interval_s: float
    _reopen_at: int
    _active_channels: set[int]
    """Other channels that have signal meanwhile."""

    def __init__(self, rate: int, channels: int, channel: int) -> None:
        self._rate, self._channels, self._channel = rate, channels, channel
        self._value = b""
        self._threshold_s = STUCK_S
        """Time of one value that is a fault: twice as long as what the device has ended by itself."""
        self._restart()

    @property
    def wants_reopening(self) -> bool:
        """Whether the device should be reopened now."""
        return self.fault and not self._active_channels and self._stuck_samples >= self._reopen_at

    def note_reopening(self) -> None:
        """Learn that the device was reopened."""
        self._reopen_interval_s = min(2 * self._reopen_interval_s, MAX_REOPEN_INTERVAL_S)
        self._opened_at = self._stuck_samples
        self._reopen_at = self._stuck_samples + round(self._reopen_interval_s * self._rate)

    def feed(self, pcm: bytes, frames: bytes) -> SignalChange | None:
        """Take a block of the chosen channel, and the interleaved frames that it came from."""
        if not _is_one_value(pcm):
            return self._feed_changing(pcm)
        value, self._changing_samples = pcm[:BYTES_PER_SAMPLE], 0
        if value != self._value and not self.fault:
            self._restart()
        self._value = value
        self._stuck_samples += len(pcm) // BYTES_PER_SAMPLE
        if self._channels > 1:
            self._find_active_channels(frames)
        if self.fault or self._stuck_samples < self._threshold_s * self._rate:
            return None
        self.fault = True
        return SignalChange(self._describe(), True, MessageId.MICROPHONE_SILENT)

    def _feed_changing(self, pcm: bytes) -> SignalChange | None:
        if not self.fault:
            if self._stuck_samples:
                self._restart()
            return None
        self._changing_samples += len(pcm) // BYTES_PER_SAMPLE
        if self._changing_samples < SOUND_S * self._rate:
            return None
        stuck_s = self._stuck_samples / self._rate
        cured = self._opened_at is not None and self._stuck_samples - self._opened_at <= CURED_S * self._rate
        self._threshold_s = STUCK_S if cured else min(2 * stuck_s, MAX_STUCK_S)
        self._restart()
        how = " after it was reopened" if cured else ""
        return SignalChange(f"delivers sound again{how}", False, MessageId.MICROPHONE_SILENT)

    def _restart(self) -> None:
        self.fault, self._stuck_samples, self._changing_samples, self._opened_at = False, 0, 0, None
        self._reopen_interval_s, self._reopen_at = self._threshold_s, round(self._threshold_s * self._rate)
        self._active_channels = set()

    def _find_active_channels(self, frames: bytes) -> None:
        for other in range(self._channels):
            if not _is_one_value(pick_channel(frames, self._channels, other)):
                self._active_channels.add(other)

    def _describe(self) -> str:
        value = int.from_bytes(self._value, "little", signed=True)
        signal = f"one value only ({value})" if value else "digital silence"
        if self._active_channels:
            active = ", ".join(str(other) for other in sorted(self._active_channels))
            return (
                f"delivers {signal} on channel {self._channel}, but there is signal on channel {active}:"
                f" set capture.channel = {min(self._active_channels)}"
            )
        if not value:
            return f"delivers {signal}: is it muted, or its volume at 0? {REOPENING}"
        if value in (32767, -32768):
            return (
                f"delivers {signal}, full scale: does it have a DC offset that gain amplifies? Lower capture.gain_db or"
                f" capture.volume; {REOPENING}"
            )
        return f"delivers {signal}: its data line is stuck (check the wiring and overlay of an I2S one); {REOPENING}"


_FAINT_HIGH = bytes((0, 255))
_FAINT_LOW = bytes(chain(range(FAINT), range(256 - FAINT, 256)))
"""High and low bytes of faint samples. A louder sample such as 200 may have them too, but never without neighbours that
have others."""


def _is_one_value(pcm: bytes) -> bool:
    value = pcm[:BYTES_PER_SAMPLE]
    return value == pcm[-BYTES_PER_SAMPLE:] and pcm == value * (len(pcm) // BYTES_PER_SAMPLE)


class FaintSignalDetector:
    """Notices that nothing is as loud as speech for minutes, or for a day after something was. It reports that once."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = 0
        """Number of samples so far."""
        self._faint_since = self._next_check = 0
        self._loud_checks = 0
        self._reported = self.fault = False

    def feed(self, pcm: bytes) -> SignalChange | None:
        """Take a block of the chosen channel."""
        self._samples += len(pcm) // BYTES_PER_SAMPLE
        if self._samples < self._next_check or (self._reported and not self.fault):
            return None
        if pcm[1::2].translate(None, _FAINT_HIGH) or pcm[::2].translate(None, _FAINT_LOW):
            self._faint_since, self._next_check = self._samples, self._samples + round(LOUD_CHECK_S * self._rate)
            self._loud_checks += 1
            was_fault, self.fault = self.fault, False
            return SignalChange("is loud enough now", False, MessageId.MICROPHONE_FAINT) if was_fault else None
        self._next_check = self._samples + round(CHECK_S * self._rate)
        limit_s = FAINT_S if self._loud_checks < LOUD_CHECKS else FAINT_AFTER_SOUND_S
        if self.fault or self._samples - self._faint_since < limit_s * self._rate:
            return None
        self._reported = self.fault = True
        level, minutes = round(20 * math.log10(FAINT / 32768)), round(limit_s / 60)
        text = (
            f"gave nothing louder than {level} dBFS for {minutes} min, far below speech: if somebody spoke, raise"
            " capture.volume or set capture.gain_db, and check that the right socket is used"
        )
        return SignalChange(text, True, MessageId.MICROPHONE_FAINT)


class SignalChecks:
    """All checks of one device's signal, from its start or an outage to the next outage.

    They last through openings that a fault of the signal asks for.
    """

    def __init__(self, rate: int, channels: int, channel: int) -> None:
        self._stuck_value = StuckValueDetector(rate, channels, channel)
        self._faint_signal = FaintSignalDetector(rate)
        self._channels_checked = channels != 1

    @property
    def wants_reopening(self) -> bool:
        """Whether the device should be closed now: to cure a stuck value, or to compare its channels."""
        return self._stuck_value.wants_reopening or (self._faint_signal.fault and not self._channels_checked)

    @property
    def wants_channels_check(self) -> bool:
        """Whether the channels that the card mixes into one were not compared yet."""
        return not self._channels_checked

    def note_reopening(self) -> None:
        """Learn that the device is about to be reopened."""
        if self._stuck_value.fault:
            self._stuck_value.note_reopening()

    def note_channels_check(self) -> None:
        """Learn that the channels were compared, which is done once."""
        self._channels_checked = True

    def feed(self, pcm: bytes, frames: bytes) -> tuple[SignalChange | None, SignalChange | None]:
        """Take a block of the chosen channel, and the interleaved frames that it came from."""
        return self._stuck_value.feed(pcm, frames), self._faint_signal.feed(pcm)


def channels_cancel(frames: bytes) -> bool:
    """Return whether two interleaved channels have opposite signs, so that hardly anything is left of their mixture."""
    samples = memoryview(frames).cast("h").tolist()
    left, right = samples[::2], samples[1::2]
    mixed = sum(abs(a + b) for a, b in zip(left, right, strict=True)) / 2
    alone = sum(map(abs, left))
    return alone > CANCELLATION * max(mixed, len(left))


CANCELLING_CHANNELS: Final = SignalChange(
    "has two channels with opposite signs, which cancel each other: set capture.channels = 2",
    True,
    MessageId.MICROPHONE_SILENT,
)
