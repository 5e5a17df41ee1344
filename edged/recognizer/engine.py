"""Interface of the speech engines. Each engine serves one connection and is used once.
Pure.

Times are seconds of audio fed to this engine, from 0.
"""

from typing import NamedTuple, Protocol

from edged.model.audio import BYTES_PER_SAMPLE

PAUSE_S = 0.5
"""Silence that ends an utterance, for a recording that is recognised as a whole."""


class RecognizedWord(NamedTuple):
    """One word, bare and in lower case."""

    text: str
    start_s: float
    end_s: float
    confidence: float


class Recognition(NamedTuple):
    """Words and voice that an engine has found so far."""

    words: tuple[RecognizedWord, ...]
    """Words in order, without the committed ones. Those near the end may change with the next audio."""
    voice_start_s: float
    """Start of the latest stretch of voice."""
    voice_end_s: float
    """End of that stretch so far: the current time during speech, 0 before any."""


NO_SPEECH = Recognition((), 0.0, 0.0)


class Engine(Protocol):
    """Audio in, words out, in order; every call is synchronous and may take its time."""

    stable_after_s: float
    """A word that ended this long ago no longer changes (but for a `flush`)."""

    def feed(self, pcm: bytes) -> Recognition:
        """Take more audio: s16le mono at the rate it was opened with, whole samples."""

    def flush(self) -> Recognition:
        """No more audio belongs to what was said so far: make the best of it now."""

    def commit(self, until_s: float) -> None:
        """Words that end at or before this are final: never give them again."""

    def close(self) -> None:
        """Give back what it holds; no more calls follow."""


class EngineFactory(Protocol):
    """Opens an engine for each connection."""

    name: str
    is_blocking: bool
    """Whether its calls take too long for an event loop, so that they need a thread."""

    def rate_error(self, rate: int) -> str | None:
        """Why audio of this rate can't be recognised, for the one who asked for it."""

    def open(self, rate: int) -> Engine:
        """May take long (a model is loaded)."""


def transcribe(engine: Engine, pcm: bytes, rate: int) -> tuple[RecognizedWord, ...]:
    """A whole recording's words, without server, windows and connection: what a comparison starts from.

    An utterance ends with `PAUSE_S` of silence.
    """
    words: list[RecognizedWord] = []
    piece_bytes = rate // 10 * BYTES_PER_SAMPLE
    for at in range(0, len(pcm), piece_bytes):
        heard = engine.feed(pcm[at : at + piece_bytes])
        now_s = (at + piece_bytes) / BYTES_PER_SAMPLE / rate
        if heard.words and now_s - heard.voice_end_s >= PAUSE_S:
            words += engine.flush().words
            engine.commit(now_s)
    return (*words, *engine.flush().words)
