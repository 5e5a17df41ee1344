"""The `file` sink: JSON Lines that survive full disks, power cuts and logrotate.

Each record is one `write` of one line to a file opened with O_APPEND. Every line in the file is complete: the sink
truncates what a failed write left behind before it writes anything else, and moves what a power cut left behind to
`<path>.torn` when it opens the file. A lock file, `<path>.lock`, keeps two processes that share the file from
interfering with each other's repairs.

With `fsync = "record"` a record counts as delivered when fdatasync has returned. The sink also syncs the directory when
it has made a file there.
"""

import errno
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from edged.config.options import toml
from edged.config.settings import FileSinkSettings, TranscriptsSettings
from edged.model.cures import with_cure
from edged.model.errors import SinkError
from edged.model.files import nearest_existing, open_trusted
from edged.model.record import UNREADABLE, Record, decode, encode
from edged.service.mounts import file_system
from edged.transcripts.durable_files import Lock, explain, make_directory, sync_directory
from edged.transcripts.file_readback import CHUNK_BYTES, LONGEST_LINE_BYTES, LOOK_BACK_BYTES, find_in_file
from edged.transcripts.sinks.base import Readback, Sink, SinkFindings

log = logging.getLogger(__name__)

FILE_MODE = 0o640
"""Mode of a new file: the owner writes, a group (adm) may read. An existing file keeps its mode."""


class _FailedWrite(NamedTuple):
    """Bytes of a failed write that are still in the file."""

    valid_bytes: int
    """Length of the file up to which its contents are valid."""
    end_bytes: int | None = None
    """Length of the file when truncating it failed. If it has grown since, another process has written to it."""


