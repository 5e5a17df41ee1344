"""A microphone through ALSA. Only this file and `reading` import alsaaudio.

One thread opens, reads, stamps and closes; nobody else touches the PCM (closing it under a reader is a use after free).
Errors are facts about the audio: they are delivered in its order, and never end the thread.

Measured with pyalsaaudio 0.10.0 and 0.11.0 on libasound 1.2.8: after an overrun `read()` returns (-32, b'') without an
exception and the next one begins anew; 0.10 says nothing at all if the overrun was seen before the read, so that the
state is looked at first, and stamps have the last word (positions.py). With S32 formats 0.10 takes its buffer's size
from the significant bits and can write past its end, so only S16 is ever asked for. On a kernel's own card
(snd-aloop) stamps were the card's for every block, and an unbound driver was noticed within 10 ms.
"""

import ctypes
import errno
import logging
import os
import threading
import time
from typing import Any

import alsaaudio

from edged.audio import Block, Lost, Opened, Overrun
from edged.capture import cards
from edged.capture.level import DigitalSilence, Level, pick
from edged.capture.positions import Positions
from edged.capture.reading import Patience, Reading
from edged.capture.source import Counters, Deliver
from edged.errors import ConfigurationError, SourceError, SourceMismatch
from edged.settings import Capture

logger = logging.getLogger(__name__)

RETRY_S = 1.0
"""How often a device that is away is looked for: it is to be back within 2 s of its return."""
JITTER_S = 0.05
"""How much later than its period a stamp can be by scheduling alone."""
PREFERRED_CONTROLS = ("Mic", "Capture")
"""What USB microphones and codecs call the volume that people mean; without either, all capture volumes are set."""


def _listen_to_libasound() -> object:
    """Sends libasound's messages to the debug log instead of straight to standard error, for the whole process.

    The handler is variadic in C; taking its five fixed arguments alone is sound on Linux for x86-64, arm64 and armv7,
    where the others are the caller's to clean up. So the message comes without its values: the exception has those.
    """

    def heard(_file: bytes, _line: int, function: bytes | None, _error: int, text: bytes | None) -> None:
        logger.debug("libasound: %s: %s", (function or b"").decode(), (text or b"").decode().strip())

    fixed = (ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
    handler = ctypes.CFUNCTYPE(None, *fixed)(heard)
    ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)  # the same library that alsaaudio has loaded
    return handler


_handler = _listen_to_libasound()
"""Kept alive: libasound holds its bare address."""


def amplified(device: str, gain_db: float) -> str:
    """The name of a card's `device` with a gain in front, as ALSA takes a definition in place of a name.

    ALSA's `route` multiplies the card's own samples, up to 32 bits wide, and saturates; only then are they cut to 16
    bits: to within the last bit, and without a line of Python per sample. Its factors are multiples of 1/16.
    It must sit right on the card: over a `plug`, libasound 1.2.8 aborts or crashes. So other names raise
    ConfigurationError; whoever writes such a definition can put the `route` into it.
    """
    if not device.startswith(("hw:", "plughw:")):
        raise ConfigurationError(
            f"capture.gain_db works with hw: and plughw: devices; for {device} put `type route` with"
            f" `ttable.0.0 {10 ** (gain_db / 20):.4g}` into its definition in asound.conf"
        )
    factor = round(10 ** (gain_db / 20) * 16) / 16
    table = " ".join(f"{channel}={{{channel}={factor}}}" for channel in range(32))  # as many as settings allow
    return f'plug:{{SLAVE={{type route slave={{pcm="{device.removeprefix("plug")}"}} ttable={{{table}}}}}}}'


def capabilities(device: str) -> str:
    """What a device can do, for people: `16000, 48000 Hz; 1, 2 channels`. Opens it; raises SourceError."""
    try:
        pcm = alsaaudio.PCM(alsaaudio.PCM_CAPTURE, device=device)
    except alsaaudio.ALSAAudioError as error:
        raise cards.explained(error, device) from error
    try:
        return _capabilities(pcm)
    finally:
        pcm.close()


def _capabilities(pcm: Any) -> str:
    rates, channels = pcm.getrates(), pcm.getchannels()
    if isinstance(rates, tuple):
        text = f"{rates[0]} to {rates[1]} Hz"
    else:
        text = ", ".join(str(rate) for rate in (rates if isinstance(rates, list) else [rates])) + " Hz"
    some = [str(n) for n in channels if n <= 32]  # plug-ins claim 10,000; settings allow 32
    return f"{text}; {', '.join(some) if len(some) < 8 else f'{some[0]} to {some[-1]}'} channel{'s'[: some != ['1']]}"


def title(index: int) -> str | None:
    """What the maker calls a card; None if it is gone."""
    try:
        return str(alsaaudio.card_name(index)[0])
    except alsaaudio.ALSAAudioError:
        return None


def is_defined(device: str) -> bool:
    """False if ALSA's configuration has no such name: then waiting for a microphone is no help, as far as can be known.

    What stands behind a name is not looked at. `default` is given the benefit of the doubt: it comes with the first
    card.
    """
    library = ctypes.CDLL("libasound.so.2")
    library.snd_config_update()
    whole, found = ctypes.c_void_p.in_dll(library, "snd_config"), ctypes.c_void_p()
    error: int = library.snd_config_search_definition(whole, b"pcm", os.fsencode(device), ctypes.byref(found))
    if found:
        library.snd_config_delete(found)
    return error != -errno.ENOENT or device == "default"


