"""The directories of the two tiers: creation, locks, and opening their databases in whatever state they are."""

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

SETTING: Final[dict[Tier, str]] = {"runtime": "spool.runtime_directory", "disk": "spool.directory"}

_TEMPORARY_ERRORS: Final = {
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
"""Errors that may pass by themselves. The user has to correct all others."""


class SpoolPaths(NamedTuple):
    """Paths of the spool's directories and databases."""

    runtime: Path
    disk: Path

    @classmethod
    def of(cls, settings: SpoolSettings) -> "SpoolPaths":
        """Return the paths from the settings."""
        return cls(Path(settings.runtime_directory), Path(settings.directory))

    def directory(self, tier: Tier) -> Path:
        """Return the directory of a tier."""
        return self.runtime if tier == "runtime" else self.disk

    def database(self, tier: Tier) -> Path:
        """Return the path of a tier's database."""
        return self.directory(tier) / DATABASE


class DirectoryLocks:
    """Locks on the two directories. They keep other processes out as long as this one lives."""

    def __init__(self) -> None:
        self._fds: dict[Tier, int] = {}

    def take(self, tier: Tier, directory: Path) -> None:
        """Create the directory if necessary, and lock it unless this object holds its lock.

        Raises ConfigurationError if another process has it or the user has to correct something, and OSError for
        failures that may pass.
        """
        if tier in self._fds:
            return
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = open_private(directory / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _classify(error, tier, directory) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise ConfigurationError(
                f"{SETTING[tier]} = {directory} is in use by another edged (process {holder or 'unknown'}): "
                "stop that one, or give this one directories of its own"
            ) from None
        self._fds[tier] = fd
        with suppress(OSError):  # on a full disk the lock holds, but its file can't name the process
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)

    def release_one(self, tier: Tier) -> None:
        """Release one lock, whose file was deleted, so that other processes would not see it."""
        if tier in self._fds:
            os.close(self._fds.pop(tier))

    def release(self) -> None:
        """Release all locks."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def open_store(tier: Tier, path: Path) -> tuple[Store, DatabaseReplaced | None]:
    """Open a tier's database. A damaged file is renamed, and a new one takes its place.

    Raises ConfigurationError if the user has to correct something; OSError or sqlite3.Error for failures that may pass.
    """
    try:
        return Store(tier, path), None
    except sqlite3.Error as error:
        if not schema.is_damage(error):
            raise
        event = DatabaseReplaced(tier, schema.rename_damaged(path), str(error))
    except OSError as error:
        raise _classify(error, tier, path) from error
    return Store(tier, path), event


def find_unsafe_files(directory: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in a spool's directory that another user may have prepared, and what is wrong with each.

    The directory's owner may be the user that edged runs as. Raises OSError if the directory can't be read.
    """
    names = (LOCK, *(DATABASE + suffix for suffix in schema.SUFFIXES), RING, BOOT)
    for path in (directory / name for name in names):
        own = why_not_private(path)
        if own and (why := why_not_private(path, directory.stat().st_uid)):
            yield path, why
        elif own and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            yield path, f"{own}, and others may use it (mode {mode:04o})"


def _classify(error: OSError, tier: Tier, path: Path) -> Exception:
    if error.errno in _TEMPORARY_ERRORS:
        return error
    what = "remove it" if isinstance(error, UnsafeFileError) else "give edged's user access"
    return ConfigurationError(
        f"{SETTING[tier]}: {error.filename or path}: {error.strerror}: {what}, choose another directory, or set "
        "spool.enabled = false"
    )


def identify_boot(runtime_directory: Path) -> str:
    """Return the id of this boot. If a sandbox hides the kernel's id, a random one is kept in the runtime directory."""
    known = boot_id()
    if known:
        return known
    file = runtime_directory / BOOT
    with suppress(OSError), os.fdopen(open_trusted(file, os.O_RDONLY | os.O_NOFOLLOW)) as stream:
        if text := stream.read(64).strip():
            return text
    drawn = uuid4().hex
    with suppress(OSError), os.fdopen(open_private(file, os.O_WRONLY | os.O_CREAT), "w") as stream:
        stream.write(f"{drawn}\n")  # if that fails, the id holds for this run only
    return drawn
