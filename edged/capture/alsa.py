"""A microphone through ALSA. Only `opening`, `reading` and this file import alsaaudio.

One thread opens, reads, stamps and closes; nobody else touches the PCM (closing it under a reader is a use after free),
but to stop a card whose read hangs: that thread is left behind then, and another opens the device.
Errors are facts about the audio: they are delivered in its order, and never end the thread.

Measured with pyalsaaudio 0.10.0 and 0.11.0 on libasound 1.2.8: after an overrun `read()` returns (-32, b'') without an
exception and the next one begins anew; 0.10 says nothing at all if the overrun was seen before the read, so that the
state is looked at first, and stamps have the last word (positions.py). With S32 formats 0.10 takes its buffer's size
from the significant bits and can write past its end, so only S16 is ever asked for. On a kernel's own card
(snd-aloop) stamps were the card's for every block, and an unbound driver was noticed within 10 ms.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import alsaaudio
from msgspec.structs import replace

from edged.capture import cards, libasound
from edged.capture.alsa_errors import explain
from edged.capture.capture_clock import CaptureClock, Tolerance
from edged.capture.level import Level, pick
from edged.capture.mixer import set_volume
from edged.capture.opening import open_pcm, sample, with_gain
from edged.capture.pcm_reader import PcmRead, PcmReader, ReadPacing
from edged.capture.rate_monitor import RateMonitor
from edged.capture.retry_schedule import RetrySchedule
from edged.capture.signal_faults import CANCELLING, FaintSignalDetector, StuckValueDetector, channels_cancel
from edged.capture.source import CaptureCounters, Deliver
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, Overrun, SourceLost, SourceOpened
from edged.model.errors import ConfigurationError, SourceAwayError, SourceError, SourceMismatchError

logger = logging.getLogger(__name__)

RETRY_S = 1.0
"""Interval between looks for a device that is away, without opening it; see `Retry` for when it is opened."""
JITTER_S = 0.05
"""How much later than its period a stamp can be by scheduling alone."""
ENDLESS_S: Final = 1.5
"""Overruns and no audio for this long are a fault of the device, which opening it may cure."""
BETWEEN_S: Final = 0.02
"""From one overrun to the next read: such a device would keep the processor busy."""
MOST_HANGING: Final = 8
"""Threads that may be left in reads that never return: each keeps a device open and some hundred kB."""
PAIR_S: Final = 0.3
"""Length of two-channel audio that shows whether the channels cancel."""


class _Turn:
    """A thread that captures, and what it has open. Another takes its turn if it hangs in a read."""

    def __init__(self, run: Callable[["_Turn"], None], *, replaces: bool) -> None:
        self.over = threading.Event()
        """Set when the turn has ended: what it still reads is dropped."""
        self.replaces = replaces
        """One that hangs: until the first block what is known of that still holds."""
        self._pcm: Any = None
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=run, args=(self,), name="edged-capture", daemon=True)

    def takes(self, pcm: Any) -> None:
        """Own an open device, until `close`."""
        self._pcm = pcm

    def close(self) -> None:
        """Close the device that this turn has open."""
        with self._lock:
            pcm, self._pcm = self._pcm, None
            pcm.close()

    def drop(self) -> None:
        """Stop the card under a read that hangs: then a kernel's own card lets go of it, and can be opened again.

        To be called from a thread of its own, as a plug-in may hang here too. It is no close: that would free what the
        read uses.
        """
        with self._lock:
            if self._pcm is not None:
                try:
                    self._pcm.drop()
                except alsaaudio.ALSAAudioError as error:
                    logger.debug("the read that hangs can't be stopped: %s", error)


class AlsaSource:
    """A microphone, from `start` to `stop`, through unplugging and whatever else; see `source.Source`."""

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
        self._positions = CaptureClock(settings.rate)
        self._pace = RateMonitor(settings.rate)
        self._level = Level()
        self._one_value: StuckValueDetector
        self._faint: FaintSignalDetector
        self._looked_at_pair = False
        """All three of the device that is open."""
        self._lock = threading.Lock()
        """Held while a read is heard, and while the turn passes."""
        self._turn = _Turn(self._run, replaces=False)
        self._hanging: list[threading.Thread] = []
        self._patience = ReadPacing()
        self._retry = RetrySchedule(RETRY_S)
        self._lost: SourceLost | None = None
        self._volume_fault: str | None = None

    def check(self) -> SourceLost | None:
        """See `Source.check`."""
        try:
            open_pcm(self._choose(), self._settings)[0].close()
        except SourceMismatchError:
            raise
        except SourceError as error:
            return SourceLost(str(error), error.message_id)
        return None

    def start(self) -> None:
        """See `Source.start`."""
        self._turn.thread.start()

    def rest(self, seconds: float) -> None:
        """See `Source.rest`."""
        self._patience.rest(seconds)

    def reopen(self) -> None:
        """See `Source.reopen`. At most `MOST_HANGING` threads are left behind in reads that never return."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= MOST_HANGING:
            return
        with self._lock:
            last = self._turn
            last.over.set()
            self._turn = _Turn(self._run, replaces=True)
        self._hanging.append(last.thread)
        threading.Thread(target=last.drop, name="edged-drop", daemon=True).start()
        self._turn.thread.start()

    def stop(self, timeout_s: float) -> bool:
        """See `Source.stop`. The thread is a daemon: one that hangs in the kernel does not hold up the exit."""
        turn = self._turn
        turn.over.set()
        self._patience.rest(0.0)
        if turn.thread.ident is not None:
            turn.thread.join(timeout_s)
        return not turn.thread.is_alive()

    def _choose(self) -> str:
        """Once chosen it stays: never another microphone in silence."""
        self._device = self._device or cards.choose()
        return self._device

    def _run(self, turn: _Turn) -> None:
        libasound.listen()
        if not turn.replaces and self._device and (text := cards.ambiguity(self._device)):
            logger.warning("%s", text)
        again = False
        while not turn.over.is_set():
            self.counters.turned_s = time.monotonic()
            traits, away = cards.traits(), False
            try:
                again = self._capture(turn, again=again)
            except SourceError as error:
                again, away = False, isinstance(error, SourceAwayError)
                self._say_lost(turn, SourceLost(str(error), error.message_id))
            except Exception as error:  # our own fault, but a daemon that goes deaf for it would be a worse one
                again = False
                logger.exception("capture failed")
                self._say_lost(turn, SourceLost(f"capture failed ({type(error).__name__}); it is tried again"))
            if not again:
                self._retry.failed(time.monotonic(), away=away)
                self._wait(turn, traits)

    def _wait(self, turn: _Turn, traits: frozenset[object]) -> None:
        """Until the device is worth opening: after a time, or as soon as the cards differ from `traits`.

        One that is known to be held is not opened: as soon as it is free it is.
        """
        held = False
        while not turn.over.wait(RETRY_S):
            self.counters.turned_s = time.monotonic()
            was_held, held = held, self._device is not None and cards.is_held(self._device)
            if not held and (was_held or self._retry.is_due(time.monotonic()) or cards.traits() != traits):
                return

    def _say_lost(self, turn: _Turn, lost: SourceLost) -> None:
        """Unless the reason is the one that was told last."""
        with self._lock:
            if turn.over.is_set():
                return
            turn.replaces, self.counters.last_block_s = False, None
            if self._lost != lost:
                self._deliver(lost)
            self._lost = lost

    def _capture(self, turn: _Turn, *, again: bool) -> bool:
        """Opens, and delivers until told to stop, or until the device should be opened again: then True.

        `again`: it is for that. Raises SourceError when the device is gone.
        """
        device = self._choose()
        pcm, granted = open_pcm(device, self._settings)
        turn.takes(pcm)
        try:
            if not again and not turn.over.is_set():
                self._begin(turn, device)
            self._read(turn, pcm, SourceOpened(device, granted), again=again)
        except alsaaudio.ALSAAudioError as error:
            raise explain(error, device) from error
        finally:
            turn.close()
        if turn.over.is_set():
            return False
        if self._one_value.fault:
            self._one_value.reopened()
        self._look_at_pair(device)
        return True

    def _begin(self, turn: _Turn, device: str) -> None:
        """Set the volume and start the checks of the signal anew."""
        self._set_volume(device)
        self._looked_at_pair = self._settings.channels != 1
        # Anew, so that a silence that lasts is told of again.
        self._one_value = StuckValueDetector(self._settings.rate, self._settings.channels, self._settings.channel)
        self._faint = FaintSignalDetector(self._settings.rate)
        if not turn.replaces:
            self.counters.last_block_s = time.monotonic()

    def _look_at_pair(self, device: str) -> None:
        """Warn if two channels that are mixed into silence cancel each other."""
        if self._looked_at_pair:
            return
        self._looked_at_pair = True
        try:
            frames = sample(device, replace(self._settings, channels=2), PAIR_S)
        except SourceError as error:
            logger.debug("its channels can't be looked at one by one: %s", error)
            return
        if channels_cancel(frames):
            self._deliver(CANCELLING)

    def _set_volume(self, device: str) -> None:
        """As the settings say; a fault is said once, not at each opening."""
        if self._settings.volume is None:
            return
        try:
            set_volume(device, self._settings.volume)
        except SourceError as error:
            if str(error) != self._volume_fault:
                logger.warning("%s", error)
            self._volume_fault = str(error)

    def _read(self, turn: _Turn, pcm: Any, opened: SourceOpened, *, again: bool) -> None:
        """Delivers what is read, until the device should be opened again. Raises SourceError if it gives only overruns.

        `opened` comes with the first block, unless it was opened `again`: a device that opens but gives none is still
        lost. An Overrun is what nobody has told of otherwise: not the time before an opening, nor that of a read which
        took so long that `level.Watch` has.
        """
        reading, reopened, heard_s = PcmReader(pcm, self._settings.rate), True, time.monotonic()
        while not turn.over.is_set():
            read = reading.next(self._patience)
            if read is None:
                if time.monotonic() - heard_s > ENDLESS_S:
                    text = f"{opened.device} gives overruns without end and no audio"
                    raise SourceError(f"{text}; it is opened again, at growing intervals")
                turn.over.wait(BETWEEN_S)
                continue
            with self._lock:
                if turn.over.is_set():
                    return
                if reopened and not again:
                    self._is_open(opened)
                self._hear(read, reading, opened=reopened)
                turn.replaces = reopened = False
            heard_s = time.monotonic()
            if self._one_value.wants_reopening or (self._faint.fault and not self._looked_at_pair):
                return

    def _is_open(self, opened: SourceOpened) -> None:
        self._lost = None
        self._retry.worked()
        self.counters.opened += 1
        self._deliver(opened)

    def _hear(self, read: PcmRead, reading: PcmReader, *, opened: bool) -> None:
        """`opened`: it is the first since it was."""
        settings, counters = self._settings, self.counters
        pcm = pick(read.frames, settings.channels, settings.channel)
        broken, usual_s = opened or read.overrun, reading.period_s if read.exact else reading.buffer_s
        tolerance = Tolerance(usual_s + JITTER_S, reading.buffer_s + JITTER_S)
        pace = self._pace.clock_s_per_audio_s
        placed = self._positions.place(read.samples, read.at_s, broken=broken, tolerance=tolerance, pace=pace)
        counters.overruns += read.overrun
        if placed.lost_samples:
            counters.lost_samples += placed.lost_samples
            if placed.late_from is not None or (not opened and not read.stalled):
                self._deliver(Overrun(placed.lost_samples, placed.late_from))
        counters.blocks += 1
        counters.last_block_s = time.monotonic()
        self._level.feed(pcm)
        counters.peak, counters.clipped, counters.offset = self._level.peak, self._level.clipped, self._level.offset
        signals = [
            self._pace.feed(read.samples, read.at_s, broken=broken or placed.lost_samples > 0),
            self._one_value.feed(pcm, read.frames),
            self._faint.feed(pcm),
        ]
        self._deliver(Block(placed.position, pcm, placed.at_s))  # who is woken wants the interpreter, so this is last
        for signal in signals:
            if signal:
                self._deliver(signal)
