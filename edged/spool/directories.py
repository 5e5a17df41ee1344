"""The two directories: made, locked, and their databases opened, whatever state they are in."""

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

from edged.config.settings import SpoolSettings
from edged.model.errors import ConfigurationError
from edged.model.files import UnsafeFileError, open_private, open_trusted, why_not_private
from edged.service.clock import boot_id
from edged.spool import schema
from edged.spool.model import DatabaseReplaced, Tier
from edged.spool.store import Store

DATABASE: Final = "spool.db"
LOCK: Final = "spool.lock"
RING: Final = "ring"
BOOT: Final = "boot-id"

OPTION: Final[dict[Tier, str]] = {"runtime": "spool.runtime_directory", "disk": "spool.directory"}

_PASSING: Final = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What may be otherwise later: the rest is for people to put right."""


class SpoolPaths(NamedTuple):
    """Where what is."""

    runtime: Path
    disk: Path

    @classmethod
    def of(cls, settings: SpoolSettings) -> "SpoolPaths":
        """As the settings say."""
        return cls(Path(settings.runtime_directory), Path(settings.directory))

    def directory(self, where: Tier) -> Path:
        """Of one database."""
        return self.runtime if where == "runtime" else self.disk

    def database(self, where: Tier) -> Path:
        """Its file."""
        return self.directory(where) / DATABASE


class DirectoryLocks:
    """Keeps other processes from the two directories as long as this one lives."""

    def __init__(self) -> None:
        self._fds: dict[Tier, int] = {}

    def take(self, where: Tier, directory: Path) -> None:
        """Make the directory if it is absent, and lock it, once.

        Raises ConfigurationError if somebody else has it or it can't be used as it is, OSError if it can't be now.
        """
        if where in self._fds:
            return
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = open_private(directory / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _sorted(error, where, directory) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise ConfigurationError(
                f"{OPTION[where]} = {directory} is in use by another edged (process {holder or 'unknown'}): "
                "stop that one, or give this one directories of its own"
            ) from None
        self._fds[where] = fd
        with suppress(OSError):  # a full disk: the lock holds all the same, only nobody can say who has it
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)

    def let_go(self, where: Tier) -> None:
        """Of one: its file was deleted, so that others don't see the lock."""
        if where in self._fds:
            os.close(self._fds.pop(where))

    def release(self) -> None:
        """Let others in."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def open_store(where: Tier, path: Path) -> tuple[Store, DatabaseReplaced | None]:
    """The database, a new one if what is there is damaged: that is set aside.

    Raises ConfigurationError if it can't be used as it is; OSError or sqlite3.Error if it can't be now.
    """
    try:
        return Store(where, path), None
    except sqlite3.Error as error:
        if not schema.is_damage(error):
            raise
        event = DatabaseReplaced(where, schema.set_aside(path), str(error))
    except OSError as error:
        raise _sorted(error, where, path) from error
    return Store(where, path), event


def prepared(directory: Path) -> Iterator[tuple[Path, str]]:
    """Files in a spool's directory that others may have prepared, and what is wrong with each, for people.

    The directory's owner may be the user that edged runs as. Raises OSError if the directory can't be read.
    """
    names = (LOCK, *(DATABASE + suffix for suffix in schema.SUFFIXES), RING, BOOT)
    for path in (directory / name for name in names):
        own = why_not_private(path)
        if own and (why := why_not_private(path, directory.stat().st_uid)):
            yield path, why
        elif own and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            yield path, f"{own}, and others may use it (mode {mode:04o})"


def _sorted(error: OSError, where: Tier, path: Path) -> Exception:
    if error.errno in _PASSING:
        return error
    what = "remove it" if isinstance(error, UnsafeFileError) else "give edged's user access"
    return ConfigurationError(
        f"{OPTION[where]}: {error.filename or path}: {error.strerror}: {what}, choose another directory, or set "
        "spool.enabled = false"
    )


def this_boot(runtime_directory: Path) -> str:
    """Identifies this boot. Where the kernel's id is hidden, as in a sandbox: drawn once, and kept in memory."""
    known = boot_id()
    if known:
        return known
    file = runtime_directory / BOOT
    with suppress(OSError), os.fdopen(open_trusted(file, os.O_RDONLY | os.O_NOFOLLOW)) as stream:
        if text := stream.read(64).strip():
            return text
    drawn = uuid4().hex
    with suppress(OSError), os.fdopen(open_private(file, os.O_WRONLY | os.O_CREAT), "w") as stream:
        stream.write(f"{drawn}\n")  # if that fails, it holds for this run only
    return drawn
