"""mu-law: what G.711 says, at every one of the 65,536 samples; both halves are written independently."""

import struct
from array import array

import pytest

from edged.recognizer.decoding import DECODERS
from edged.stream.encoding import CLIP_LEVEL, encoder

EVERY = array("h", range(-32_768, 32_768)).tobytes()


def there_and_back(pcm: bytes) -> bytes:
    return DECODERS["mulaw"](encoder("mulaw")(pcm))


@pytest.mark.parametrize(
    ("sample", "byte"),
    # The corners of G.711's table, in 16 bits: zero, the ends of chords, and what is cut.
    [
        (0, 0xFF),
        (-1, 0x7F),
        (3, 0xFF),
        (4, 0xFE),
        (124, 0xEF),
        (892, 0xCF),
        (32_635, 0x80),
        (32_767, 0x80),
        (-32_768, 0),
    ],
)
def test_known_samples(sample: int, byte: int) -> None:
    assert encoder("mulaw")(struct.pack("<h", sample)) == bytes([byte])


def test_each_sample_comes_back_within_half_a_step_and_in_its_place() -> None:
    """A step is a sixteenth of the distance to the next power of two, bias included; what is too loud is cut."""
    back = memoryview(there_and_back(EVERY)).cast("h")
    assert len(back) == 65_536
    for sample, heard in zip(range(-32_768, 32_768), back, strict=True):
        loud = min(abs(sample), CLIP_LEVEL)
        step = 1 << (loud + 132).bit_length() - 5
        assert abs(abs(heard) - loud) <= step // 2
        assert heard == 0 or (heard < 0) == (sample < 0)


def test_what_came_back_once_comes_back_the_same_again() -> None:
    """Encoding is stable, so a recording that went through it once shows whether a bit was lost on the way."""
    once = there_and_back(EVERY)
    assert there_and_back(once) == once


def test_linear16_is_what_it_was() -> None:
    assert encoder("linear16")(EVERY) == DECODERS["linear16"](EVERY) == EVERY
