"""The true rate of a card, measured against the clock. Pure: it sees stamps, never a clock.

Once per second of audio the block that is least late marks how far the card lags behind its nominal rate. The mean
growth from mark to mark is its error; the two extremes are left out (audio that went missing unnoticed, a reader that
was late for a whole second).
"""

from collections import deque
from typing import Final

from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

MARK_S: Final = 1.0
"""Audio between two marks."""
MIN_MARKS, MAX_MARKS = 6, 40
"""Marks that a measurement takes at least, and at most."""
HARMLESS_ERROR: Final = 0.015
"""Relative error that nobody hears and no recogniser minds."""
MARKS_ERROR_S: Final = 0.25
"""Measuring error of the growth over all marks: three times the 80 ms that plug-ins deliver at a time."""
CONFIGURABLE_RATES: Final = (8000, 16_000, 32_000, 48_000)
"""Values that capture.rate may have."""


class RateMonitor:
    """Measures one card through all its openings, and reports a rate that is wrong."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._growth: deque[float] = deque(maxlen=MAX_MARKS)
        """Growth of the lag per second of audio, from mark to mark."""
        self._begin_s: float | None = None
        self._samples = 0
        self._marked_lag_s: float | None = None
        """Lag at the last mark."""
        self._min_lag_s: float | None = None
        """Least lag since the last mark."""
        self._marked_samples = 0
        """Number of samples up to the last mark."""
        self._error: float | None = None
        self._fault = False

    @property
    def clock_s_per_audio_s(self) -> float | None:
        """Seconds of the clock for a second of audio: 1.0 if the error is harmless, None until it is measured."""
        return self._error if self._error is None else 1.0 + self._error

    def feed(self, samples: int, stamp_s: float, *, after_hole: bool) -> SignalChange | None:
        """Take a block that begins at `stamp_s`; `after_hole`: audio before it is missing."""
        if after_hole or self._begin_s is None:
            self._begin_s, self._marked_lag_s, self._min_lag_s = stamp_s, None, None
            self._samples = self._marked_samples = 0
        lag_s = stamp_s - self._begin_s - self._samples / self._rate
        self._min_lag_s = lag_s if self._min_lag_s is None else min(lag_s, self._min_lag_s)
        self._samples += samples
        span_s = (self._samples - self._marked_samples) / self._rate
        if span_s < MARK_S:
            return None
        if self._marked_lag_s is not None:
            self._growth.append((self._min_lag_s - self._marked_lag_s) / span_s)
        self._marked_samples, self._marked_lag_s, self._min_lag_s = self._samples, self._min_lag_s, None
        return self._measure() if len(self._growth) >= MIN_MARKS else None

    def _measure(self) -> SignalChange | None:
        inner = sorted(self._growth)[1:-1]
        error = sum(inner) / len(inner)
        limit = HARMLESS_ERROR / 2 if self._fault else HARMLESS_ERROR + MARKS_ERROR_S / len(inner)
        fault = abs(error) > limit
        self._error = error if fault else 0.0
        if fault == self._fault:
            return None
        self._fault = fault
        if not fault:
            return SignalChange("keeps its rate again", False, MessageId.MICROPHONE_RATE)
        return SignalChange(self._describe(self._rate / (1.0 + error)), True, MessageId.MICROPHONE_RATE)

    def _describe(self, true_rate: float) -> str:
        near = next(
            (rate for rate in CONFIGURABLE_RATES if rate != self._rate and abs(true_rate / rate - 1) < 0.03), None
        )
        cure = (
            f"set capture.rate = {near}"
            if near
            else "set another capture.rate, such as 48000, which most cards are made for, or give its true rate as"
            " slave.rate of a `type plug` in asound.conf"
        )
        how = "slow" if true_rate > self._rate else "fast"
        return (
            f"delivers {true_rate:.0f} samples a second instead of {self._rate}, so that speech is heard"
            f" {max(true_rate / self._rate, self._rate / true_rate):.2f} times too {how}: {cure}"
        )
