"""How loud the signal is, and whether there is one at all. Pure. What is deaf is in `deaf`."""

import math
from collections import deque

from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

NO_BLOCK_S = 2.0
"""No block for this long is reported: four times the longest period, twice the default buffer."""
REOPEN_S, LONGEST_WAIT_S = 3.0, 3600.0
"""How long after that it is opened again, and the longest wait until it is once more; they double until then. The
first comes before a watchdog of 30 s."""

CLIPPING_LOOKS, LOOKS = 5, 30
"""So many of the last so many looks, 2 s each, saw clipping: people speak too loud for the volume, no door slammed."""
CLIPPED_SAMPLES = 10
"""In a look: single ones are no harm."""
OFFSET = 4096
"""Mean of what clips, -18 dBFS: speech is even, to within some hundreds."""
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
        self.offset = 0
        """Mean of the last block that clipped."""

    def feed(self, pcm: bytes) -> None:
        """Counts a block of s16le mono."""
        loudest = min(127, _loudness(min(self.peak, 32767) >> 8) + 1)
        if not pcm[1::2].translate(None, _QUIETER[loudest]):
            return
        samples = memoryview(pcm).cast("h").tolist()
        self.peak = max(self.peak, max(samples), -min(samples))
        if self.peak >= 32767:
            clipped = samples.count(32767) + samples.count(-32768)
            self.clipped += clipped
            if clipped:
                self.offset = sum(samples) // len(samples)


class Loudness:
    """Notices a volume that costs words. Each of its two faults is told once a run."""

    def __init__(self) -> None:
        self._clipped = 0
        self._clipping: deque[bool] = deque(maxlen=LOOKS)
        self._open = 0
        self._told: set[str] = set()

    def check(self, peak: int, clipped: int, offset: int, *, is_open: bool) -> str | None:
        """To be called every 2 s with what `Level` has counted, and whether speech is let through just now."""
        self._clipping.append(clipped - self._clipped >= CLIPPED_SAMPLES)
        self._clipped = clipped
        self._open += is_open
        if sum(self._clipping) >= CLIPPING_LOOKS and abs(offset) >= OFFSET:
            share = round(100 * offset / 32768)
            text = f"clips for a DC offset of {share} % of full scale, which gain amplifies too: lower capture.gain_db"
            return self._once("clipping", f"{text}, or capture.volume")
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


class StallDetector:
    """Notices that no block comes from a device that is open: its thread may hang in the kernel, so another looks.

    Some devices deliver again when they are opened again, so that is asked for at growing intervals.
    """

    def __init__(self) -> None:
        self._fault = False
        self._wait_s = REOPEN_S
        self._reopen_at_s = math.inf
        self._reopened = False

    def check(self, now_s: float, last_block_s: float | None) -> SignalChange | None:
        """To be called about once a second with `time.monotonic()` and `Counters.last_block_s` (None: not open)."""
        late = last_block_s is not None and now_s - last_block_s > NO_BLOCK_S
        if late == self._fault:
            return None
        self._fault = late
        if late:
            self._wait_s, self._reopen_at_s, self._reopened = REOPEN_S, now_s + REOPEN_S, False
            text = f"is open but has delivered nothing for {NO_BLOCK_S:g} s; it is opened again, at growing intervals"
            return SignalChange(text, True, MessageId.MICROPHONE_STUCK)
        how = ", since it was opened again" if self._reopened else ""
        text = "was closed" if last_block_s is None else f"delivers again{how}"
        return SignalChange(text, False, MessageId.MICROPHONE_STUCK)

    def wants_reopening(self, now_s: float) -> bool:
        """Whether the device should be opened again now; True counts as done. To be asked after `check`."""
        if not self._fault or now_s < self._reopen_at_s:
            return False
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        self._reopen_at_s, self._reopened = now_s + self._wait_s, True
        return True
