"""Cost of each encoding in bandwidth, CPU and word errors: five recorded sentences and PocketSphinx."""

import time
import wave
from pathlib import Path
from typing import NamedTuple, get_args

from edged.demo.word_errors import bare, word_errors
from edged.recognizer.decoding import DECODERS
from edged.recognizer.pocketsphinx import PocketsphinxEngineFactory
from edged.stream.encoding import Encoding, encoder

RECORDINGS = Path("/usr/share/pocketsphinx/test/data/librivox")
"""Recordings of Debian's pocketsphinx-testdata."""
RATE = 16_000
BLOCK_BYTES = 3200
FRAMING_BYTES = 8
"""Framing of a client's WebSocket message of this size."""
TIMES = 200


class Encoded(NamedTuple):
    """Figures of one encoding."""

    kbit_s: float
    """Bit rate during speech, with WebSocket frames but without TLS and TCP."""
    us_a_block: float
    """CPU time to encode 100 ms of audio."""
    errors: int
    """Words replaced, inserted or left out."""
    words: int


def encodings() -> dict[str, Encoded]:
    """Each that edged can send. Raises FileNotFoundError without the recordings."""
    return {name: _measured(name) for name in get_args(Encoding)}


def _measured(name: Encoding) -> Encoded:
    encode, decode = encoder(name), DECODERS[name]
    errors = words = 0
    block = b""
    for line in (RECORDINGS / "transcription").read_text().splitlines():
        text, _, file = line.rpartition(" ")
        said = bare(text.replace("<s>", "").replace("</s>", ""))
        with wave.open(str(RECORDINGS / f"{file.strip('()')}.wav"), "rb") as recording:
            pcm = recording.readframes(recording.getnframes())
        block = pcm[RATE * 2 : RATE * 2 + BLOCK_BYTES]
        errors += word_errors(said, heard(decode(encode(pcm))))
        words += len(said)
    encode(block)
    begun_s = time.process_time()
    for _ in range(TIMES):
        encode(block)
    taken_s = (time.process_time() - begun_s) / TIMES
    sent = len(encode(block)) + FRAMING_BYTES
    return Encoded(sent * 8 / 100, 1e6 * taken_s, errors, words)


def heard(pcm: bytes) -> tuple[str, ...]:
    """Return the text that PocketSphinx recognises."""
    engine = PocketsphinxEngineFactory().open(RATE)
    for at in range(0, len(pcm), BLOCK_BYTES):
        engine.feed(pcm[at : at + BLOCK_BYTES])
    found = engine.flush()
    return tuple(word for each in found.words for word in bare(each.text))
