"""Safe opening of files that people name, and of files in directories that other users may write to."""

import errno
import os
import pwd
import stat
from pathlib import Path
from typing import BinaryIO, Final

_NOT_REGULAR: Final = "it is a pipe or a device, not a file"
_LINK: Final = "it is a symbolic link"


class UnsafeFileError(OSError):
    """The file is not a regular file, or another user prepared it."""


def open_regular_file(path: Path) -> BinaryIO:
    """Open a file for reading, without waiting. /dev/null counts as an empty file.

    Raises OSError, also for a pipe or a device: reading one might block for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    error = 0
    if stat.S_ISDIR(found.st_mode):
        error, reason = errno.EISDIR, os.strerror(errno.EISDIR)
    elif not stat.S_ISREG(found.st_mode) and found.st_rdev != os.stat(os.devnull).st_rdev:
        error, reason = errno.EINVAL, _NOT_REGULAR
    if error:
        os.close(descriptor)
        raise OSError(error, reason, str(path))
    return os.fdopen(descriptor, "rb")


def open_private(path: Path, flags: int, mode: int = 0o600, owner: int | None = None) -> int:
    """Open a file that only this user (or `owner`) may read and write, and return its descriptor. Never waits.

    The mode of a file that is open for writing is set to `mode`. Raises OSError; UnsafeFileError for a file that is not
    regular, is a link, has a second name or belongs to another user: the user who prepared it could
    read what is written, or have another file overwritten.
    """
    fd = _open(path, flags | os.O_NOFOLLOW, mode)
    found = os.fstat(fd)
    if reason := _not_private(found, owner):
        os.close(fd)
        raise UnsafeFileError(errno.EPERM, reason, str(path))
    if stat.S_IMODE(found.st_mode) != mode and flags & (os.O_WRONLY | os.O_RDWR):
        os.fchmod(fd, mode)
    return fd


def why_not_private(path: Path, owner: int | None = None) -> str | None:
    """Return why `open_private` would refuse a file, for people; None if it would not, or if the file is absent."""
    try:
        return _not_private(os.lstat(path), owner)
    except OSError:  # absent, or in a directory that can't be searched: opening it reports that
        return None


def open_trusted(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a regular file that may belong to another user, and return its descriptor. Never waits.

    In a directory that others may write to, the file, or a link in its place, must belong to this user, to root or to
    the directory's owner, as with the kernel's fs.protected_regular. Raises OSError; UnsafeFileError for a file that
    others prepared, or that is not regular.
    """
    directory = os.stat(path.parent)
    fd = _open(path, flags, mode)
    others_write = directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    trusted = {os.geteuid(), 0, directory.st_uid}
    for found in (os.fstat(fd), os.lstat(path)) if others_write else ():
        if found.st_uid not in trusted:
            os.close(fd)
            raise UnsafeFileError(errno.EPERM, _owned_by_another(found), str(path))
    return fd


def _open(path: Path, flags: int, mode: int) -> int:
    """Open a regular file without waiting, and return its descriptor."""
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise UnsafeFileError(errno.EPERM, _LINK, str(path)) from error
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise UnsafeFileError(errno.EINVAL, _NOT_REGULAR, str(path)) from error
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise UnsafeFileError(errno.EINVAL, _NOT_REGULAR, str(path))


def _not_private(found: os.stat_result, owner: int | None) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return _LINK
    if not stat.S_ISREG(found.st_mode):
        return _NOT_REGULAR
    if found.st_uid != (os.geteuid() if owner is None else owner):
        return _owned_by_another(found)
    if found.st_nlink > 1:
        return "it has a second name (a hard link)"
    return None


def _owned_by_another(found: os.stat_result) -> str:
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
