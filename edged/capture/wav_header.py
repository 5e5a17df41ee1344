"""Where the samples of a WAV file are: read leniently, as recorders, streaming writers and converters leave them."""

import struct
from typing import BinaryIO, Final, NamedTuple

PCM: Final = 1
EXTENSIBLE: Final = 0xFFFE
ENCODINGS: Final = {
    0x02: "ADPCM",
    0x03: "floating point",
    0x06: "A-law",
    0x07: "µ-law",
    0x11: "IMA ADPCM",
    0x31: "GSM",
    0x50: "MPEG",
    0x55: "MP3",
    0xFF: "AAC",
}

WAV: Final = (b"RIFF", b"RF64", b"BW64")
"""What WAV files begin with. In the last two the lengths are in a chunk of their own (EBU Tech 3306, ITU-R BS.2088)."""
OTHERS: Final = (
    (0, b"RIFX", "a big-endian WAV file"),
    (0, b"ID3", "MP3"),
    (0, b"\xff\xfb", "MP3"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"FORM", "AIFF"),
    (0, b"riff", "Wave64"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (4, b"ftyp", "MP4"),
)
"""Where in a file which bytes tell what it is."""
CHUNKS: Final = (b"fmt ", b"data", b"LIST", b"fact", b"ds64")
"""Those that every program writes."""

STREAMED_BYTES: Final = 0x7FFF_0000
"""Who can't go back to the header writes 0, or nearly 2 GB (sox, arecord, mplayer) or 4 GB (ffmpeg): 18 hours or more.
A file that does not have that much was never meant to."""
MOST_FORMAT_BYTES: Final = 64
"""Of the chunk that describes the samples; what counts is in the first 40."""


class ConvertibleError(ValueError):
    """No 16-bit PCM in WAV, but most likely audio: a converter may read it. The text goes on after the file's name."""


class WavHeader(NamedTuple):
    """Where the samples of a recording are."""

    rate: int
    channels: int
    bits: int
    offset: int
    """Of the first frame, in bytes."""
    promised_bytes: int
    """Whole frames, by the header."""
    bytes: int
    """Whole frames that are there."""


def parse(file: BinaryIO) -> WavHeader:
    """Reads a WAV header. Raises ValueError with a text that goes on after the file's name."""
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(12)
    if size == 0:
        raise ValueError("is empty")
    if start[:4] not in WAV or (len(start) == 12 and start[8:] != b"WAVE"):
        raise ConvertibleError(_what(start))
    if size < 12:
        raise ValueError("is cut off in its header")
    layout: tuple[int, int, int] | None = None
    data_bytes = 0
    """By an RF64 file's own chunk."""
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        begin = file.tell()
        if name == b"fmt ":
            layout = _layout(file.read(min(length, MOST_FORMAT_BYTES)))
        elif name == b"ds64":
            data_bytes = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"data":
            if layout is None:
                raise ValueError("is damaged: its samples come before their description")
            return _samples(layout, begin, data_bytes if length == 0xFFFFFFFF else length, size - begin)
        _skip(file, begin + length, odd=length % 2 == 1)
    raise ValueError("is cut off in its header")


def _samples(layout: tuple[int, int, int], begin: int, length: int, there: int) -> WavHeader:
    rate, channels, bits = layout
    unknown = length == 0 or (length >= STREAMED_BYTES and length > there)
    frame = max(1, channels * bits // 8)
    promised = (there if unknown else length) // frame * frame
    return WavHeader(rate, channels, bits, begin, promised, min(promised, there // frame * frame))


def _skip(file: BinaryIO, end: int, *, odd: bool) -> None:
    """To the next chunk. They are padded to even lengths, but not by every writer."""
    file.seek(end)
    if odd:
        near = file.read(5)
        unpadded = near[:4] in CHUNKS or (_is_name(near[:4]) and not _is_name(near[1:]))
        file.seek(end if unpadded else end + 1)


def _is_name(name: bytes) -> bool:
    return name.rstrip(b" ").isalnum()


def _layout(chunk: bytes) -> tuple[int, int, int]:
    if len(chunk) < 16:
        raise ValueError("is cut off in its header")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == EXTENSIBLE and len(chunk) >= 26:
        kind = struct.unpack_from("<H", chunk, 24)[0]
    if kind != PCM:
        raise ConvertibleError(f"is not PCM but {ENCODINGS.get(kind, f'of an unknown format ({kind:#06x})')}")
    if channels == 0 or rate == 0:
        raise ValueError("is damaged: it says that it has no channels or no rate")
    return rate, channels, bits


def _what(start: bytes) -> str:
    kind = next((name for at, mark, name in OTHERS if start[at:].startswith(mark)), "")
    return f"is no WAV file but {kind}" if kind else "is no WAV file"
