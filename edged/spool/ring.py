"""The last seconds of captured audio in a mapped file in memory, where a killed process leaves them.

Audio that the gate has not decided on (pre-roll, onset, waiting for a second opinion) is nowhere else outside the
process. The sample at a position lies at that position modulo the capacity, so nothing is moved. A header says which
positions are valid. It is written after the audio, alternately at two offsets, with a number and a checksum. At any
instant one of the two is whole and true, since audio is only written outside the range of the last header.
"""

import mmap
import os
import struct
import zlib
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.files import open_private
from edged.model.ranges import Range

MAX_HOLES: Final = 5
"""Number of holes that a header has room for. Audio before older holes is discarded."""

HEADER: Final = struct.Struct(f"<4s I Q q q q q d 33p 65p {2 * MAX_HOLES}q")
"""Magic, rate, number of the write, capacity, start, end, passed_to, at_s of the end, the run's name, the boot's id;
start and end of each hole."""

CHECKSUM: Final = struct.Struct("<I")

MAGIC: Final = b"EDR3"
"""Identifies a ring and the version of its header. A ring of another version is ignored."""

NAME_BYTES: Final = 32
BOOT_BYTES: Final = 64

HEADER_OFFSETS: Final = (0, 256)
DATA_OFFSET: Final = 512
"""Offset of the audio in the file."""

MAX_BLOCK_S: Final = 1.0
"""Maximum length of a block: the file holds this much more than it keeps. The longest captured block has 0.5 s."""


MAX_FILE_BYTES: Final = 16 << 20
"""Maximum size of a ring that is read. Half a minute at the highest rate takes 3 MB."""


class RingContents(NamedTuple):
    """The audio that a ring held, and what dates it."""

    run: str
    rate: int
    position: int
    """Position of the first sample."""
    pcm: bytes
    passed_to: int
    """The gate passed audio before this position to the spool, as far as it passed any. May lie outside the audio."""
    at_s: float
    """When the first sample was captured, in seconds of the boot's CLOCK_BOOTTIME."""
    boot_id: str
    holes: tuple[Range, ...] = ()
    """Ranges in the audio that were not captured: their samples are meaningless."""


