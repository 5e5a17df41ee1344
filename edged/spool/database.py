"""One of the spool's two SQLite databases: connection, transactions, errors and the file itself."""

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edged.model.cures import CURES, with_cure
from edged.model.files import open_private
from edged.spool import integrity, schema
from edged.spool.model import Tier

SLACK_PAGES: Final = 256
"""Number of free pages that a file may keep: 1 MB is not worth a write."""

_COLUMN_TYPES: Final[dict[str, Any]] = {"t": str, "i": int, "r": float, "b": bytes, "n": (int, type(None))}
"""Letter of a column's type to the Python types of its values."""

_LOCK_ERRORS: Final = {
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_SHMLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    sqlite3.SQLITE_PROTOCOL,
}
_SYSTEM_ERRORS: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
"""SQLite's primary result code to the system error behind it."""
_BUSY: Final = "end what else has it open, such as sqlite3 or a backup"


def explain(error: Exception) -> str:
    """Return why a database or a file of the spool failed, and what the user can do about it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return with_cure(error)
    kind = code & 0xFF
    number = errno.ENOLCK if code in _LOCK_ERRORS else _SYSTEM_ERRORS.get(kind, 0)
    cure = _BUSY if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else CURES.get(number)
    return f"{error}: {cure}" if cure else str(error)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file that has this name now, or None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SpoolDatabaseError(Exception):
    """A database could not do what it was asked to do, and rolled the whole transaction back.

    `is_damage` tells whether its file is damaged, so that another try cannot succeed.
    """

    def __init__(self, database: "Database", error: Exception, *, is_damage: bool) -> None:
        super().__init__(f"{database.path}: {explain(error)}")
        self.database = database
        self.is_damage = is_damage


class Database:
    """An open SQLite database of one tier.

    SQLite's errors come out as SpoolDatabaseError, except those that a mistake in our code causes.
    """

    def __init__(self, tier: Tier, path: Path, *, read_only: bool = False, owner: int | None = None) -> None:
        """Raises what `schema.open_database` (or `open_to_read`) raises, and SpoolDatabaseError."""
        self.tier: Tier = tier
        self.path = path
        self.repaired_rows = 0
        """Number of rows with impossible values that were repaired or deleted when the database was opened."""
        self.generation = 0
        """Number of times that what is cached of the content may have become wrong: rollbacks and foreign writes."""
        self.has_deleted_content = False
        """Audio or text was deleted after the log was last truncated, so that the log may hold copies."""
        self._log = f"{path}-wal"
        if read_only:
            self._connection = schema.open_to_read(path)
        else:
            self._connection = schema.open_database(path, "OFF" if tier == "runtime" else "FULL", owner)
            self._repair()
        self._file = _identity(path)
        self._data_version: int | None = None

    def _repair(self) -> None:
        try:
            small = self.path.stat().st_size <= schema.CHECKED_BYTES
            self.repaired_rows = integrity.repair(self._connection, audio=small)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection. The last process to close a database empties its log."""
        with suppress(sqlite3.Error):  # closing a failing database adds no information
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that is done within the context, or roll all of it back if it raises."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self.generation += 1
            with suppress(sqlite3.Error):  # SQLite has rolled back already after some errors; the first error counts
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            raise

    # -- the file -----------------------------------------------------------------------------------------------------

    @property
    def file_is_in_place(self) -> bool:
        """Whether the open file still has its name: it was neither deleted nor replaced."""
        return self._file == _identity(self.path)

    def copy_to(self, path: Path) -> None:
        """Write the whole content into a new file, or leave no file. Raises OSError or sqlite3.Error."""
        os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        try:
            with closing(sqlite3.connect(path)) as copy:
                self._connection.backup(copy)
        except sqlite3.Error:
            path.unlink()
            raise

    def used_bytes(self) -> int:
        """Return the size of the file without its free pages."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        try:
            return os.stat(self._log).st_size
        except FileNotFoundError:
            return 0

    def truncate_log(self) -> bool:
        """Copy the write-ahead log into the file and empty it. Returns False if a reader prevents that."""
        [(busy, _, _)] = self.query("PRAGMA wal_checkpoint(TRUNCATE)", (), "iii")
        if not busy:
            self.has_deleted_content = False
        return not busy

    def shrink(self, max_pages: int) -> None:
        """Free up to `max_pages` pages if most of the file is free. The log grows by what this moves."""
        free, pages = self._pragma("freelist_count"), self._pragma("page_count")
        if free > pages // 2 and free > SLACK_PAGES:
            try:
                self._connection.executescript(f"PRAGMA incremental_vacuum({max_pages})")  # `execute` frees one page
            except sqlite3.Error as error:
                raise self._translate(error) from error
            self.has_deleted_content = True  # the file shrinks when the log is copied into it

    def detect_foreign_writes(self) -> None:
        """Look whether another process has written, such as `edged spool drop`, and have its deletions truncated."""
        version = self._pragma("data_version")
        if self._data_version not in (version, None):
            self.generation += 1
            self.has_deleted_content = True
        self._data_version = version

    def probe(self) -> None:
        """Write something without effect, to see whether writing is possible again."""
        self.generation += 1
        with self.transaction():
            self.execute(f"PRAGMA user_version = {self._pragma('user_version')}")

    # -- statements ---------------------------------------------------------------------------------------------------

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Execute one statement that returns no rows."""
        self.execute_many(statement, [values])

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once for each row of values."""
        try:
            for values in rows:
                self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def query(self, statement: str, values: Sequence[Any], types: str) -> list[Any]:
        """Return all rows of a query.

        `types` has a letter of `_COLUMN_TYPES` for each column. A value of another type is damage.
        """
        try:
            rows = self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._translate(error) from error
        expected = [_COLUMN_TYPES[letter] for letter in types]
        for row in rows:
            if not all(map(isinstance, row, expected)):
                raise self.damage_error("a row holds something else than it should")
        return rows

    def damage_error(self, reason: str) -> SpoolDatabaseError:
        """Return the error that says that this file is damaged."""
        return SpoolDatabaseError(self, schema.DamagedDatabaseError(reason), is_damage=True)

    def _pragma(self, name: str) -> int:
        return int(self.query(f"PRAGMA {name}", (), "i")[0][0])

    def _translate(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.IntegrityError):
            return error  # a mistake in our code
        return SpoolDatabaseError(self, error, is_damage=schema.is_damage(error))
