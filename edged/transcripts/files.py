"""Files and directories that must outlive a power cut, and what to tell people when the disk says no."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY_MODE = 0o750
"""Transcripts are private: their owner writes, a group (adm) may read."""

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
    advice = ADVICE.get(error.errno or 0) or error.strerror or type(error).__name__
    return f"{error.filename or path}: {advice}"


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


@contextmanager
def locked(fd: int) -> Iterator[None]:
    """Alone with this file, among those who ask (flock)."""
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