def open_pcm(device: str, settings: Capture) -> tuple[Any, str]:
    """An open PCM, and in words what was granted. Raises SourceError, or SourceMismatch naming what it can do."""
    period = settings.rate * settings.period_ms // 1000
    name = amplified(device, settings.gain_db) if settings.gain_db else device
    try:
        pcm = alsaaudio.PCM(
            alsaaudio.PCM_CAPTURE,
            device=name,
            rate=settings.rate,
            channels=settings.channels,
            format=alsaaudio.PCM_FORMAT_S16_LE,
            periodsize=period,
            periods=max(2, settings.buffer_ms // settings.period_ms),
        )
    except alsaaudio.ALSAAudioError as error:
        if not is_defined(device):
            text = f"no ALSA device is called {device}: correct capture.device (`edged devices` lists all)"
            raise SourceError(text) from error
        raise cards.explained(error, device) from error
    granted = pcm.info()
    wanted = (settings.rate, settings.channels, "S16_LE")
    if (granted["rate"], granted["channels"], granted["format_name"]) != wanted:
        can = _capabilities(pcm)
        pcm.close()
        hint = "" if device.startswith("plug") else f"; plug{device} converts" if device.startswith("hw:") else ""
        raise SourceMismatch(
            f"{device} can't do {settings.rate} Hz with {settings.channels} channel(s) of 16 bits;"
            f" it can do {can}{hint}"
        )
    try:
        pcm.set_tstamp_type(alsaaudio.PCM_TSTAMP_TYPE_MONOTONIC)
        pcm.set_tstamp_mode(alsaaudio.PCM_TSTAMP_ENABLE)
    except RuntimeError:
        logger.debug("microphone %s has no time stamps of its own", device)
    return pcm, (
        f"{granted['rate']} Hz, {granted['channels']} channel(s), periods of {granted['period_size']} samples,"
        f" buffer of {granted['buffer_size']}"
    )


def set_volume(device: str, percent: int) -> None:
    """Sets the capture volume of a device's card and switches it on. Raises SourceError if it has none."""
    card = cards.card_of(device)
    mixer = f"hw:CARD={card}" if card else device
    try:
        controls = [
            alsaaudio.Mixer(control=name, device=mixer) for name in dict.fromkeys(alsaaudio.mixers(device=mixer))
        ]
        able = [control for control in controls if any("Capture Volume" in cap for cap in control.volumecap())]
        chosen = [control for control in able if control.mixer() in PREFERRED_CONTROLS] or able
        for control in chosen:
            control.setvolume(percent, pcmtype=alsaaudio.PCM_CAPTURE)
            if any("Capture Mute" in cap for cap in control.switchcap()):
                control.setrec(1)
    except alsaaudio.ALSAAudioError as error:
        raise SourceError(f"capture.volume can't be set on {mixer}: {error}") from error
    if not chosen:
        raise SourceError(f"capture.volume can't be set: {mixer} has no capture volume")


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
        self._level = Level()
        self._silence: DigitalSilence
        """Of the device that is open."""
        self._stop = threading.Event()
        self._patience = Patience()
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
        while not self._stop.is_set():
            self.counters.turned_s = time.monotonic()
            try:
                self._capture()
            except SourceError as error:
                self._say_lost(Lost(str(error), error.trouble))
            except Exception as error:  # our own fault, but a daemon that goes deaf for it would be a worse one
                logger.exception("capture failed")
                self._say_lost(Lost(f"capture failed ({type(error).__name__}); it is tried again"))
            while not self._stop.wait(RETRY_S) and not self._worth_a_try():
                self.counters.turned_s = time.monotonic()

    def _worth_a_try(self) -> bool:
        """Whether the device is there and free, as far as can be seen without opening it."""
        if self._device is None:
            return bool(cards.capture_cards())
        if cards.card_of(self._device) is None:
            return True  # a plug-in: opening it is the only way of looking
        card = cards.find(self._device)
        return card is not None and cards.holder(card) is None

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
            raise cards.explained(error, device) from error
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
                    self.counters.opened += 1
                    self._deliver(opened)
                told, broken = reopened or read.stalled, reopened or read.overrun
                tolerance_s = (reading.period_s if read.exact else reading.buffer_s) + JITTER_S
                self._hear(read.frames, read.at_s, told=told, broken=broken, tolerance_s=tolerance_s)
                reopened = False

    def _hear(self, frames: bytes, stamp_s: float, *, told: bool, broken: bool, tolerance_s: float) -> None:
        settings, counters = self._settings, self.counters
        pcm = pick(frames, settings.channels, settings.channel)
        placed = self._positions.place(len(pcm) // 2, stamp_s, broken=broken, tolerance_s=tolerance_s)
        if placed.lost_samples:
            counters.lost_samples += placed.lost_samples
            if not told:
                self._deliver(Overrun(placed.lost_samples))
        counters.blocks += 1
        counters.last_block_s = time.monotonic()
        self._level.hear(pcm)
        counters.peak, counters.clipped = self._level.peak, self._level.clipped
        signal = self._silence.hear(pcm, frames)
        self._deliver(Block(placed.position, pcm, placed.at_s))  # who is woken wants the interpreter, so this is last
        if signal:
            self._deliver(signal)
