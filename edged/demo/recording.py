"""Recording for the virtual microphone: sentences with known words, and a room's silence between them."""

import random
import re
import wave
from pathlib import Path
from typing import NamedTuple

from edged.config.settings import DeepgramSettings, GateSettings
from edged.gate.audio_gate import SegmentAudio
from edged.gate.detectors import make_audio_gate
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError

RECORDINGS = Path("/usr/share/pocketsphinx/test/data/librivox")
"""Directory where Debian's package `pocketsphinx-testdata` puts five sentences and their `transcription`."""
RATE = 16_000
"""Theirs, and that of PocketSphinx's model."""
LEAD_S = 3.0
"""Longer than the 1.5 s that prime the connection."""
SILENCES_S = (6.5, 6.5, 11.5, 6.5)
"""Between the sentences: long enough for one KeepAlive (0.8 s of hangover and 4 s), the third for two."""
TAIL_S = 4.0
"""After the last sentence: hangover, and time for its transcript to come."""
QUIET = 8
"""Peak of the noise between the sentences, of 32767: -77 dBFS, a quiet room, and never exact zeros."""
TRANSCRIPTION = re.compile(r"<s> (?P<text>.*) </s> \((?P<name>.*)\)")


class Sentence(NamedTuple):
    """One of them: what is said, and where in the room's audio."""

    text: str
    start: int
    """First sample of the sentence; `end` is the first one after it."""
    end: int

    @property
    def middle(self) -> int:
        """Half of it is said."""
        return (self.start + self.end) // 2


class DemoRecording(NamedTuple):
    """All that is heard."""

    pcm: bytes
    """s16le mono at `RATE`."""
    sentences: tuple[Sentence, ...]

    @property
    def length_s(self) -> float:
        """Duration of the recording."""
        return len(self.pcm) / BYTES_PER_SAMPLE / RATE

    def write(self, path: Path) -> None:
        """Write the recording as a WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(BYTES_PER_SAMPLE)
            file.setframerate(RATE)
            file.writeframes(self.pcm)


def read(directory: Path = RECORDINGS) -> DemoRecording:
    """The sentences, in order, `SILENCES_S` apart. Raises ConfigurationError if they can't be read."""
    try:
        lines = (directory / "transcription").read_text(encoding="utf-8").splitlines()
        found = [match for line in lines if (match := TRANSCRIPTION.fullmatch(line.strip()))]
        recordings = [(match["text"], _recording(directory / f"{match['name']}.wav")) for match in found]
    except (OSError, UnicodeDecodeError, wave.Error, EOFError) as error:
        raise ConfigurationError(f"the demo's recordings in {directory} can't be read: {with_cure(error)}") from None
    if len(recordings) != len(SILENCES_S) + 1:
        raise ConfigurationError(f"the demo expects {len(SILENCES_S) + 1} recordings in {directory}")
    return compose(recordings)


def compose(recordings: list[tuple[str, bytes]]) -> DemoRecording:
    """The recordings, untouched, with noise around them. The same recordings give the same samples."""
    noise = random.Random(0)
    pcm = bytearray(_quiet(noise, LEAD_S))
    sentences = []
    for (text, audio), silence_s in zip(recordings, (*SILENCES_S, TAIL_S), strict=True):
        start = len(pcm) // BYTES_PER_SAMPLE
        pcm += audio
        sentences.append(Sentence(text, start, len(pcm) // BYTES_PER_SAMPLE))
        pcm += _quiet(noise, silence_s)
    return DemoRecording(bytes(pcm), tuple(sentences))


def sent_s(room: DemoRecording, position: int, gate: GateSettings, deepgram: DeepgramSettings) -> float:
    """About how many seconds of audio the recogniser has had when `position` has been sent (right to half a second)."""
    gated = make_audio_gate(gate, RATE)
    let = [*gated.feed(Block(0, room.pcm, 0.0)), *gated.finish()]
    sent = sum(
        max(0, min(position, item.position + len(item.pcm) // BYTES_PER_SAMPLE) - item.position)
        for item in let
        if isinstance(item, SegmentAudio)
    )
    return deepgram.prime_s + sent / RATE


def _recording(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, BYTES_PER_SAMPLE):
            raise wave.Error(f"{path.name} is not 16-bit mono at {RATE} Hz")
        return file.readframes(file.getnframes())


def _quiet(noise: random.Random, seconds: float) -> bytes:
    levels = [round((value - 127.5) / 127.5 * QUIET) for value in range(256)]
    samples = [level.to_bytes(BYTES_PER_SAMPLE, "little", signed=True) for level in levels]
    return b"".join(samples[value] for value in noise.randbytes(round(seconds * RATE)))
