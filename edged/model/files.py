"""Files that people name, and files in directories where others may have prepared something."""

import errno
import os
import pwd
import stat
from pathlib import Path
from typing import BinaryIO, Final

_NO_FILE: Final = "it is a pipe or a device, not a file"
_LINK: Final = "it is a symbolic link"


class UnsafeFileError(OSError):
    """What stands in a file's place is no regular file, or was prepared by another user."""


def open_regular_file(path: Path) -> BinaryIO:
    """Open it to read, without waiting. Raises OSError, also for a pipe or a device: one might wait for it for ever.

    /dev/null is a file here: an empty one.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    error = 0
    if stat.S_ISDIR(found.st_mode):
        error, why = errno.EISDIR, os.strerror(errno.EISDIR)
    elif not stat.S_ISREG(found.st_mode) and found.st_rdev != os.stat(os.devnull).st_rdev:
        error, why = errno.EINVAL, _NO_FILE
    if error:
        os.close(descriptor)
        raise OSError(error, why, str(path))
    return os.fdopen(descriptor, "rb")


def open_private(path: Path, flags: int, mode: int = 0o600, owner: int | None = None) -> int:
    """Open a file that this user (or `owner`) alone may read and write, making it so; returns a descriptor.

    Never waits. Raises OSError; UnsafeFileError for what is no regular file, a link, has a second name or is another's:
    the user who prepared it could read what is written, or have another file overwritten.
    """
    fd = _open(path, flags | os.O_NOFOLLOW, mode)
    found = os.fstat(fd)
    if why := _not_private(found, owner):
        os.close(fd)
        raise UnsafeFileError(errno.EPERM, why, str(path))
    if stat.S_IMODE(found.st_mode) != mode and flags & (os.O_WRONLY | os.O_RDWR):
        os.fchmod(fd, mode)
    return fd


def why_not_private(path: Path, owner: int | None = None) -> str | None:
    """What `open_private` would object to, for people; None if the file is absent or this user's (or `owner`'s) own."""
    try:
        return _not_private(os.lstat(path), owner)
    except OSError:  # absent, or nobody may look: opening says so
        return None


def open_trusted(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a regular file that may be another user's, and returns a descriptor. Never waits.

    In a directory that others may write to, the file, or a link in its place, must belong to this user, to root or to
    the directory's owner, as the kernel's fs.protected_regular has it. Raises OSError; UnsafeFileError for what others
    prepared, and for what is no regular file.
    """
    directory = os.stat(path.parent)
    fd = _open(path, flags, mode)
    others_write = directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    trusted = {os.geteuid(), 0, directory.st_uid}
    for found in (os.fstat(fd), os.lstat(path)) if others_write else ():
        if found.st_uid not in trusted:
            os.close(fd)
            raise UnsafeFileError(errno.EPERM, _belongs(found), str(path))
    return fd


def _open(path: Path, flags: int, mode: int) -> int:
    """A regular file, without waiting."""
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise UnsafeFileError(errno.EPERM, _LINK, str(path)) from error
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise UnsafeFileError(errno.EINVAL, _NO_FILE, str(path)) from error
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise UnsafeFileError(errno.EINVAL, _NO_FILE, str(path))


def _not_private(found: os.stat_result, owner: int | None) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return _LINK
    if not stat.S_ISREG(found.st_mode):
        return _NO_FILE
    if found.st_uid != (os.geteuid() if owner is None else owner):
        return _belongs(found)
    if found.st_nlink > 1:
        return "it has a second name (a hard link)"
    return None


def _belongs(found: os.stat_result) -> str:
    try:
        name = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        name = str(found.st_uid)
    return f"it belongs to another user ({name})"


def nearest_existing(path: Path) -> Path:
    """Return the path itself if it exists, else the nearest directory above it that does."""
    return next(candidate for candidate in (path, *path.parents) if _exists(candidate))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # its directory can't be searched: report that directory instead
        return False