class FileSink(Sink):
    """Writes records to one file. Every call may block for as long as the disk does."""

    def __init__(self, settings: FileSinkSettings) -> None:
        self._path = Path(settings.path)
        self._sync = settings.fsync == "record"
        self._fd = -1
        self._lock = Lock(self._path)
        self._failed_write: _FailedWrite | None = None
        """Set while the remains of a failed write are not truncated yet."""

    @classmethod
    def from_settings(cls, settings: TranscriptsSettings) -> Self:
        """Make the sink for `transcripts.file`."""
        return cls(settings.file)

    @classmethod
    def readback(cls, settings: TranscriptsSettings) -> Readback:
        """Return the look-up in the file and in its rotated predecessors."""
        return partial(find_in_file, settings.file.path)

    @classmethod
    def check(cls, settings: TranscriptsSettings, environ: Mapping[str, str]) -> SinkFindings:
        """Report whether the file can be made and written, and whether it survives a power cut."""
        return check_path(Path(settings.file.path))

    def deliver(self, records: Sequence[Record]) -> None:
        """Write the records in order. After a SinkError the file holds `delivered` of them, and nothing of the rest."""
        done = 0
        with self._sink_errors():
            self._truncate_under_lock()
            self._open_current()
            with self._lock.held():
                start_bytes = os.fstat(self._fd).st_size
                sizes_bytes = []
                failure: OSError | None = None
                for record in records:
                    try:
                        sizes_bytes.append(self._append(encode(record) + b"\n"))
                    except OSError as error:
                        failure = error
                        break
                self._finish(start_bytes)
                done = len(sizes_bytes)
        if failure:
            raise SinkError(explain(failure, self._path), delivered=done) from failure

    def reopen(self) -> None:
        """Open the file (again), after logrotate moved it or at start. Raises SinkError."""
        with self._sink_errors():
            self._truncate_under_lock()
            self._close()
            self._open()

    def close(self) -> None:
        """Close the file; the next delivery opens it again."""
        with suppress(OSError):  # what can't be truncated now is repaired when the file is opened again
            self._truncate_under_lock()
        self._close()

    def _close(self) -> None:
        fd, self._fd, self._failed_write = self._fd, -1, None
        self._lock.close()
        if fd >= 0:
            os.close(fd)

    @contextmanager
    def _sink_errors(self) -> Iterator[None]:
        """Turn an OSError into a SinkError that says that nothing was delivered."""
        try:
            yield
        except OSError as error:
            raise SinkError(explain(error, self._path)) from error

    def _append(self, line: bytes) -> int:
        """Append a line, and return its length. After an OSError `_failed_write` says what must be truncated."""
        self._failed_write = _FailedWrite(os.fstat(self._fd).st_size)
        written = os.write(self._fd, line)
        while written < len(line):  # the disk filled up meanwhile: this call raises the cause
            written += os.write(self._fd, line[written:])
        self._failed_write = None
        return written

    def _finish(self, start_bytes: int) -> None:
        """Truncate a failed line, and sync the lines before it to disk.

        If that fails, everything after `start_bytes` is truncated: after a failed fdatasync the kernel treats lost
        pages as written, so that nothing can be relied on.
        """
        try:
            self._truncate()
            if self._sync:
                os.fdatasync(self._fd)
        except OSError:
            self._failed_write = _FailedWrite(start_bytes)
            with suppress(OSError):  # report the first error; the next delivery tries to truncate again
                self._truncate()
            raise

    def _truncate_under_lock(self) -> None:
        if self._failed_write:
            with self._lock.held():
                self._truncate()

    def _truncate(self) -> None:
        if not self._failed_write:
            return
        size_bytes = os.fstat(self._fd).st_size
        if self._failed_write.end_bytes in (None, size_bytes):
            self._failed_write = self._failed_write._replace(end_bytes=size_bytes)
            os.ftruncate(self._fd, self._failed_write.valid_bytes)
        else:  # another process has appended since: its records are worth more than a clean file
            log.warning("%s: a line that failed stays in it, as somebody else wrote behind it", self._path)
        self._failed_write = None

    def _open_current(self) -> None:
        """Open the file that the path names now: it may have been moved or deleted without a SIGHUP."""
        if self._fd >= 0:
            try:
                named = os.stat(self._path)
            except FileNotFoundError:
                named = None
            opened = os.fstat(self._fd)
            if named is None or (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
                log.info("%s was moved or deleted: opening it again", self._path)
                self._close()
        if self._fd < 0:
            self._open()

    def _open(self) -> None:
        make_directory(self._path.parent, sync=self._sync)
        self._lock.open()
        flags, created = os.O_RDWR | os.O_APPEND, False
        try:
            fd = open_trusted(self._path, flags)
        except FileNotFoundError:
            fd, created = open_trusted(self._path, flags | os.O_CREAT, FILE_MODE), True
        try:
            if created:
                os.fchmod(fd, FILE_MODE)  # whatever the umask
                if self._sync:
                    sync_directory(self._path.parent)
            with self._lock.held():
                self._repair(fd)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd

    def _repair(self, fd: int) -> None:
        """Make the file end with a complete line.

        A last line that lacks only its newline is a record, and gets the newline. Any other is moved to `.torn`, which
        is synced to disk before the line is truncated here. If `.torn` can't be written, the line stays, ended by a
        newline: it is no record, so that readers skip it.
        """
        size_bytes = os.fstat(fd).st_size
        begin_bytes = _after_last_newline(fd, size_bytes)
        torn_bytes = size_bytes - begin_bytes
        if not torn_bytes:
            return
        if _is_record(fd, begin_bytes, torn_bytes):
            os.write(fd, b"\n")
            log.warning("%s ended without a newline: added it", self._path)
            return
        torn_path = self._path.with_name(self._path.name + ".torn")
        try:
            torn_fd = open_trusted(torn_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        except OSError as error:
            os.write(fd, b"\n")
            text = "%s ended in mid-line (a power cut?): its last %d bytes stay, as they can't be moved to %s: %s"
            log.warning(text, self._path, torn_bytes, torn_path, with_cure(error))
            return
        try:
            _copy(fd, begin_bytes, size_bytes, torn_fd)
        finally:
            os.close(torn_fd)
        os.ftruncate(fd, begin_bytes)
        log.warning(
            "%s ended in mid-line (a power cut?): moved the last %d bytes to %s", self._path, torn_bytes, torn_path
        )


def _is_record(fd: int, begin_bytes: int, length_bytes: int) -> bool:
    if length_bytes > LONGEST_LINE_BYTES:
        return False
    try:
        decode(os.pread(fd, length_bytes, begin_bytes))
    except UNREADABLE:
        return False
    return True


def _copy(fd: int, begin_bytes: int, end_bytes: int, torn_fd: int) -> None:
    """Append a part of one file to another, as a line of its own, and sync it."""
    os.fchmod(torn_fd, FILE_MODE)
    for at_bytes in range(begin_bytes, end_bytes, CHUNK_BYTES):
        _write(torn_fd, os.pread(fd, min(CHUNK_BYTES, end_bytes - at_bytes), at_bytes))
    _write(torn_fd, b"\n")
    os.fsync(torn_fd)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _after_last_newline(fd: int, size_bytes: int) -> int:
    """Return where the last line begins. Raises OSError if the line is longer than `LOOK_BACK_BYTES`."""
    at_bytes = size_bytes
    while at_bytes > 0:
        begin_bytes = max(0, at_bytes - CHUNK_BYTES)
        newline = os.pread(fd, at_bytes - begin_bytes, begin_bytes).rfind(b"\n")
        if newline >= 0:
            return begin_bytes + newline + 1
        at_bytes = begin_bytes
        if size_bytes - at_bytes > LOOK_BACK_BYTES:
            raise OSError(errno.EINVAL, "it holds no lines, so no transcripts: choose another transcripts.file.path")
    return 0


def check_path(file: Path) -> SinkFindings:
    """Report what is wrong with a path for transcripts, without making anything."""
    found = SinkFindings([], [])
    shown = f"[transcripts.file] path = {toml(str(file))}"
    place = nearest_existing(file)
    if place == file and file.is_dir():
        found.problems.append(f"{shown} is a directory: it must name a file in it")
    elif place != file and not place.is_dir():
        found.problems.append(f"{shown} can't be made: {place} is a file, not a directory")
    elif not os.access(place, os.W_OK):
        found.warnings.append(f"{shown}: {place} can't be written by the user who runs this check; can edged's?")
    if (on := file_system(place)) and on.in_memory:
        found.warnings.append(
            f"{shown} is in memory ({on.kind}), even if a program such as log2ram copies it now and then: a power cut "
            "takes the transcripts; choose a path on a disk"
        )
    return found
