"""Monitor of the microphone: what it does is counted for the summary, logged, and shown in the service's status."""

import logging
import time

from edged.capture.level import LevelMonitor, StallDetector
from edged.capture.source import CaptureCounters
from edged.config.settings import Settings
from edged.model.audio import Block, Overrun, SignalChange, SourceLost, SourceOpened
from edged.model.message_ids import MessageId
from edged.service.log import Outage
from edged.service.manager import ServiceManager
from edged.service.repeat_summary import RepeatSummary

log = logging.getLogger("edged")


class CaptureMonitor:
    """Counters, log lines and service status of one run's audio source."""

    def __init__(self, settings: Settings, manager: ServiceManager) -> None:
        self._rate = settings.capture.rate
        self._is_recording = settings.capture.source == "wav"
        self._manager = manager
        self._repeats = RepeatSummary(log)
        self._microphone = Outage(log, "microphone", each_reason=True, repeats=self._repeats)
        self._signals: dict[MessageId | None, Outage] = {}
        self._stall, self._level = StallDetector(), LevelMonitor()
        self._next_position: int | None = None
        self.device: str | None = None
        """Device that is captured; None while none is."""
        self.captured_samples = 0
        self.dropped_samples = 0
        """Captured, and lost because the event loop stood still."""
        self.holes = 0

    def opened(self, event: SourceOpened) -> None:
        """Note that the source delivers, or does again."""
        self._repeats.log(logging.INFO, f"capturing {event.device}: {event.granted}")
        self.device = event.device
        self._manager.microphone_opened(event.device)
        self._microphone.over()

    def lost(self, event: SourceLost) -> None:
        """Note that nothing is captured, and why."""
        self.device = None
        self._microphone.failed(event.reason, event.message_id)
        self._signals.clear()  # a fault of the signal is news again when the source is back
        self._manager.microphone_lost(event.message_id)

    def block(self, block: Block) -> None:
        """Note a block, and the hole before it if there is one."""
        self._manager.block()
        if self._next_position is not None and block.position != self._next_position:
            self.holes += 1
        self._next_position = block.end
        self.captured_samples += block.end - block.position

    def overrun(self, event: Overrun) -> None:
        """Note audio that the kernel lost."""
        if event.late_from is not None:
            self.holes += 1
        self._repeats.log(logging.WARNING, f"overrun: {1000 * event.lost_samples / self._rate:.0f} ms of audio lost")

    def signal_changed(self, change: SignalChange) -> None:
        """Note that the signal has a fault, or has it no more."""
        self._manager.signal_changed(change)
        outage = self._signals.setdefault(
            change.message_id, Outage(log, "microphone", each_reason=True, repeats=self._repeats)
        )
        if change.fault:
            outage.failed(change.text, change.message_id)
        else:
            outage.over(change.text)

    def dropped(self, total_samples: int) -> None:
        """Note what the capture queue has dropped in total; logged once each time that the event loop stood still."""
        lost_samples = total_samples - self.dropped_samples
        if lost_samples:
            self.dropped_samples = total_samples
            lost_s = lost_samples / self._rate
            self._repeats.log(
                logging.WARNING,
                f"{lost_s:.1f} s of audio lost: edged stood still for too long; is this machine overloaded?",
            )

    def source_hangs(self, counters: CaptureCounters) -> bool:
        """Log a source that delivers nothing; return whether it is time to reopen it."""
        now_s = time.monotonic()
        if change := self._stall.check(now_s, counters.last_block_s):
            self.signal_changed(change)
        return self._stall.wants_reopening(now_s)

    def check_level(self, counters: CaptureCounters, *, is_open: bool) -> None:
        """Log a level that costs words. A recording is as it is."""
        if self._is_recording:
            return
        if text := self._level.check(counters.peak, counters.clipped_samples, counters.dc_offset, is_open=is_open):
            log.warning("microphone: %s", text)

    def heartbeat(self, counters: CaptureCounters) -> None:
        """Tell the watchdog that the event loop and the capture thread turn."""
        self._manager.turn(counters.heartbeat_s, open=counters.last_block_s is not None)
