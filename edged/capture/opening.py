"""Opening a microphone through ALSA, with the format and gain that the settings ask for."""

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
    """Return a definition that amplifies a card's `device`; ALSA takes it in place of a device name.

    ALSA's `route` multiplies the card's own samples, up to 32 bits wide, and saturates. Only then does `plug` reduce
    them to 16 bits: exact to the last bit, without Python per sample. The factors are multiples of 1/16.
    The `route` must be next to the card: over a `plug`, libasound 1.2.8 aborts or crashes. So other names raise
    ConfigurationError; the author of such a definition can add the `route` to it.
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
    """Open a device and describe its rates and channels: `16000, 48000 Hz; 1, 2 channels`. Raises SourceError."""
    with _translate_errors(device):
        pcm = alsaaudio.PCM(alsaaudio.PCM_CAPTURE, device=device)
    try:
        return _describe(pcm)
    finally:
        pcm.close()


def _describe(pcm: Any) -> str:
    rates, channels = pcm.getrates(), pcm.getchannels()
    if isinstance(rates, tuple):
        text = f"{rates[0]} to {rates[1]} Hz"
    else:
        text = ", ".join(str(rate) for rate in (rates if isinstance(rates, list) else [rates])) + " Hz"
    counts = [str(n) for n in channels if n <= 32]  # plug-ins claim 10,000; settings allow 32
    listed = ", ".join(counts) if len(counts) < 8 else f"{counts[0]} to {counts[-1]}"
    return f"{text}; {listed} channel{'s'[: counts != ['1']]}"


def card_title(index: int) -> str | None:
    """Return the name that the maker gave a card; None if the card is gone."""
    libasound.collect_messages()
    try:
        return str(alsaaudio.card_name(index)[0])
    except alsaaudio.ALSAAudioError:
        return None


def open_pcm(device: str, settings: CaptureSettings) -> tuple[Any, str]:
    """Return an open PCM, and a description of the format that the card granted.

    Raises SourceError, or SourceMismatchError with the formats that the device can do.
    """
    period = settings.rate * settings.period_ms // 1000
    name = with_gain(device, settings.gain_db) if settings.gain_db else device
    with _translate_errors(device):
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
        possible = _describe(pcm)
        pcm.close()
        hint = "" if device.startswith("plug") else f"; plug{device} converts" if device.startswith("hw:") else ""
        raise SourceMismatchError(
            f"{device} can't do {settings.rate} Hz with {settings.channels} channel(s) of 16 bits;"
            f" it can do {possible}{hint}"
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


def record_sample(device: str, settings: CaptureSettings, seconds: float) -> bytes:
    """Open a device and return about this much interleaved audio. Raises SourceError."""
    pcm, _ = open_pcm(device, settings)
    try:
        with _translate_errors(device):
            reads = [pcm.read() for _ in range(max(1, round(1000 * seconds / settings.period_ms)))]
    finally:
        pcm.close()
    return b"".join(frames for count, frames in reads if count > 0)


@contextmanager
def _translate_errors(device: str) -> Iterator[None]:
    """Turn an error of alsaaudio into a SourceError with the cause that libasound reported."""
    messages = libasound.collect_messages()
    try:
        yield
    except alsaaudio.ALSAAudioError as error:
        if fault := libasound.configuration_fault(device):
            raise SourceError(fault).with_message_id(MessageId.ALSA) from error
        raise explain(error, device, messages) from error
