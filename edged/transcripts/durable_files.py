"""Files and directories that survive a power cut, locks between processes, and advice about errors of the disk."""

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
"""Mode of new directories: transcripts are private, their owner writes and a group (adm) may read."""

LOCK_WAIT_S: Final = 2.0
"""Longest wait for a lock, in seconds. A process holds it while it writes and syncs; a stop gives the sinks longer."""

LOCK_TRY_S: Final = 0.02
"""Seconds between attempts to take a lock."""

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
"""Advice about writing transcripts, by error number."""


def explain(error: OSError, path: Path) -> str:
    """Describe an error in one line: the file, what is wrong with it, and what to do."""
    advice = ADVICE.get(error.errno or 0)
    if isinstance(error, UnsafeFileError):
        advice = f"{error.strerror}: remove it, or choose another transcripts.file.path"
    return f"{error.filename or path}: {advice or with_cure(error)}"


def make_directory(directory: Path, *, sync: bool) -> None:
    """Make a directory and its missing parents, each with `DIRECTORY_MODE` whatever the umask."""
    if directory.is_dir():
        return
    make_directory(directory.parent, sync=sync)
    with suppress(FileExistsError):  # another process was faster, or it is a file: opening reports that
        os.mkdir(directory, DIRECTORY_MODE)
        os.chmod(directory, DIRECTORY_MODE)
    if sync:
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that a power cut does not remove a new file in it: syncing the file itself is not enough."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Lock:
    """A lock that keeps two processes from repairing the same file at once.

    The lock is on a separate file beside it: anyone who may read the transcripts could hold a lock (flock) on the
    transcripts themselves. Where the lock file can't be made, nothing is locked.
    """

    def __init__(self, path: Path) -> None:
        """Make a lock for the file `path`, without opening anything."""
        self._path = path.with_name(path.name + ".lock")
        self._fd = -1
        self._failure_logged = False

    def open(self) -> None:
        """Open the lock file, or make it, if it is not open. Logs the first failure and goes on without a lock."""
        if self._fd >= 0:
            return
        try:
            self._fd = open_private(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            level = logging.INFO if error.errno == errno.EACCES else logging.WARNING
            if not self._failure_logged:
                log.log(level, "%s can't be used (%s): no other edged may write there", self._path, with_cure(error))
            self._failure_logged = True

    def close(self) -> None:
        """Close the lock file, and remove it if no other process uses it."""
        if self._fd < 0:
            return
        with suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._fd).st_nlink:
                self._path.unlink()
        self._close_file()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock within a `with` block. Raises OSError if another process holds it for `LOCK_WAIT_S`."""
        self.open()
        while self._fd >= 0:
            self._acquire()
            if os.fstat(self._fd).st_nlink:
                break
            self._close_file()  # another process removed the file when it closed: nobody else would find this lock
            self.open()
        try:
            yield
        finally:
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _acquire(self) -> None:
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    reason = (
                        f"another process has held it for {LOCK_WAIT_S:g} s: stop the other edged that writes there"
                    )
                    raise OSError(errno.EWOULDBLOCK, reason, str(self._path)) from None
            time.sleep(LOCK_TRY_S)
