"""Always-on transcription for small Linux machines: microphone in, transcript log out, no word lost."""

__version__ = "0.1.0"
