"""An open database: transactions, errors, and the file itself."""

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edged.model.cures import CURES, with_cure
from edged.model.files import open_private
from edged.spool import integrity, schema
from edged.spool.model import Where

SLACK_PAGES: Final = 256
"""1 MB of free pages is no waste worth a write."""

_KINDS: Final[dict[str, Any]] = {"t": str, "i": int, "r": float, "b": bytes, "n": (int, type(None))}


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
"""What stands behind an error of SQLite's."""
_BUSY: Final = "end what else has it open, such as sqlite3 or a backup"


def explained(error: Exception) -> str:
    """What a database or a file of the spool failed with, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return with_cure(error)
    kind = code & 0xFF
    number = errno.ENOLCK if code in _LOCK_ERRORS else _SYSTEM_ERRORS.get(kind, 0)
    cure = _BUSY if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else CURES.get(number)
    return f"{error}: {cure}" if cure else str(error)


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the file that has this name now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SpoolDatabaseError(Exception):
    """A database could not do what it was told. `damaged`: it never will. Nothing of the transaction has happened."""

    def __init__(self, store: "Database", error: Exception, *, damaged: bool) -> None:
        super().__init__(f"{store.path}: {explained(error)}")
        self.store = store
        self.damaged = damaged


class Database:
    """One of the two files. Errors of SQLite come out as `Failed`, but for mistakes of ours."""

    def __init__(self, where: Where, path: Path, *, to_read: bool = False, owner: int | None = None) -> None:
        """Raises what `schema.open_database` (or `open_to_read`) raises, and `Failed`."""
        self.where: Where = where
        self.mended = 0
        """Rows that could not be true when it was opened."""
        self.path = path
        self._log = f"{path}-wal"
        if to_read:
            self._connection = schema.open_to_read(path)
        else:
            self._connection = schema.open_database(path, "OFF" if where == "runtime" else "FULL", owner)
            self._mend()
        self._file = _identity(path)
        self._held: Counter[str] | None = None
        self._data_version: int | None = None
        self.deleted = False
        """Audio or text was deleted since the log was truncated: copies may be in it."""

    def _mend(self) -> None:
        try:
            small = self.path.stat().st_size <= schema.CHECKED_BYTES
            self.mended = integrity.repair(self._connection, audio=small)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """The last one to close a database empties its log."""
        with suppress(sqlite3.Error):  # it was of use as long as it could be
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within it, or nothing."""
        self.do("BEGIN IMMEDIATE")
        try:
            yield
            self.do("COMMIT")
        except BaseException:
            self._held = None
            with suppress(sqlite3.Error):  # after some errors SQLite has rolled back already; the first error counts
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            raise

    # -- the file -----------------------------------------------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        """Its file still has its name: it was neither deleted nor replaced."""
        return self._file == _identity(self.path)

    def copy_to(self, path: Path) -> None:
        """Write all that it holds into a new file, all or nothing. Raises OSError or sqlite3.Error."""
        os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        try:
            with closing(sqlite3.connect(path)) as copy:
                self._connection.backup(copy)
        except sqlite3.Error:
            path.unlink()
            raise

    def used_bytes(self) -> int:
        """Of the file, what is in use."""
        return (self.number("page_count") - self.number("freelist_count")) * self.number("page_size")

    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        try:
            return os.stat(self._log).st_size
        except FileNotFoundError:
            return 0

    def truncate(self) -> bool:
        """Bring the log into the file and empty it; returns False if a reader is in the way."""
        [(busy, _, _)] = self.rows("PRAGMA wal_checkpoint(TRUNCATE)", (), "iii")
        if not busy:
            self.deleted = False
        return not busy

    def shrink(self, most_pages: int) -> None:
        """Give space back, if most of the file is free; the log holds what this moves."""
        free, pages = self.number("freelist_count"), self.number("page_count")
        if free > pages // 2 and free > SLACK_PAGES:
            try:
                self._connection.executescript(f"PRAGMA incremental_vacuum({most_pages})")  # `execute` frees one page
            except sqlite3.Error as error:
                raise self._failed(error) from error
            self.deleted = True  # the file itself shrinks when the log is brought into it

    def notice_others(self) -> None:
        """If another process has written (`edged spool drop`), count anew, and empty the log of what it deleted."""
        version = self.number("data_version")
        if self._data_version not in (version, None):
            self._held, self.deleted = None, True
        self._data_version = version

    def probe(self) -> None:
        """Write something, to see whether that is possible again."""
        self._held = None
        with self.transaction():
            self.do(f"PRAGMA user_version = {self.number('user_version')}")

    def number(self, pragma: str) -> int:
        return int(self.rows(f"PRAGMA {pragma}", (), "i")[0][0])

    def do(self, statement: str, values: Sequence[Any] = ()) -> None:
        self.many(statement, [values])

    def rows(self, statement: str, values: Sequence[Any], kinds: str) -> list[Any]:
        """All rows; `kinds` has a letter of `_KINDS` for each column. What is of another kind is damage."""
        try:
            rows = self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        expected = [_KINDS[kind] for kind in kinds]
        for row in rows:
            if not all(map(isinstance, row, expected)):
                raise self.damaged("a row holds something else than it should")
        return rows

    def many(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        try:
            for each in values:
                self._connection.execute(statement, each)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def damaged(self, why: str) -> SpoolDatabaseError:
        return SpoolDatabaseError(self, schema.DamagedDatabaseError(why), damaged=True)

    def _failed(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.IntegrityError):
            return error  # a mistake of ours
        return SpoolDatabaseError(self, error, damaged=schema.is_damage(error))
