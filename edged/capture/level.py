"""What is wrong with the signal itself: clipping, digital silence, no audio at all. Pure.

Each of these is a fault that people are told of; none of them is a reason to reopen the device: a hardware mute gives
exact zeros and is legitimate.
"""

import math
from collections import deque

from edged.audio import BYTES_PER_SAMPLE, Signal
from edged.troubles import Trouble

ZEROS_S = 10.0
"""Exact zeros for this long are reported: a live converter's noise never holds still for more than some samples."""
NO_BLOCK_S = 2.0
"""No block for this long is reported: four times the longest period, twice the default buffer."""

CLIPPING_LOOKS, LOOKS = 5, 30
"""So many of the last so many looks, 2 s each, saw clipping: people speak too loud for the volume, no door slammed."""
CLIPPED_SAMPLES = 10
"""In a look: single ones are no harm."""
FAINT_PEAK = 512
"""-36 dBFS: what never was louder, though it passed for speech, is hard for a recogniser."""
FAINT_LOOKS = 15
"""While the gate was open: that is half a minute of speech."""
UNSEEN = 256
"""What `Level` may miss by."""


def dbfs(peak: int) -> float:
    """A magnitude, 0 to 32768, as dB below full scale; what `Level` can't see counts as -42.1."""
    return 20 * math.log10(max(peak, UNSEEN) / 32768)


def pick(frames: bytes, channels: int, channel: int) -> bytes:
    """One channel of interleaved s16 audio, without a loop in Python: 5-10 us for 100 ms of stereo."""
    return frames if channels == 1 else memoryview(frames).cast("h")[channel::channels].tobytes()


def _loudness(high: int) -> int:
    """Of a sample, by its high byte alone: 0 to 127, the same for a value and its complement."""
    return high if high < 128 else 255 - high


_QUIETER = [bytes(high for high in range(256) if _loudness(high) < bound) for bound in range(128)]
"""By loudness: the high bytes of all samples that are surely quieter."""


class Level:
    """Peak and clipping since the start.

    Looking at every sample in Python costs 60 us a block of 100 ms; here most blocks are passed in 5 us, because
    `bytes.translate` finds nothing in them that is louder than the peak, by the high bytes.
    """

    def __init__(self) -> None:
        self.peak = 0
        """The largest magnitude, 0 to 32768; up to 256 more may have passed unseen."""
        self.clipped = 0
        """Samples at either end of the scale."""

    def hear(self, pcm: bytes) -> None:
        """Counts a block of s16le mono."""
        loudest = min(127, _loudness(min(self.peak, 32767) >> 8) + 1)
        if not pcm[1::2].translate(None, _QUIETER[loudest]):
            return
        samples = memoryview(pcm).cast("h").tolist()
        self.peak = max(self.peak, max(samples), -min(samples))
        if self.peak >= 32767:
            self.clipped += samples.count(32767) + samples.count(-32768)


class Loudness:
    """Notices a volume that costs words. Each of its two faults is told once a run."""

    def __init__(self) -> None:
        self._clipped = 0
        self._clipping: deque[bool] = deque(maxlen=LOOKS)
        self._open = 0
        self._told: set[str] = set()

    def check(self, peak: int, clipped: int, *, is_open: bool) -> str | None:
        """To be called every 2 s with what `Level` has counted, and whether speech is let through just now."""
        self._clipping.append(clipped - self._clipped >= CLIPPED_SAMPLES)
        self._clipped = clipped
        self._open += is_open
        if sum(self._clipping) >= CLIPPING_LOOKS:
            return self._once("clipping", "clips: lower capture.volume, or move it away from who speaks")
        if self._open >= FAINT_LOOKS and peak < FAINT_PEAK:
            text = f"is very quiet (peak {dbfs(peak):.0f} dBFS): raise capture.volume, or set capture.gain_db"
            return self._once("faint", text)
        return None

    def _once(self, fault: str, text: str) -> str | None:
        new = fault not in self._told
        self._told.add(fault)
        return text if new else None


class DigitalSilence:
    """Notices exact zeros, and whether another channel has signal meanwhile."""

    def __init__(self, rate: int, channels: int, channel: int) -> None:
        self._limit = int(ZEROS_S * rate)
        self._channels = channels
        self._channel = channel
        self._zeros = 0
        self._others: set[int] = set()
        self._fault = False

    def hear(self, pcm: bytes, frames: bytes) -> Signal | None:
        """Takes a block of the chosen channel and the interleaved frames that it came from."""
        if pcm != bytes(len(pcm)):
            was, self._fault = self._fault, False
            self._zeros = 0
            self._others.clear()
            return Signal("delivers sound again", False, Trouble.MICROPHONE_SILENT) if was else None
        self._zeros += len(pcm) // BYTES_PER_SAMPLE
        if frames != bytes(len(frames)):
            others = ((other, pick(frames, self._channels, other)) for other in range(self._channels))
            self._others.update(other for other, samples in others if samples != bytes(len(samples)))
        if self._fault or self._zeros < self._limit:
            return None
        self._fault = True
        if not self._others:
            return Signal("delivers digital silence: is it muted, or its volume at 0?", True, Trouble.MICROPHONE_SILENT)
        heard = ", ".join(str(other) for other in sorted(self._others))
        return Signal(
            f"delivers digital silence on channel {self._channel}, but there is signal on channel {heard}:"
            f" set capture.channel = {min(self._others)}",
            True,
            Trouble.MICROPHONE_SILENT,
        )


class Watch:
    """Notices that no block comes from a device that is open: its thread may hang in the kernel, so another looks."""

    def __init__(self) -> None:
        self._fault = False

    def check(self, now_s: float, last_block_s: float | None) -> Signal | None:
        """To be called about once a second with `time.monotonic()` and `Counters.last_block_s` (None: not open)."""
        late = last_block_s is not None and now_s - last_block_s > NO_BLOCK_S
        if late == self._fault:
            return None
        self._fault = late
        if late:
            text = f"is open but has delivered nothing for {NO_BLOCK_S:g} s"
            return Signal(text, True, Trouble.MICROPHONE_STUCK)
        return Signal("delivers again" if last_block_s is not None else "was closed", False, Trouble.MICROPHONE_STUCK)
