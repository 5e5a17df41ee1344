"""WAV headers as recorders, streaming writers and converters leave them."""

import io
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.wav_header import ConvertibleError, WavHeader, parse

AUDIO = struct.pack("<400h", *range(400))
FORMAT = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
EXTENSIBLE = struct.pack("<HHIIHHHHIH14x", 0xFFFE, 1, 16_000, 32_000, 2, 16, 22, 16, 4, 1)
FFMPEG = b"INFOISFT\x05\0\0\0Lavf\0"
"""A LIST chunk with one text of odd length."""


def chunk(name: bytes, content: bytes, length: int | None = None, pad: bytes = b"\0") -> bytes:
    size = len(content) if length is None else length
    return name + struct.pack("<I", size) + content + pad * (len(content) % 2)


def samples(*chunks: bytes, kind: bytes = b"RIFF") -> tuple[bytes, int]:
    """Return the samples that are found, and the declared length."""
    file = io.BytesIO(kind + bytes(4) + b"WAVE" + b"".join(chunks))
    wav = parse(file)
    file.seek(wav.data_offset)
    return file.read(wav.data_bytes), wav.declared_bytes


DATA = chunk(b"data", AUDIO)


@pytest.mark.parametrize(
    "chunks",
    [
        (chunk(b"fmt ", FORMAT), DATA),
        (chunk(b"fmt ", EXTENSIBLE), DATA),
        (chunk(b"fmt ", FORMAT), DATA, chunk(b"LIST", FFMPEG)),
        (chunk(b"bext", bytes(602)), chunk(b"fmt ", FORMAT), DATA),
        (chunk(b"fmt ", FORMAT), chunk(b"LIST", FFMPEG), DATA),
        (chunk(b"fmt ", FORMAT), chunk(b"LIST", FFMPEG, pad=b""), DATA),
        (chunk(b"LIST", b"abc", pad=b""), chunk(b"fmt ", FORMAT), chunk(b"LIST", b"x", pad=b""), DATA),
        (chunk(b"LIST", b"abc", pad=b"x"), chunk(b"fmt ", FORMAT), DATA),
    ],
)
def test_the_samples_are_found_whatever_chunks_surround_them(chunks: tuple[bytes, ...]) -> None:
    """Chunks are padded to even lengths, but not by every program."""
    assert samples(*chunks) == (AUDIO, len(AUDIO))


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF - 36, 0x80000000, 0x7FFFF000, 0xFFFFFFFF - 36])
def test_a_header_of_a_streaming_writer_declares_no_length(length: int) -> None:
    """A stream of ffmpeg, sox or arecord is not a recording of 18 hours that was cut short."""
    assert samples(chunk(b"fmt ", FORMAT), chunk(b"data", AUDIO, length)) == (AUDIO, len(AUDIO))


def test_a_recording_that_is_cut_short_declares_more() -> None:
    assert samples(chunk(b"fmt ", FORMAT), chunk(b"data", AUDIO, 1_000_000)) == (AUDIO, 1_000_000)


def test_half_a_sample_at_the_end_does_not_count() -> None:
    assert samples(chunk(b"fmt ", FORMAT), chunk(b"data", AUDIO[:-1])) == (AUDIO[:-2], len(AUDIO) - 2)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
def test_64_bit_lengths_are_read(kind: bytes) -> None:
    """Bytes after the samples do not count as samples."""
    lengths = chunk(b"ds64", struct.pack("<QQQI", 9999, len(AUDIO), 400, 0))
    data = chunk(b"data", AUDIO, 0xFFFFFFFF)
    read = samples(lengths, chunk(b"fmt ", FORMAT), data, chunk(b"LIST", FFMPEG), kind=kind)
    assert read == (AUDIO, len(AUDIO))


def test_a_chunk_of_4_gb_is_not_read() -> None:
    file = io.BytesIO(b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 0xFFFFFFF0) + FORMAT + DATA)

    class Greedy(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 <= size < 1_000_000
            return super().read(size)

    with pytest.raises(ValueError, match="is cut off in its header"):
        parse(Greedy(file.getvalue()))


@pytest.mark.parametrize("start", [b"ID3\x04", b"fLaC", b"OggS", b"RIFX", b"riff", b"FORM", b"\0\0\0\x1cftypM4A "])
def test_another_format_is_named_and_may_be_converted(start: bytes) -> None:
    with pytest.raises(ConvertibleError, match="is not a WAV file but "):
        parse(io.BytesIO(start + bytes(100)))


@given(st.binary(max_size=200), st.booleans())
def test_no_file_breaks_the_parser(content: bytes, begins: bool) -> None:
    start = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + FORMAT if begins else b""
    with suppress(ValueError):
        assert isinstance(parse(io.BytesIO(start + content)), WavHeader)
