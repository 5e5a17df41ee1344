"""Conversion of reads to events: blocks with positions and times, overruns, and changes of the signal."""

import time
from typing import Final

from edged.capture.capture_clock import CaptureClock, Tolerance
from edged.capture.level import Level, pick_channel
from edged.capture.pcm_reader import PcmRead, PcmReader
from edged.capture.rate_monitor import RateMonitor
from edged.capture.signal_faults import SignalChecks
from edged.capture.source import CaptureCounters, Deliver
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, Overrun

JITTER_S: Final = 0.05
"""Lateness of a stamp, beyond its period, that scheduling alone explains."""


class ReadProcessor:
    """Delivers the events of each read, and counts them.

    Positions, the measured rate and the level last through all openings. The checks of the signal restart with each
    outage, so that a silence that lasts is reported again.
    """

    def __init__(self, settings: CaptureSettings, counters: CaptureCounters, deliver: Deliver) -> None:
        self._settings = settings
        self._counters = counters
        self._deliver = deliver
        self._clock = CaptureClock(settings.rate)
        self._rate_monitor = RateMonitor(settings.rate)
        self._level = Level()
        self.checks = SignalChecks(settings.rate, settings.channels, settings.channel)

    def restart_checks(self) -> None:
        """Forget what was found in the signal: an outage ended it."""
        self.checks = SignalChecks(self._settings.rate, self._settings.channels, self._settings.channel)

    def process(self, read: PcmRead, reader: PcmReader) -> None:
        """Deliver the events of a read.

        Deliver no Overrun for audio that another event accounts for: an opening, or a stall that `StallDetector`
        reported.
        """
        settings, counters = self._settings, self._counters
        pcm = pick_channel(read.frames, settings.channels, settings.channel)
        after_hole, usual_s = read.first or read.overrun, reader.period_s if read.stamped_by_card else reader.buffer_s
        placed = self._clock.place(
            read.samples,
            read.at_s,
            after_hole=after_hole,
            tolerance=Tolerance(usual_s + JITTER_S, reader.buffer_s + JITTER_S),
            clock_s_per_audio_s=self._rate_monitor.clock_s_per_audio_s,
        )
        counters.overruns += read.overrun
        if placed.lost_samples:
            counters.lost_samples += placed.lost_samples
            if placed.late_from is not None or not (read.first or read.stalled):
                self._deliver(Overrun(placed.lost_samples, placed.late_from))
        counters.blocks += 1
        counters.last_block_s = time.monotonic()
        level = self._level
        level.feed(pcm)
        counters.peak, counters.clipped_samples, counters.dc_offset = level.peak, level.clipped_samples, level.dc_offset
        changes = [
            self._rate_monitor.feed(read.samples, read.at_s, after_hole=after_hole or placed.lost_samples > 0),
            *self.checks.feed(pcm, read.frames),
        ]
        # The block comes after all other work: the thread that it wakes competes for the interpreter.
        self._deliver(Block(placed.position, pcm, placed.at_s))
        for change in changes:
            if change:
                self._deliver(change)
