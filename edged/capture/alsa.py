"""A microphone through ALSA. Only `opening`, `reading` and this file import alsaaudio.

One thread opens, reads, stamps and closes; nobody else touches the PCM (closing it under a reader is a use after free).
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
from typing import Any

import alsaaudio

from edged.audio import Block, Lost, Opened, Overrun
from edged.capture import cards, libasound
from edged.capture.causes import explained
from edged.capture.level import DigitalSilence, Level, pick
from edged.capture.mixer import set_volume
from edged.capture.opening import amplified, open_pcm
from edged.capture.pace import Pace
from edged.capture.positions import Positions, Tolerance
from edged.capture.reading import Patience, Reading
from edged.capture.retry import Retry
from edged.capture.source import Counters, Deliver
from edged.errors import ConfigurationError, SourceAwayError, SourceError, SourceMismatch
from edged.settings import Capture

logger = logging.getLogger(__name__)

RETRY_S = 1.0
"""Interval between looks for a device that is away, without opening it; see `Retry` for when it is opened."""
JITTER_S = 0.05
"""How much later than its period a stamp can be by scheduling alone."""


class AlsaSource:
    """A microphone, from `start` to `stop`, through unplugging and whatever else; see `source.Source`."""

    def __init__(self, settings: Capture, deliver: Deliver) -> None:
        if settings.channel >= settings.channels:
            raise ConfigurationError(
                f"capture.channel = {settings.channel}: with {settings.channels} channel(s) they are counted from 0"
                f" to {settings.channels - 1}"
            )
        if settings.gain_db and settings.device != "auto":
            amplified(settings.device, settings.gain_db)
        self.counters = Counters()
        self._settings = settings
        self._deliver = deliver
        self._device = None if settings.device == "auto" else settings.device
        self._positions = Positions(settings.rate)
        self._pace = Pace(settings.rate)
        self._level = Level()
        self._silence: DigitalSilence
        """Of the device that is open."""
        self._stop = threading.Event()
        self._patience = Patience()
        self._retry = Retry(RETRY_S)
        self._thread = threading.Thread(target=self._run, name="edged-capture", daemon=True)
        self._lost: Lost | None = None
        self._volume_fault: str | None = None

    def check(self) -> Lost | None:
        """See `Source.check`."""
        try:
            open_pcm(self._choose(), self._settings)[0].close()
        except SourceMismatch:
            raise
        except SourceError as error:
            return Lost(str(error), error.trouble)
        return None

    def start(self) -> None:
        """See `Source.start`."""
        self._thread.start()

    def rest(self, seconds: float) -> None:
        """See `Source.rest`."""
        self._patience.rest(seconds)

    def stop(self, timeout_s: float) -> bool:
        """See `Source.stop`. The thread is a daemon: one that hangs in the kernel does not hold up the exit."""
        self._stop.set()
        self._patience.rest(0.0)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _choose(self) -> str:
        """Once chosen it stays: never another microphone in silence."""
        self._device = self._device or cards.choose()
        return self._device

    def _run(self) -> None:
        libasound.listen()
        if self._device and (text := cards.ambiguity(self._device)):
            logger.warning("%s", text)
        while not self._stop.is_set():
            self.counters.turned_s = time.monotonic()
            traits, away = cards.traits(), False
            try:
                self._capture()
            except SourceError as error:
                away = isinstance(error, SourceAwayError)
                self._say_lost(Lost(str(error), error.trouble))
            except Exception as error:  # our own fault, but a daemon that goes deaf for it would be a worse one
                logger.exception("capture failed")
                self._say_lost(Lost(f"capture failed ({type(error).__name__}); it is tried again"))
            self._retry.failed(time.monotonic(), away=away)
            self._wait(traits)

    def _wait(self, traits: frozenset[object]) -> None:
        """Until the device is worth opening: after a time, or as soon as the cards differ from `traits`.

        One that is known to be held is not opened: as soon as it is free it is.
        """
        held = False
        while not self._stop.wait(RETRY_S):
            self.counters.turned_s = time.monotonic()
            was_held, held = held, self._device is not None and cards.is_held(self._device)
            if not held and (was_held or self._retry.is_due(time.monotonic()) or cards.traits() != traits):
                return

    def _say_lost(self, lost: Lost) -> None:
        """Unless the reason is the one that was told last."""
        self.counters.last_block_s = None
        if self._lost != lost:
            self._deliver(lost)
        self._lost = lost

    def _capture(self) -> None:
        """Opens, and delivers until told to stop. Raises SourceError when the device is gone."""
        device = self._choose()
        pcm, granted = open_pcm(device, self._settings)
        try:
            self._set_volume(device)
            # Anew, so that a silence that lasts is told of again.
            self._silence = DigitalSilence(self._settings.rate, self._settings.channels, self._settings.channel)
            self.counters.last_block_s = time.monotonic()
            self._read(pcm, Opened(device, granted))
        except alsaaudio.ALSAAudioError as error:
            raise explained(error, device) from error
        finally:
            self.counters.last_block_s = None
            pcm.close()

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

    def _read(self, pcm: Any, opened: Opened) -> None:
        """Delivers what is read. `opened` comes with the first block: a device that opens but gives none is still lost.

        An Overrun is what nobody has told of otherwise: not the time before `opened`, nor that of a read which took so
        long that `level.Watch` has.
        """
        reading, reopened = Reading(pcm, self._settings.rate), True
        while not self._stop.is_set():
            read = reading.next(self._patience)
            if read and not self._stop.is_set():
                self.counters.overruns += read.overrun
                if reopened:
                    self._lost = None
                    self._retry.worked()
                    self.counters.opened += 1
                    self._deliver(opened)
                told, broken = reopened or read.stalled, reopened or read.overrun
                usual_s = reading.period_s if read.exact else reading.buffer_s
                tolerance = Tolerance(usual_s + JITTER_S, reading.buffer_s + JITTER_S)
                self._hear(read.frames, read.at_s, told=told, broken=broken, tolerance=tolerance)
                reopened = False

    def _hear(self, frames: bytes, stamp_s: float, *, told: bool, broken: bool, tolerance: Tolerance) -> None:
        settings, counters = self._settings, self.counters
        pcm = pick(frames, settings.channels, settings.channel)
        samples, pace = len(pcm) // 2, self._pace.seconds
        placed = self._positions.place(samples, stamp_s, broken=broken, tolerance=tolerance, pace=pace)
        signals = [self._pace.hear(samples, stamp_s, broken=broken or bool(placed.lost_samples))]
        if placed.lost_samples:
            counters.lost_samples += placed.lost_samples
            if not told:
                self._deliver(Overrun(placed.lost_samples))
        counters.blocks += 1
        counters.last_block_s = time.monotonic()
        self._level.hear(pcm)
        counters.peak, counters.clipped = self._level.peak, self._level.clipped
        signals.append(self._silence.hear(pcm, frames))
        self._deliver(Block(placed.position, pcm, placed.at_s))  # who is woken wants the interpreter, so this is last
        for signal in signals:
            if signal:
                self._deliver(signal)
