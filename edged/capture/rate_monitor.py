"""How fast a card really is, measured against the clock. Pure: it sees stamps, never a clock.

Once in a second of audio the block that is least late marks how far the card is behind. The growth from mark to mark,
without the two extremes (audio that went missing unseen, a reader that was late for a whole second), is its error.
"""

from collections import deque
from typing import Final

from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

MARK_S: Final = 1.0
FEWEST, MOST = 6, 40
"""Marks that a measurement takes at least, and at most."""
HARMLESS: Final = 0.015
"""An error that nobody hears and no recogniser minds."""
MARK_ERROR_S: Final = 0.25
"""What the growth over all marks may be wrong by: three times the 80 ms by which plug-ins deliver at a time."""
RATES: Final = (8000, 16_000, 32_000, 48_000)
"""That can be set."""


class RateMonitor:
    """Of one card, through all its openings."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._growth: deque[float] = deque(maxlen=MOST)
        self._begin_s: float | None = None
        self._samples = 0
        self._behind_s: float | None = None
        """At the last mark."""
        self._least_s: float | None = None
        """Since then."""
        self._marked = 0
        """Samples up to the last mark."""
        self._error: float | None = None
        self._fault = False

    @property
    def clock_s_per_audio_s(self) -> float | None:
        """How long it takes for a second of audio: 1.0 if the error is harmless; None while that is not known."""
        return self._error if self._error is None else 1.0 + self._error

    def feed(self, samples: int, stamp_s: float, *, broken: bool) -> SignalChange | None:
        """Takes a block that begins at `stamp_s`; `broken`: audio before it is missing."""
        if broken or self._begin_s is None:
            self._begin_s, self._behind_s, self._least_s = stamp_s, None, None
            self._samples = self._marked = 0
        behind_s = stamp_s - self._begin_s - self._samples / self._rate
        self._least_s = behind_s if self._least_s is None else min(behind_s, self._least_s)
        self._samples += samples
        span_s = (self._samples - self._marked) / self._rate
        if span_s < MARK_S:
            return None
        if self._behind_s is not None:
            self._growth.append((self._least_s - self._behind_s) / span_s)
        self._marked, self._behind_s, self._least_s = self._samples, self._least_s, None
        return self._measure() if len(self._growth) >= FEWEST else None

    def _measure(self) -> SignalChange | None:
        inner = sorted(self._growth)[1:-1]
        error = sum(inner) / len(inner)
        fault = abs(error) > (HARMLESS / 2 if self._fault else HARMLESS + MARK_ERROR_S / len(inner))
        self._error = error if fault else 0.0
        if fault == self._fault:
            return None
        self._fault = fault
        if not fault:
            return SignalChange("keeps its rate again", False, MessageId.MICROPHONE_RATE)
        return SignalChange(self._told(self._rate / (1.0 + error)), True, MessageId.MICROPHONE_RATE)

    def _told(self, real: float) -> str:
        near = next((rate for rate in RATES if rate != self._rate and abs(real / rate - 1) < 0.03), None)
        cure = (
            f"set capture.rate = {near}"
            if near
            else "set another capture.rate, such as 48000, which most cards are made for, or give its true rate as"
            " slave.rate of a `type plug` in asound.conf"
        )
        how = "slow" if real > self._rate else "fast"
        return (
            f"delivers {real:.0f} samples a second instead of {self._rate}, so that speech is heard"
            f" {max(real / self._rate, self._rate / real):.2f} times too {how}: {cure}"
        )
