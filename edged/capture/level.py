"""What is wrong with the signal itself: clipping, digital silence, no audio at all. Pure.

Each of these is a fault that people are told of; none of them is a reason to reopen the device: a hardware mute gives
exact zeros and is legitimate.
"""

from edged.audio import BYTES_PER_SAMPLE, Signal

ZEROS_S = 10.0
"""Exact zeros for this long are reported: a live converter's noise never holds still for more than some samples."""
NO_BLOCK_S = 2.0
"""No block for this long is reported: four times the longest period, twice the default buffer."""


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
    `bytes.translate` finds nothing in them that could be louder than the peak.
    """

    def __init__(self) -> None:
        self.peak = 0
        """The largest magnitude, 0 to 32768."""
        self.clipped = 0
        """Samples at either end of the scale."""

    def hear(self, pcm: bytes) -> None:
        """Counts a block of s16le mono."""
        loudest = _loudness(min(self.peak, 32767) >> 8)
        if not pcm[1::2].translate(None, _QUIETER[loudest]):
            return
        samples = memoryview(pcm).cast("h").tolist()
        self.peak = max(self.peak, max(samples), -min(samples))
        if self.peak >= 32767:
            self.clipped += samples.count(32767) + samples.count(-32768)


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
            return Signal("delivers sound again", fault=False) if was else None
        self._zeros += len(pcm) // BYTES_PER_SAMPLE
        if frames != bytes(len(frames)):
            others = ((other, pick(frames, self._channels, other)) for other in range(self._channels))
            self._others.update(other for other, samples in others if samples != bytes(len(samples)))
        if self._fault or self._zeros < self._limit:
            return None
        self._fault = True
        if not self._others:
            return Signal("delivers digital silence: is it muted, or its volume at 0?", fault=True)
        heard = ", ".join(str(other) for other in sorted(self._others))
        return Signal(
            f"delivers digital silence on channel {self._channel}, but there is signal on channel {heard}:"
            f" set capture.channel = {min(self._others)}",
            fault=True,
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
            return Signal(f"is open but has delivered nothing for {NO_BLOCK_S:g} s", fault=True)
        return Signal("delivers again" if last_block_s is not None else "was closed", fault=False)
