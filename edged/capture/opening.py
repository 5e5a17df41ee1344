"""Opening a microphone through ALSA, and what the settings ask of it: format, gain."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import alsaaudio

from edged.capture import libasound
from edged.capture.alsa_errors import explain
from edged.config.settings import CaptureSettings
from edged.model.errors import ConfigurationError, SourceError, SourceMismatchError
from edged.model.message_ids import MessageId

logger = logging.getLogger(__name__)


def with_gain(device: str, gain_db: float) -> str:
    """The name of a card's `device` with a gain in front, as ALSA takes a definition in place of a name.

    ALSA's `route` multiplies the card's own samples, up to 32 bits wide, and saturates; only then are they cut to 16
    bits: to within the last bit, and without a line of Python per sample. Its factors are multiples of 1/16.
    It must sit right on the card: over a `plug`, libasound 1.2.8 aborts or crashes. So other names raise
    ConfigurationError; the author of such a definition can put the `route` into it.
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
    with _errors_of(device):
        pcm = alsaaudio.PCM(alsaaudio.PCM_CAPTURE, device=device)
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
    libasound.listen()
    try:
        return str(alsaaudio.card_name(index)[0])
    except alsaaudio.ALSAAudioError:
        return None


def open_pcm(device: str, settings: CaptureSettings) -> tuple[Any, str]:
    """An open PCM, and in words what was granted. Raises SourceError, or SourceMismatch naming what it can do."""
    period = settings.rate * settings.period_ms // 1000
    name = with_gain(device, settings.gain_db) if settings.gain_db else device
    with _errors_of(device):
        pcm = alsaaudio.PCM(
            alsaaudio.PCM_CAPTURE,
            device=name,
            rate=settings.rate,
            channels=settings.channels,
            format=alsaaudio.PCM_FORMAT_S16_LE,
            periodsize=period,
            periods=max(2, settings.buffer_ms // settings.period_ms),
        )
    granted = pcm.info()
    wanted = (settings.rate, settings.channels, "S16_LE")
    if (granted["rate"], granted["channels"], granted["format_name"]) != wanted:
        can = _capabilities(pcm)
        pcm.close()
        hint = "" if device.startswith("plug") else f"; plug{device} converts" if device.startswith("hw:") else ""
        raise SourceMismatchError(
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


def sample(device: str, settings: CaptureSettings, seconds: float) -> bytes:
    """Read about this much interleaved audio from a device. Raises SourceError."""
    pcm, _ = open_pcm(device, settings)
    try:
        with _errors_of(device):
            reads = [pcm.read() for _ in range(max(1, round(1000 * seconds / settings.period_ms)))]
    finally:
        pcm.close()
    return b"".join(frames for count, frames in reads if count > 0)


@contextmanager
def _errors_of(device: str) -> Iterator[None]:
    """What fails while a device is opened becomes a SourceError with libasound's own reason."""
    messages = libasound.listen()
    try:
        yield
    except alsaaudio.ALSAAudioError as error:
        if fault := libasound.configuration_fault(device):
            raise SourceError(fault).with_message_id(MessageId.ALSA) from error
        raise explain(error, device, messages) from error
