"""Audio encodings for sending. Pure.

Every encoding works sample by sample, so that positions, replay and times are the same in all of them. `mulaw` (G.711)
takes one byte per sample, `linear16` two. Codecs with frames or a delay are not supported: a session may begin and end
at any sample.
"""

from collections.abc import Callable
from functools import cache
from typing import Final, Literal

Encoding = Literal["linear16", "mulaw"]

BIAS: Final = 0x84
"""Bias of G.711, added to each magnitude so that its highest bit is one of eight."""
CLIP_LEVEL: Final = 32_635
"""Largest magnitude; louder samples are clipped. With the bias a larger one would not fit into 15 bits."""


def encoder(encoding: Encoding) -> Callable[[bytes], bytes]:
    """Return the function that encodes s16le samples for sending."""
    return _mulaw if encoding == "mulaw" else lambda pcm: pcm


def _mulaw(pcm: bytes) -> bytes:
    """Encode samples by one table lookup each, without Python code per sample: 65 us for 100 ms."""
    return bytes(map(_table().__getitem__, memoryview(pcm).cast("H")))


@cache
def _table() -> bytes:
    """Return the table of encoded bytes, indexed by the sample's 16 bits. Building it on first use takes 30 ms."""
    return bytes(_byte(bits if bits < 0x8000 else bits - 0x10000) for bits in range(0x10000))


def _byte(sample: int) -> int:
    """Encode one sample: sign, position of the highest bit, and the four bits after it, all inverted."""
    magnitude = min(abs(sample), CLIP_LEVEL) + BIAS
    exponent = magnitude.bit_length() - 8
    return ~((sample < 0) << 7 | exponent << 4 | magnitude >> exponent + 3 & 0xF) & 0xFF
