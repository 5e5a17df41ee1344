"""Files and directories that must outlive a power cut, and what to tell people when the disk says no."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edged.model.cures import with_cure
from edged.model.files import UnsafeFileError, open_private

log = logging.getLogger(__name__)

DIRECTORY_MODE = 0o750
"""Transcripts are private: their owner writes, a group (adm) may read."""

LOCK_WAIT_S: Final = 2.0
"""Another edged holds a lock for as long as it writes: a sync on a slow card. Shorter than a stop gives the sinks."""

LOCK_TRY_S: Final = 0.02

ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file may not grow further: let logrotate rotate it",
    errno.EROFS: "the disk is read-only: remount it, let the service write there (ReadWritePaths=), or choose another "
    "transcripts.file.path",
    errno.EACCES: "not permitted: give edged's user access, or choose another transcripts.file.path",
    errno.EPERM: "not permitted: give edged's user access, or choose another transcripts.file.path",
    errno.EISDIR: "it is a directory: transcripts.file.path must name a file in it",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EIO: "the disk fails (input/output error)",
}
"""What to do about an error."""


def explain(error: OSError, path: Path) -> str:
    """One line: which file, what is wrong with it, what to do."""
    advice = ADVICE.get(error.errno or 0)
    if isinstance(error, UnsafeFileError):
        advice = f"{error.strerror}: remove it, or choose another transcripts.file.path"
    return f"{error.filename or path}: {advice or with_cure(error)}"


def make_directory(directory: Path, *, sync: bool) -> None:
    """Make the directory and what is missing above it, each with `DIRECTORY_MODE` whatever the umask."""
    if directory.is_dir():
        return
    make_directory(directory.parent, sync=sync)
    with suppress(FileExistsError):  # somebody was faster, or it is a file: opening says so
        os.mkdir(directory, DIRECTORY_MODE)
        os.chmod(directory, DIRECTORY_MODE)
    if sync:
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Have the names in it on disk: without that a power cut takes a new file away, however often it was synced."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Lock:
    """Keeps two processes that write one file out of each other's repairs.

    It is a file of its own beside that one: a lock (flock) on the transcripts themselves could be held by whoever may
    read them. Where it can't be made, nothing is locked.
    """

    def __init__(self, path: Path) -> None:
        """`path`: of what is locked."""
        self._path = path.with_name(path.name + ".lock")
        self._fd = -1
        self._told = False

    def open(self) -> None:
        """Make or open the file, if it is not open and can be."""
        if self._fd >= 0:
            return
        try:
            self._fd = open_private(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            level = logging.INFO if error.errno == errno.EACCES else logging.WARNING
            if not self._told:
                log.log(level, "%s can't be used (%s): no other edged may write there", self._path, with_cure(error))
            self._told = True

    def close(self) -> None:
        """Let go of it, and remove it if nobody else has it."""
        if self._fd < 0:
            return
        with suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._fd).st_nlink:
                self._path.unlink()
        self._let_go()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Alone with the file, among those who ask. Raises OSError if another process has it for `LOCK_WAIT_S`."""
        self.open()
        while self._fd >= 0:
            self._take()
            if os.fstat(self._fd).st_nlink:
                break
            self._let_go()  # removed by another one at its end: what is locked now would be a file that nobody finds
            self.open()
        try:
            yield
        finally:
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _take(self) -> None:
        until_s = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    why = f"another process has held it for {LOCK_WAIT_S:g} s: stop the other edged that writes there"
                    raise OSError(errno.EWOULDBLOCK, why, str(self._path)) from None
            time.sleep(LOCK_TRY_S)
