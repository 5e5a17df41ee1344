"""A lenient parser of WAV headers, as recorders, streaming writers and converters leave them."""

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

WAV_SIGNATURES: Final = (b"RIFF", b"RF64", b"BW64")
"""First bytes of WAV files. The last two keep lengths in a chunk of its own (EBU Tech 3306, ITU-R BS.2088)."""
OTHER_SIGNATURES: Final = (
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
"""Offset and bytes by which to recognise other formats."""
COMMON_CHUNKS: Final = (b"fmt ", b"data", b"LIST", b"fact", b"ds64")
"""Names of chunks that most programs write."""

STREAMED_BYTES: Final = 0x7FFF_0000
"""Length from which a header that promises more than the file holds is a placeholder.

A program that can't seek back to the header writes 0, nearly 2 GB (sox, arecord, mplayer) or 4 GB (ffmpeg): 18 hours
or more."""
MAX_FORMAT_BYTES: Final = 64
"""Most that is read of the format chunk; edged needs only its first 40 bytes."""


class ConvertibleError(ValueError):
    """The file is not 16-bit PCM in WAV, but probably audio that a converter reads. The text follows a file name."""


class WavHeader(NamedTuple):
    """Format of a recording, and the place of its samples."""

    rate: int
    channels: int
    bits: int
    data_offset: int
    """Offset of the first frame, in bytes."""
    declared_bytes: int
    """Length of the whole frames that the header declares."""
    data_bytes: int
    """Length of the whole frames in the file."""


def parse(file: BinaryIO) -> WavHeader:
    """Parse a WAV header. Raises ValueError with a text that follows the file's name."""
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(12)
    if size == 0:
        raise ValueError("is empty")
    if start[:4] not in WAV_SIGNATURES or (len(start) == 12 and start[8:] != b"WAVE"):
        raise ConvertibleError(_describe(start))
    if size < 12:
        raise ValueError("is cut off in its header")
    format_: tuple[int, int, int] | None = None
    rf64_data_bytes = 0
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        begin = file.tell()
        if name == b"fmt ":
            format_ = _parse_format(file.read(min(length, MAX_FORMAT_BYTES)))
        elif name == b"ds64":
            rf64_data_bytes = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"data":
            if format_ is None:
                raise ValueError("is damaged: its samples come before their description")
            return _locate_samples(format_, begin, rf64_data_bytes if length == 0xFFFFFFFF else length, size - begin)
        _skip_to(file, begin + length, odd=length % 2 == 1)
    raise ValueError("is cut off in its header")


def _locate_samples(format_: tuple[int, int, int], begin: int, length: int, present: int) -> WavHeader:
    rate, channels, bits = format_
    is_placeholder = length == 0 or (length >= STREAMED_BYTES and length > present)
    frame = max(1, channels * bits // 8)
    declared = (present if is_placeholder else length) // frame * frame
    return WavHeader(rate, channels, bits, begin, declared, min(declared, present // frame * frame))


def _skip_to(file: BinaryIO, end: int, *, odd: bool) -> None:
    """Go to the next chunk. Chunks are padded to even lengths, but not by every program."""
    file.seek(end)
    if odd:
        following = file.read(5)
        unpadded = following[:4] in COMMON_CHUNKS or (_is_name(following[:4]) and not _is_name(following[1:]))
        file.seek(end if unpadded else end + 1)


def _is_name(name: bytes) -> bool:
    return name.rstrip(b" ").isalnum()


def _parse_format(chunk: bytes) -> tuple[int, int, int]:
    if len(chunk) < 16:
        raise ValueError("is cut off in its header")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == EXTENSIBLE and len(chunk) >= 26:
        kind = struct.unpack_from("<H", chunk, 24)[0]
    if kind != PCM:
        raise ConvertibleError(f"is not PCM but {ENCODINGS.get(kind, f'of an unknown format ({kind:#06x})')}")
    if channels == 0 or rate == 0:
        raise ValueError("is damaged: its header gives no channels or no rate")
    return rate, channels, bits


def _describe(start: bytes) -> str:
    kind = next((name for offset, signature, name in OTHER_SIGNATURES if start[offset:].startswith(signature)), "")
    return f"is not a WAV file but {kind}" if kind else "is not a WAV file"
