"""The last seconds of captured audio in a mapped file in memory, where a killed process leaves them.

What the gate has not decided yet (pre-roll, onset, a second opinion's wait) is nowhere else outside the process. The
sample at a position lies at that position modulo the capacity, so nothing is moved. A header says which positions hold;
it is written behind the audio, by turns in two places, with a number and a checksum: whatever the instant, one of the
two is whole and true, since audio is only ever written outside of what the last header calls valid.
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

HOLES: Final = 5
"""So many are remembered, the latest; a header has no room for more. What lies before them goes."""

HEADER: Final = struct.Struct(f"<4s I Q q q q q d 33p 65p {2 * HOLES}q")
"""Magic, rate, number of the write, capacity, start, end, let_to, at_s of the end, the run's name, the boot's id;
start and end of each hole."""

CHECKSUM: Final = struct.Struct("<I")

MAGIC: Final = b"EDR3"
"""With the version of what follows: a ring of another one is nothing that makes sense."""

NAME_BYTES: Final = 32
BOOT_BYTES: Final = 64

PLACES: Final = (0, 256)
DATA: Final = 512
"""Where the headers and the audio begin."""

LARGEST_S: Final = 1.0
"""A block may be as long as this: so much more than it keeps does the file hold. Capture's longest is 0.5 s."""


LARGEST_BYTES: Final = 16 << 20
"""No ring is larger: it is read whole. Half a minute at the highest rate takes 3 MB."""


class RingContents(NamedTuple):
    """What a ring held."""

    run: str
    rate: int
    position: int
    """Of the first sample."""
    pcm: bytes
    let_to: int
    """What lies before this was let through, and so was given to the spool. May lie outside of the audio."""
    at_s: float
    """When the first sample was captured: CLOCK_BOOTTIME of the boot."""
    boot_id: str
    holes: tuple[Range, ...] = ()
    """Parts of the audio that were not captured: what is in them means nothing."""


class Ring:
    """Written by one thread. `write` takes microseconds: it only copies."""

    def __init__(self, path: Path, run: str, boot_id: str, rate: int, seconds: float) -> None:
        """A new one, in place of what was there. Raises OSError, and ValueError for a name or id that is too long."""
        self._path = path
        self._run, self._boot_id = run.encode(), boot_id.encode()
        if len(self._run) > NAME_BYTES or len(self._boot_id) > BOOT_BYTES:
            raise ValueError(f"a run's name has {NAME_BYTES} bytes at most, a boot's id {BOOT_BYTES}")
        self._rate = rate
        self._keeps = round(seconds * rate)
        self._largest = round(LARGEST_S * rate)
        self._capacity = self._keeps + self._largest
        self._start = self._end = 0
        self._holes: list[Range] = []
        self._end_at_s = 0.0
        self._number = 0
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            size = DATA + self._capacity * BYTES_PER_SAMPLE
            os.posix_fallocate(fd, 0, size)  # a full disk says so here, and not with SIGBUS in `write`
            self._map = mmap.mmap(fd, size)
        except OSError:
            path.unlink()  # what there is of it would be taken for one
            raise
        finally:
            os.close(fd)

    def write(self, position: int, pcm: bytes, let_to: int, at_s: float) -> None:
        """A block was captured: its first sample at `position` and at `at_s`; the gate has let through up to `let_to`.

        Before it may be a hole: what lies before that stays, as it may not be stored yet. Raises ValueError for a block
        that is longer than `LARGEST_S`.
        """
        length = len(pcm) // BYTES_PER_SAMPLE
        if length > self._largest:
            raise ValueError("a block is too long for the ring")
        if position != self._end:
            if position < self._end:
                self._start = position
            self._holes.append((self._end, position))
            self._end, self._end_at_s = position, at_s
            self._keep_from(position + length - self._keeps)
            self._mark(let_to)  # what is written over now may have been valid
        capacity = self._capacity
        at = position % capacity
        first = min(length, capacity - at)
        low = DATA + at * BYTES_PER_SAMPLE
        self._map[low : low + first * BYTES_PER_SAMPLE] = pcm[: first * BYTES_PER_SAMPLE]
        if first < length:
            self._map[DATA : DATA + (length - first) * BYTES_PER_SAMPLE] = pcm[first * BYTES_PER_SAMPLE :]
        self._end = position + length
        self._keep_from(self._end - self._keeps)
        self._end_at_s = at_s + length / self._rate
        self._mark(let_to)

    def close(self) -> None:
        """Nothing is undecided any more: the file goes, and the audio in it."""
        self._map[:] = bytes(len(self._map))
        self._map.close()
        self._path.unlink(missing_ok=True)

    def _keep_from(self, position: int) -> None:
        """What lies before goes, and what lies before too many holes."""
        self._start = max(self._start, position)
        self._holes = [(start, end) for start, end in self._holes if end > self._start]
        if self._holes and self._holes[0][0] <= self._start:
            self._start = self._holes.pop(0)[1]
        while len(self._holes) > HOLES:
            self._start = self._holes.pop(0)[1]

    def _mark(self, let_to: int) -> None:
        self._number += 1
        header = HEADER.pack(
            MAGIC,
            self._rate,
            self._number,
            self._capacity,
            self._start,
            self._end,
            let_to,
            self._end_at_s,
            self._run,
            self._boot_id,
            *chain.from_iterable(self._holes),
            *[0] * (2 * (HOLES - len(self._holes))),
        )
        place = PLACES[self._number % 2]
        self._map[place : place + HEADER.size + CHECKSUM.size] = header + CHECKSUM.pack(zlib.crc32(header))


def recover(path: Path) -> RingContents | None:
    """What a process that was killed left behind; None if there is nothing, or nothing that makes sense.

    Raises OSError if the file can't be read.
    """
    try:
        fd = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    headers = [header for place in PLACES if (header := _header(data, place)) is not None]
    if not headers:
        return None
    _, rate, _, capacity, start, end, let_to, at_s, run, boot_id, *holes = max(headers, key=lambda header: header[2])
    sound = rate > 0 and 0 <= start < end and end - start <= capacity
    if not sound or len(data) != DATA + capacity * BYTES_PER_SAMPLE:
        return None
    audio = data[DATA:]
    low, length = start % capacity, end - start
    first = min(length, capacity - low)
    pcm = audio[low * BYTES_PER_SAMPLE : (low + first) * BYTES_PER_SAMPLE]
    pcm += audio[: (length - first) * BYTES_PER_SAMPLE]
    begins_s = at_s - length / rate
    name, boot = run.decode("utf-8", "replace"), boot_id.decode("utf-8", "replace")
    pairs = tuple((low, high) for low, high in zip(holes[::2], holes[1::2], strict=True) if high)
    return RingContents(name, rate, start, pcm, let_to, begins_s, boot, pairs)


def _header(data: bytes, place: int) -> tuple[Any, ...] | None:
    header = data[place : place + HEADER.size]
    checksum = data[place + HEADER.size : place + HEADER.size + CHECKSUM.size]
    if len(checksum) < CHECKSUM.size or header[:4] != MAGIC or CHECKSUM.unpack(checksum)[0] != zlib.crc32(header):
        return None
    return HEADER.unpack(header)