class Ring:
    """The writer of a ring, for one thread. `write` only copies, which takes microseconds."""

    def __init__(self, path: Path, run: str, boot_id: str, rate: int, seconds: float) -> None:
        """Create a ring in place of an older file. Raises OSError, and ValueError for a name or id that is too long."""
        self._path = path
        self._run, self._boot_id = run.encode(), boot_id.encode()
        if len(self._run) > NAME_BYTES or len(self._boot_id) > BOOT_BYTES:
            raise ValueError(f"a run's name has {NAME_BYTES} bytes at most, a boot's id {BOOT_BYTES}")
        self._rate = rate
        self._kept_samples = round(seconds * rate)
        self._max_block_samples = round(MAX_BLOCK_S * rate)
        self._capacity = self._kept_samples + self._max_block_samples
        self._start = self._end = 0
        self._holes: list[Range] = []
        self._end_at_s = 0.0
        self._number = 0
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            size = DATA_OFFSET + self._capacity * BYTES_PER_SAMPLE
            os.posix_fallocate(fd, 0, size)  # a full disk fails here, and not with SIGBUS in `write`
            self._map = mmap.mmap(fd, size)
        except OSError:
            path.unlink()  # a partial file would be taken for a ring
            raise
        finally:
            os.close(fd)

    def write(self, position: int, pcm: bytes, passed_to: int, at_s: float) -> None:
        """Write a block whose first sample was captured at `position` and `at_s`.

        The gate has passed audio up to `passed_to`. A hole may precede the block. Audio before the hole stays, as it
        may not be stored yet. Raises ValueError for a block longer than `MAX_BLOCK_S`.
        """
        length = len(pcm) // BYTES_PER_SAMPLE
        if length > self._max_block_samples:
            raise ValueError("a block is too long for the ring")
        if position != self._end:
            if position < self._end:
                self._start = position
            self._holes.append((self._end, position))
            self._end, self._end_at_s = position, at_s
            self._discard_before(position + length - self._kept_samples)
            self._write_header(passed_to)  # the audio that is overwritten now was valid before
        capacity = self._capacity
        at = position % capacity
        first = min(length, capacity - at)
        low = DATA_OFFSET + at * BYTES_PER_SAMPLE
        self._map[low : low + first * BYTES_PER_SAMPLE] = pcm[: first * BYTES_PER_SAMPLE]
        if first < length:
            self._map[DATA_OFFSET : DATA_OFFSET + (length - first) * BYTES_PER_SAMPLE] = pcm[first * BYTES_PER_SAMPLE :]
        self._end = position + length
        self._discard_before(self._end - self._kept_samples)
        self._end_at_s = at_s + length / self._rate
        self._write_header(passed_to)

    def close(self) -> None:
        """Erase the audio and delete the file."""
        self._map[:] = bytes(len(self._map))
        self._map.close()
        self._path.unlink(missing_ok=True)

    def _discard_before(self, position: int) -> None:
        """Discard audio before a position, and audio before more than `MAX_HOLES` holes."""
        self._start = max(self._start, position)
        self._holes = [(start, end) for start, end in self._holes if end > self._start]
        if self._holes and self._holes[0][0] <= self._start:
            self._start = self._holes.pop(0)[1]
        while len(self._holes) > MAX_HOLES:
            self._start = self._holes.pop(0)[1]

    def _write_header(self, passed_to: int) -> None:
        self._number += 1
        header = HEADER.pack(
            MAGIC,
            self._rate,
            self._number,
            self._capacity,
            self._start,
            self._end,
            passed_to,
            self._end_at_s,
            self._run,
            self._boot_id,
            *chain.from_iterable(self._holes),
            *[0] * (2 * (MAX_HOLES - len(self._holes))),
        )
        place = HEADER_OFFSETS[self._number % 2]
        self._map[place : place + HEADER.size + CHECKSUM.size] = header + CHECKSUM.pack(zlib.crc32(header))


def read_ring(path: Path) -> RingContents | None:
    """Return what a killed process left in a ring; None if there is no file, or no valid ring in it.

    Raises OSError if the file can't be read.
    """
    try:
        fd = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    headers = [header for place in HEADER_OFFSETS if (header := _header(data, place)) is not None]
    if not headers:
        return None
    _, rate, _, capacity, start, end, passed_to, at_s, run, boot_id, *holes = max(headers, key=lambda header: header[2])
    sound = rate > 0 and 0 <= start < end and end - start <= capacity
    if not sound or len(data) != DATA_OFFSET + capacity * BYTES_PER_SAMPLE:
        return None
    audio = data[DATA_OFFSET:]
    low, length = start % capacity, end - start
    first = min(length, capacity - low)
    pcm = audio[low * BYTES_PER_SAMPLE : (low + first) * BYTES_PER_SAMPLE]
    pcm += audio[: (length - first) * BYTES_PER_SAMPLE]
    begins_s = at_s - length / rate
    name, boot = run.decode("utf-8", "replace"), boot_id.decode("utf-8", "replace")
    pairs = tuple((low, high) for low, high in zip(holes[::2], holes[1::2], strict=True) if high)
    return RingContents(name, rate, start, pcm, passed_to, begins_s, boot, pairs)


def is_empty_ring(path: Path) -> bool:
    """Return whether a ring was never written to, or was erased and could not be deleted. Raises OSError."""
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read(DATA_OFFSET) == bytes(DATA_OFFSET)


def _header(data: bytes, place: int) -> tuple[Any, ...] | None:
    header = data[place : place + HEADER.size]
    checksum = data[place + HEADER.size : place + HEADER.size + CHECKSUM.size]
    if len(checksum) < CHECKSUM.size or header[:4] != MAGIC or CHECKSUM.unpack(checksum)[0] != zlib.crc32(header):
        return None
    return HEADER.unpack(header)
