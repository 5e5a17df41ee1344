"""Choice of the audio source that the settings ask for."""

from edged.capture.source import Deliver, Source
from edged.config.settings import CaptureSettings


def open_source(settings: CaptureSettings, deliver: Deliver) -> Source:
    """Return the source that the settings ask for, without opening it."""
    if settings.source == "wav":
        from edged.capture.wav import WavSource

        return WavSource(settings, deliver)
    # Imported here because a machine without ALSA can still transcribe a recording.
    from edged.capture.alsa import AlsaSource

    return AlsaSource(settings, deliver)
