"""Which records the sinks already hold: asked at the start, after a crash, so that nothing is written twice."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from edged.config.settings import TranscriptsSettings
from edged.model.errors import SinkError
from edged.model.files import UnsafeFileError, open_trusted
from edged.model.record import UNREADABLE, Record, decode
from edged.transcripts.durable_files import explain
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents
from edged.transcripts.sinks.file import CHUNK_BYTES, LONGEST_LINE_BYTES, LOOK_BACK_BYTES
from edged.transcripts.sinks.journal import MESSAGE_ID, record_of

RANGES_BYTES: Final = 2 << 20
"""How far back a file, its predecessors included, is looked through for ranges: 1,500 records of 10 words, four hours
of speech without a pause. A commit that was lost is seconds old, and the microphone waits for this: 0.1 s on a Pi."""

RANGES_ENTRIES: Final = 1500
"""The same for a journal, in entries of one run."""

JOURNALS: Final = ("/var/log/journal", "/run/log/journal")
"""Where journald has its files: on disk, and in memory."""

ROTATED: Final = r"(\.1|-\d{8}[-\d]*)"
"""How logrotate names the last file, without and with `dateext`."""

ROTATED_MOST: Final = 2
"""Predecessors that are looked into: somebody may rotate between two crashes."""


Look = Callable[[ReadbackQuery], SinkContents | None]
"""None if the sink can't be read. Blocks; raises SinkError."""


class _Place(msgspec.Struct):
    """What a line says first: few of them are looked at more closely."""

    id: str
    run: str = ""
    from_: int = msgspec.field(name="from", default=0)
    to: int = 0


_decode_place = msgspec.json.Decoder(_Place).decode


def readers(settings: TranscriptsSettings) -> dict[str, Look]:
    """By sink; none for the console, which keeps nothing."""
    found: dict[str, Look] = {}
    if "file" in settings.sinks:
        found["file"] = lambda asked: in_file(settings.file.path, asked)
    if "journal" in settings.sinks:
        found["journal"] = in_journal
    return found


# -- the file ---------------------------------------------------------------------------------------------------------


def in_file(path: str | Path, asked: ReadbackQuery) -> SinkContents:
    """See `Look`; looked for from the end backwards.

    Stops when all ids are found, or after `LOOK_BACK_BYTES` of a file; for ranges after `RANGES_BYTES` of all of them.
    Looks into `path`, and into what logrotate makes of it (`path.1`, `path-YYYYMMDD`), the newest `ROTATED_MOST` of
    them; not into compressed ones: logrotate's `delaycompress` keeps the last one readable. Files that don't exist, and
    predecessors that others prepared, hold nothing; raises SinkError for one that can't be read. Lines that are no
    records are passed over.
    """
    path = Path(path)
    missing = set(asked.ids)
    records: list[Record] = []
    left_bytes = RANGES_BYTES if asked.ranges else 0
    for file in [path, *_rotated(path)]:
        try:
            for line in _lines_backwards(file):
                if not missing and left_bytes <= 0:
                    break
                with suppress(*UNREADABLE):
                    place = _decode_place(line)
                    missing.discard(place.id)
                    if left_bytes > 0 and _concerns(asked, place.run, place.from_, place.to):
                        records.append(decode(line))
                left_bytes -= len(line) + 1
        except OSError as error:
            if isinstance(error, FileNotFoundError) or (isinstance(error, UnsafeFileError) and file != path):
                continue
            raise SinkError(explain(error, file)) from error
    return SinkContents(asked.ids - missing, tuple(reversed(records)))


def _concerns(asked: ReadbackQuery, run: str, start: int, end: int) -> bool:
    return run in asked.ranges and asked.ranges[run].overlaps(start, end)


def _rotated(path: Path) -> list[Path]:
    """The file's predecessors, newest first."""
    name = re.compile(re.escape(path.name) + ROTATED)
    found = []
    with suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # rotated away meanwhile
                    found.append((entry.stat().st_mtime_ns, Path(entry.path)))
    return [file for _, file in sorted(found, reverse=True)[:ROTATED_MOST]]


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Lines without their newlines, the last first; a torn one at either end of what is read is among them.

    Those longer than `LONGEST_LINE_BYTES` are left out.
    """
    fd = open_trusted(path, os.O_RDONLY)
    try:
        at_bytes = os.fstat(fd).st_size
        stop_bytes = max(0, at_bytes - LOOK_BACK_BYTES)
        rest, rest_bytes = deque[bytes](), 0
        """Of the line whose beginning is not read yet."""
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


# -- the journal ------------------------------------------------------------------------------------------------------


def in_journal(asked: ReadbackQuery) -> SinkContents | None:
    """See `Look`. An index look-up for each id and each run: fast whatever the size of the journal."""
    if not may_read_journal(os.environ.get("LOG_NAMESPACE")):
        return None
    from systemd.journal import Reader  # here, not above: only a start after a crash needs it

    with Reader() as reader:
        ids = {id_ for id_ in asked.ids if next(_backwards(reader, EDGED_ID=id_), None)}
        records = []
        for run, ranges in asked.ranges.items():
            for entry in islice(_backwards(reader, EDGED_RUN=run), RANGES_ENTRIES):
                with suppress(KeyError, *UNREADABLE):  # of another version: of no use here
                    record = record_of(entry)
                    if ranges.overlaps(record.from_, record.to):
                        records.append(record)
    return SinkContents(frozenset(ids), tuple(reversed(records)))


def _backwards(reader: Any, **match: str) -> Iterator[Mapping[str, Any]]:
    """Our entries with this field, the last first."""
    reader.flush_matches()
    reader.add_match(MESSAGE_ID=MESSAGE_ID, **match)
    reader.seek_tail()
    return iter(reader.get_previous, {})


def may_read_journal(namespace: str | None = None) -> bool:
    """Whether this process may read what any service wrote, its own records included.

    The files are asked, and not who is in which group: in a sandbox with users of its own (PrivateUsers=) that has no
    number. What goes into a `namespace` (LogNamespace=) is elsewhere: systemd's `Reader` would not find it.
    """
    if namespace:
        return False
    files = (file for each in JOURNALS for file in Path(each).glob("*/system.journal"))
    return os.geteuid() == 0 or any(os.access(file, os.R_OK) for file in files)
