"""A microphone through ALSA.

Errors of the device are facts about the audio: the source delivers them in order with the blocks, and goes on.

Measured with pyalsaaudio 0.10.0 and 0.11.0 on libasound 1.2.8:
- After an overrun `read()` returns (-32, b'') without an exception, and the next one starts the card again.
- 0.10 reports nothing if the overrun was seen before the read, so `PcmReader` looks at the state first, and
  `CaptureClock` decides by the stamps.
- With S32 formats 0.10 derives the size of its buffer from the significant bits and can write past its end, so edged
  only asks for S16.
- A kernel driver (snd-aloop) stamps every block itself, and an unbound driver shows within 10 ms.
"""

import logging
import threading
import time
from typing import Any, Final

import alsaaudio
from msgspec.structs import replace

from edged.capture import cards, libasound
from edged.capture.alsa_errors import explain
from edged.capture.capture_thread import CaptureThread, OpenReason
from edged.capture.mixer import set_volume
from edged.capture.opening import open_pcm, record_sample, with_gain
from edged.capture.pcm_reader import PcmReader, ReadPacing
from edged.capture.read_processor import ReadProcessor
from edged.capture.retry_schedule import RetrySchedule
from edged.capture.signal_faults import CANCELLING_CHANNELS, channels_cancel
from edged.capture.source import CaptureCounters, Deliver
from edged.config.settings import CaptureSettings
from edged.model.audio import SourceLost, SourceOpened
from edged.model.errors import ConfigurationError, SourceAwayError, SourceError, SourceMismatchError

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Interval between looks for an absent device, which do not open it; `RetrySchedule` says when to open it."""
MAX_OVERRUN_S: Final = 1.5
"""Overruns without audio for this long are a fault of the device, which an opening may cure."""
OVERRUN_PAUSE_S: Final = 0.02
"""Pause between an overrun and the next read: without it, such a device would keep the CPU busy."""
MAX_HUNG_THREADS: Final = 8
"""Threads that may be left behind in hung reads. Each keeps a device open, and some hundred kB."""
CHANNELS_SAMPLE_S: Final = 0.3
"""Length of the two-channel recording that shows whether the channels cancel."""


class AlsaSource:
    """A microphone from `start` to `stop`, through unplugging and all other faults; implements `source.Source`."""

    def __init__(self, settings: CaptureSettings, deliver: Deliver) -> None:
        if settings.channel >= settings.channels:
            raise ConfigurationError(
                f"capture.channel = {settings.channel}: with {settings.channels} channel(s) they are counted from 0"
                f" to {settings.channels - 1}"
            )
        if settings.gain_db and settings.device != "auto":
            with_gain(settings.device, settings.gain_db)
        self.counters = CaptureCounters()
        self._settings = settings
        self._deliver = deliver
        self._device = None if settings.device == "auto" else settings.device
        self._processor = ReadProcessor(settings, self.counters, deliver)
        self._pacing = ReadPacing()
        self._retry = RetrySchedule(POLL_S)
        self._lock = threading.Lock()
        """Held while a read is processed, and while one thread replaces another."""
        self._current = CaptureThread(self._run, OpenReason.NOT_OPEN)
        self._hung_threads: list[threading.Thread] = []
        self._reported_loss: SourceLost | None = None
        self._reported_volume_fault: str | None = None

    def check(self) -> SourceLost | None:
        """Open the device and close it again; implements `Source.check`."""
        try:
            open_pcm(self._choose_device(), self._settings)[0].close()
        except SourceMismatchError:
            raise
        except SourceError as error:
            return SourceLost(str(error), error.message_id)
        return None

    def start(self) -> None:
        """Start the thread that captures; implements `Source.start`."""
        self._current.thread.start()

    def set_read_interval(self, seconds: float) -> None:
        """Let audio accumulate between reads; implements `Source.set_read_interval`."""
        self._pacing.set_interval(seconds)

    def reopen(self) -> None:
        """Leave a hung thread behind and open the device in another one; implements `Source.reopen`.

        Do nothing once `MAX_HUNG_THREADS` hang.
        """
        self._hung_threads = [thread for thread in self._hung_threads if thread.is_alive()]
        if len(self._hung_threads) >= MAX_HUNG_THREADS:
            return
        with self._lock:
            hung = self._current
            hung.cancelled.set()
            self._current = CaptureThread(self._run, OpenReason.HUNG_READ)
        self._hung_threads.append(hung.thread)
        threading.Thread(target=hung.drop, name="edged-drop", daemon=True).start()
        self._current.thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Stop the thread; implements `Source.stop`. As a daemon thread it does not delay the exit if it hangs."""
        current = self._current
        current.cancelled.set()
        self._pacing.set_interval(0.0)
        if current.thread.ident is not None:
            current.thread.join(timeout_s)
        return not current.thread.is_alive()

    def _choose_device(self) -> str:
        """Return the device; `auto` stays with its first choice, as edged must not change microphones unnoticed."""
        self._device = self._device or cards.choose_device()
        return self._device

    def _run(self, thread: CaptureThread) -> None:
        libasound.collect_messages()
        reason = thread.reason
        if reason is OpenReason.NOT_OPEN and self._device and (text := cards.ambiguity_warning(self._device)):
            logger.warning("%s", text)
        while not thread.cancelled.is_set():
            self.counters.heartbeat_s = time.monotonic()
            fingerprint, unavailable = cards.fingerprint(), False
            try:
                self._capture(thread, reason)
            except SourceError as error:
                unavailable, lost = isinstance(error, SourceAwayError), SourceLost(str(error), error.message_id)
            except Exception as error:  # a bug of ours: going on is better than a daemon that captures no more
                logger.exception("capture failed")
                lost = SourceLost(f"capture failed ({type(error).__name__}); retrying")
            else:
                reason = OpenReason.SIGNAL_FAULT
                continue
            if self._report_loss(thread, lost):
                self._retry.record_failure(time.monotonic(), unavailable=unavailable)
                self._wait_until_due(thread, fingerprint)
            reason = OpenReason.NOT_OPEN

    def _wait_until_due(self, thread: CaptureThread, fingerprint: frozenset[object]) -> None:
        """Wait until the retry is due, or the cards differ from `fingerprint`.

        A device that another process is known to hold is not opened before it is free, and then at once.
        """
        held = False
        while not thread.cancelled.wait(POLL_S):
            self.counters.heartbeat_s = time.monotonic()
            was_held, held = held, self._device is not None and cards.is_held(self._device)
            if not held and (was_held or self._retry.is_due(time.monotonic()) or cards.fingerprint() != fingerprint):
                return

    def _report_loss(self, thread: CaptureThread, lost: SourceLost) -> bool:
        """Deliver a loss unless its reason was delivered last. Return False if the thread is cancelled."""
        with self._lock:
            if thread.cancelled.is_set():
                return False
            self.counters.last_block_s = None
            if self._reported_loss != lost:
                self._deliver(lost)
            self._reported_loss = lost
            return True

    def _capture(self, thread: CaptureThread, reason: OpenReason) -> None:
        """Open the device and deliver its audio until the thread is cancelled, or a signal fault asks for an opening.

        Raises SourceError when the device fails.
        """
        device = self._choose_device()
        pcm, granted = open_pcm(device, self._settings)
        thread.own(pcm)
        try:
            if reason is not OpenReason.SIGNAL_FAULT and not thread.cancelled.is_set():
                self._set_volume(device)
                self._processor.restart_checks()
                if reason is OpenReason.NOT_OPEN:
                    self.counters.last_block_s = time.monotonic()
            self._read(thread, pcm, SourceOpened(device, granted), reason)
        except alsaaudio.ALSAAudioError as error:
            raise explain(error, device) from error
        finally:
            thread.close()
        if not thread.cancelled.is_set():
            self._processor.checks.note_reopening()
            self._check_channels(device)

    def _read(self, thread: CaptureThread, pcm: Any, opened: SourceOpened, reason: OpenReason) -> None:
        """Read from an open PCM until the thread is cancelled, or a signal fault asks for an opening.

        The first block ends an outage, not the opening: a device that opens but delivers nothing is still lost.
        Raises SourceError if the device delivers only overruns.
        """
        reader, processor, last_read_s = PcmReader(pcm, self._settings.rate), self._processor, time.monotonic()
        while not thread.cancelled.is_set():
            read = reader.read(self._pacing)
            if read is None:
                if time.monotonic() - last_read_s > MAX_OVERRUN_S:
                    text = f"{opened.device} delivers overruns without end and no audio"
                    raise SourceError(f"{text}; reopening it at growing intervals")
                thread.cancelled.wait(OVERRUN_PAUSE_S)
                continue
            with self._lock:
                if thread.cancelled.is_set():
                    return
                if read.first and reason is not OpenReason.SIGNAL_FAULT:
                    self._report_opening(opened)
                processor.process(read, reader)
            last_read_s = time.monotonic()
            if processor.checks.wants_reopening:
                return

    def _report_opening(self, opened: SourceOpened) -> None:
        self._reported_loss = None
        self._retry.record_success()
        self.counters.openings += 1
        self._deliver(opened)

    def _check_channels(self, device: str) -> None:
        """Warn once if two channels that the card mixes into silence cancel each other."""
        if not self._processor.checks.wants_channels_check:
            return
        self._processor.checks.note_channels_check()
        try:
            frames = record_sample(device, replace(self._settings, channels=2), CHANNELS_SAMPLE_S)
        except SourceError as error:
            logger.debug("the channels can't be compared: %s", error)
            return
        if channels_cancel(frames):
            self._deliver(CANCELLING_CHANNELS)

    def _set_volume(self, device: str) -> None:
        """Set the volume that the settings ask for, and log a fault once, not at each opening."""
        if self._settings.volume is None:
            return
        try:
            set_volume(device, self._settings.volume)
        except SourceError as error:
            if str(error) != self._reported_volume_fault:
                logger.warning("%s", error)
            self._reported_volume_fault = str(error)
