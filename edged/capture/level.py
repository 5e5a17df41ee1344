"""The level of the signal: peak, clipping, faults of the volume, and whether audio arrives at all. Pure.

`signal_faults` detects signals in which nothing can be heard.
"""

import math
from collections import deque

from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

STALL_S = 2.0
"""Time without a block that is reported as a stall: four times the longest period, twice the default buffer."""
REOPEN_AFTER_S, MAX_REOPEN_INTERVAL_S = 3.0, 3600.0
"""Time from the report of a stall to the first reopening, and the longest interval; it doubles with each one. The first
reopening comes before a watchdog of 30 s would act."""

CLIPPING_CHECKS, CHECKS = 5, 30
"""Clipping is a fault if so many of the last 30 checks, 2 s apart, saw it: people who speak too loudly, not a door."""
CLIPPED_SAMPLES = 10
"""Clipped samples that count as clipping, per check: single ones do no harm."""
MIN_DC_OFFSET = 4096
"""Mean of a clipping block that means a DC offset, -18 dBFS: speech is even to within some hundreds."""
QUIET_PEAK = 512
"""Peak below which speech is hard to recognise, -36 dBFS."""
QUIET_CHECKS = 15
"""Checks with the gate open, that is half a minute of speech, before a quiet signal is a fault."""
PEAK_TOLERANCE = 256
"""Error of `Level.peak`."""


def dbfs(peak: int) -> float:
    """Return a magnitude, 0 to 32768, as dB below full scale; -42.1 for all that `Level` can't resolve."""
    return 20 * math.log10(max(peak, PEAK_TOLERANCE) / 32768)


def pick_channel(frames: bytes, channels: int, channel: int) -> bytes:
    """Return one channel of interleaved s16 audio, without a loop in Python: 5-10 us for 100 ms of stereo."""
    return frames if channels == 1 else memoryview(frames).cast("h")[channel::channels].tobytes()


def _magnitude(high: int) -> int:
    """Return the magnitude of a sample by its high byte: 0 to 127, the same for a value and its complement."""
    return high if high < 128 else 255 - high


_QUIETER = [bytes(high for high in range(256) if _magnitude(high) < bound) for bound in range(128)]
"""High bytes of all samples that are surely quieter, by magnitude."""


class Level:
    """Peak, clipping and DC offset since the start.

    A look at every sample in Python costs 60 us for a block of 100 ms. Most blocks pass in 5 us here, because
    `bytes.translate` finds no high byte in them that is louder than the peak.
    """

    def __init__(self) -> None:
        self.peak = 0
        """Largest magnitude, 0 to 32768; up to 256 more may have passed unseen."""
        self.clipped_samples = 0
        """Number of samples at either end of the scale."""
        self.dc_offset = 0
        """Mean of the last block that clipped."""

    def feed(self, pcm: bytes) -> None:
        """Take a block of s16le mono."""
        loudest = min(127, _magnitude(min(self.peak, 32767) >> 8) + 1)
        if not pcm[1::2].translate(None, _QUIETER[loudest]):
            return
        samples = memoryview(pcm).cast("h").tolist()
        self.peak = max(self.peak, max(samples), -min(samples))
        if self.peak >= 32767:
            clipped = samples.count(32767) + samples.count(-32768)
            self.clipped_samples += clipped
            if clipped:
                self.dc_offset = sum(samples) // len(samples)


class LevelMonitor:
    """Notices a volume that costs words: clipping, or a very quiet signal. Each fault is reported once a run."""

    def __init__(self) -> None:
        self._clipped_samples = 0
        self._clipping: deque[bool] = deque(maxlen=CHECKS)
        self._open_checks = 0
        self._reported: set[str] = set()

    def check(self, peak: int, clipped_samples: int, dc_offset: int, *, is_open: bool) -> str | None:
        """Return a new fault in words, or None. Called every 2 s with the counts of `Level`.

        `is_open` says whether the gate passes speech at the moment.
        """
        self._clipping.append(clipped_samples - self._clipped_samples >= CLIPPED_SAMPLES)
        self._clipped_samples = clipped_samples
        self._open_checks += is_open
        if sum(self._clipping) >= CLIPPING_CHECKS and abs(dc_offset) >= MIN_DC_OFFSET:
            share = round(100 * dc_offset / 32768)
            text = f"clips for a DC offset of {share} % of full scale, which gain amplifies too: lower capture.gain_db"
            return self._once("clipping", f"{text}, or capture.volume")
        if sum(self._clipping) >= CLIPPING_CHECKS:
            return self._once("clipping", "clips: lower capture.volume, or move it away from the person who speaks")
        if self._open_checks >= QUIET_CHECKS and peak < QUIET_PEAK:
            text = f"is very quiet (peak {dbfs(peak):.0f} dBFS): raise capture.volume, or set capture.gain_db"
            return self._once("quiet", text)
        return None

    def _once(self, fault: str, text: str) -> str | None:
        new = fault not in self._reported
        self._reported.add(fault)
        return text if new else None


class StallDetector:
    """Notices from another thread that an open device delivers nothing: its own thread may hang in the kernel.

    Some devices deliver again after they are reopened, so the detector asks for that at growing intervals.
    """

    def __init__(self) -> None:
        self._fault = False
        self._interval_s = REOPEN_AFTER_S
        self._reopen_at_s = math.inf
        self._reopened = False

    def check(self, now_s: float, last_block_s: float | None) -> SignalChange | None:
        """Return the begin or the end of a stall, or None. Called about once a second.

        `now_s` is `time.monotonic()`, and `last_block_s` that of `CaptureCounters` (None: no device is open).
        """
        late = last_block_s is not None and now_s - last_block_s > STALL_S
        if late == self._fault:
            return None
        self._fault = late
        if late:
            self._interval_s, self._reopen_at_s, self._reopened = REOPEN_AFTER_S, now_s + REOPEN_AFTER_S, False
            text = f"is open but has delivered nothing for {STALL_S:g} s; reopening it at growing intervals"
            return SignalChange(text, True, MessageId.MICROPHONE_STUCK)
        how = " after it was reopened" if self._reopened else ""
        text = "was closed" if last_block_s is None else f"delivers again{how}"
        return SignalChange(text, False, MessageId.MICROPHONE_STUCK)

    def wants_reopening(self, now_s: float) -> bool:
        """Return whether the device should be reopened now; True counts as done. Called after `check`."""
        if not self._fault or now_s < self._reopen_at_s:
            return False
        self._interval_s = min(2 * self._interval_s, MAX_REOPEN_INTERVAL_S)
        self._reopen_at_s, self._reopened = now_s + self._interval_s, True
        return True
