"""Looks up in the transcript file, at the start after a crash, which records are written there already."""

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from edged.model.errors import SinkError
from edged.model.files import UnsafeFileError, open_trusted
from edged.model.record import UNREADABLE, Record, decode
from edged.transcripts.durable_files import explain
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents

CHUNK_BYTES: Final = 65_536
"""Bytes of one read when a file is read backwards: some hundred records."""

LOOK_BACK_BYTES: Final = 64 << 20
"""Bytes of a file that are searched for ids: `max_pending` (10,000) long records (6 kB, 30 s of fast speech)."""

LONGEST_LINE_BYTES: Final = 1 << 20
"""Longer lines are not read into memory: no record comes near this."""

RANGES_BYTES: Final = 2 << 20
"""Bytes of a file and its predecessors that are searched for ranges: 1,500 records of 10 words, four hours of speech
without a pause. A lost commit is seconds old, and the microphone waits for the search: 0.1 s on a Pi."""

ROTATED: Final = r"(\.1|-\d{8}[-\d]*)"
"""Suffix that logrotate gives the previous file, without and with `dateext`."""

MAX_ROTATED_FILES: Final = 2
"""Previous files that are searched: a rotation may fall between two crashes."""


class _LineKey(msgspec.Struct):
    """The fields that decide whether a line is decoded as a whole: few are."""

    id: str
    run: str = ""
    from_: int = msgspec.field(name="from", default=0)
    to: int = 0


_decode_key = msgspec.json.Decoder(_LineKey).decode


def find_in_file(path: str | Path, query: ReadbackQuery) -> SinkContents:
    """Return the records of the query that a transcript file holds, searching backwards from its end. Blocks.

    The search ends when all ids are found, or after `LOOK_BACK_BYTES` of a file; for ranges, after `RANGES_BYTES` of
    all files together. It covers `path` and the newest `MAX_ROTATED_FILES` files that logrotate made of it (`path.1`,
    `path-YYYYMMDD`), but no compressed ones: logrotate's `delaycompress` keeps the last one readable. Absent files, and
    previous files that other users prepared, hold nothing. Lines that are no records are skipped.

    Raises SinkError for a file that can't be read.
    """
    path = Path(path)
    missing = set(query.ids)
    records: list[Record] = []
    left_bytes = RANGES_BYTES if query.ranges else 0
    for file in [path, *_rotated_files(path)]:
        try:
            for line in _lines_backwards(file):
                if not missing and left_bytes <= 0:
                    break
                with suppress(*UNREADABLE):
                    key = _decode_key(line)
                    missing.discard(key.id)
                    if left_bytes > 0 and _overlaps(query, key):
                        records.append(decode(line))
                left_bytes -= len(line) + 1
        except OSError as error:
            if isinstance(error, FileNotFoundError) or (isinstance(error, UnsafeFileError) and file != path):
                continue
            raise SinkError(explain(error, file)) from error
    return SinkContents(query.ids - missing, tuple(reversed(records)))


def _overlaps(query: ReadbackQuery, key: _LineKey) -> bool:
    return key.run in query.ranges and query.ranges[key.run].overlaps(key.from_, key.to)


def _rotated_files(path: Path) -> list[Path]:
    """Return the previous files that are searched, newest first."""
    name = re.compile(re.escape(path.name) + ROTATED)
    found = []
    with suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # rotated away meanwhile
                    found.append((entry.stat().st_mtime_ns, Path(entry.path)))
    return [file for _, file in sorted(found, reverse=True)[:MAX_ROTATED_FILES]]


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Yield lines without their newlines, last first, incomplete ones at either end included.

    Lines longer than `LONGEST_LINE_BYTES` are left out.
    """
    fd = open_trusted(path, os.O_RDONLY)
    try:
        at_bytes = os.fstat(fd).st_size
        stop_bytes = max(0, at_bytes - LOOK_BACK_BYTES)
        rest, rest_bytes = deque[bytes](), 0  # of the line whose beginning is not read yet
        while at_bytes > stop_bytes:
            begin_bytes = max(stop_bytes, at_bytes - CHUNK_BYTES)
            first, *lines = os.pread(fd, at_bytes - begin_bytes, begin_bytes).split(b"\n")
            if lines:
                lines[-1] += b"".join(rest)
                if rest_bytes > LONGEST_LINE_BYTES:
                    lines.pop()
                yield from reversed(lines)
                rest.clear()
                rest_bytes = 0
            rest.appendleft(first)
            rest_bytes += len(first)
            if rest_bytes > LONGEST_LINE_BYTES:
                rest.clear()
            at_bytes = begin_bytes
        if rest_bytes <= LONGEST_LINE_BYTES:
            yield b"".join(rest)
    finally:
        os.close(fd)
