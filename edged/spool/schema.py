"""The database file: its tables, how it is opened, and what becomes of one that can't be used.

Two files have this one schema. Nothing relies on a transaction across both: SQLite's are not atomic there.
"""

import errno
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Literal

from edged.model.errors import ConfigurationError
from edged.model.files import UnsafeFileError, open_private, why_not_private
from edged.spool.integrity import shape

STEPS: Final = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY,         -- in order of time, within one file
        run TEXT NOT NULL UNIQUE, boot_id TEXT NOT NULL, rate INTEGER NOT NULL,
        channel INTEGER NOT NULL, device TEXT NOT NULL, started_s REAL NOT NULL
    ) STRICT;
    CREATE TABLE boots (
        boot_id TEXT PRIMARY KEY, wall_offset_s REAL NOT NULL, synchronized INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE anchors (
        run TEXT NOT NULL, position INTEGER NOT NULL, at_s REAL NOT NULL, PRIMARY KEY (run, position)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE segments (
        run TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER,   -- no end: open
        chain INTEGER NOT NULL, continues INTEGER NOT NULL, PRIMARY KEY (run, start)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE audio (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL, position INTEGER NOT NULL, "end" INTEGER NOT NULL,
        stored_s REAL NOT NULL,             -- CLOCK_BOOTTIME; means something in memory only
        voiced BLOB NOT NULL, pcm BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX audio_place ON audio (run, position, "end");
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE, run TEXT NOT NULL, "from" INTEGER NOT NULL, "to" INTEGER NOT NULL,
        record TEXT NOT NULL,               -- JSON, verbatim
        sinks TEXT NOT NULL,                -- that it is for, with commas
        boot_id TEXT NOT NULL, committed_s REAL NOT NULL,
        done INTEGER NOT NULL               -- all of them have it
    ) STRICT;
    CREATE INDEX outbox_done ON outbox (done, committed_s);
    CREATE TABLE marks (id TEXT NOT NULL, sink TEXT NOT NULL, PRIMARY KEY (id, sink)) WITHOUT ROWID, STRICT;
    """,
)
"""Step `n` takes a file from version `n` to `n + 1`: a new file takes all of them, so each is tested with every one."""

IMPOSSIBLE_VERSION: Final = 1000
"""No edged will have so many: a flipped bit."""

BUSY_S: Final = 0.5
"""For another process (`edged spool`), whose transactions take milliseconds."""

CACHE_KIB: Final = 64
"""Of pages a connection: rows are written once and read once. It fills within the first hour, and stays so."""

CHECKED_BYTES: Final = 32 << 20
"""A file up to this size is read whole when it is opened, to see whether it is sound: 0.1 s, 2 s from a slow card.
A larger one is found out where it is read."""

KEPT_BAD: Final = 3
"""Damaged files kept for people to look at: a card that dies would fill itself with them."""

SUFFIXES: Final = ("", "-wal", "-shm")

_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DamagedDatabaseError(sqlite3.DatabaseError):
    """The file can be read, but not used: set it aside."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, and not the disk, its space or its permissions."""
    code = getattr(error, "sqlite_errorcode", None)
    undecodable = code is None and isinstance(error, sqlite3.OperationalError)  # text that is no UTF-8: Python says so
    return isinstance(error, DamagedDatabaseError) or undecodable or (code is not None and code & 0xFF in _DAMAGE)


def open_database(path: Path, synchronous: Literal["OFF", "FULL"], owner: int | None = None) -> sqlite3.Connection:
    """Open or make it, and bring it to the present version.

    `synchronous`: FULL where a power cut may not undo what was committed; OFF in memory, where nothing survives it
    anyway, and a killed process undoes nothing. Raises ConfigurationError if a newer version wrote it, OSError or
    sqlite3.Error if it can't be used now, and of the latter what `is_damage` tells if it never can. UnsafeFileError for
    files that others prepared: they must belong to this user, or to `owner`.
    """
    os.close(open_private(path, os.O_RDWR | os.O_CREAT, owner=owner))  # SQLite gives its log the same mode
    _check_private(path, owner)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text
    try:
        _prepare(connection, path, synchronous)
        _check_private(path, owner)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_private(path: Path, owner: int | None) -> None:
    """SQLite opens its log and index by their names, whoever made them. Raises UnsafeFileError.

    They are not opened here: closing them would release the locks that SQLite has on them.
    """
    for suffix in (*SUFFIXES[1:], "-journal"):
        file = Path(f"{path}{suffix}")
        if why := why_not_private(file, owner):
            raise UnsafeFileError(errno.EPERM, why, str(file))
        with suppress(FileNotFoundError):
            os.chmod(file, 0o600)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open it beside whoever writes it, to read only.

    Raises ConfigurationError if another version wrote it, sqlite3.Error if it can't be read.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    connection.text_factory = _text
    try:
        _check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _text(stored: bytes) -> str:
    """One flipped bit in a name is no damage to all the rest."""
    return stored.decode("utf-8", "replace")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    version = user_version(connection)
    if version != len(STEPS):
        raise ConfigurationError(
            f"{path} was written by another edged (its schema is {version}, this one knows {len(STEPS)})"
        )


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    version = user_version(connection)
    if version > len(STEPS) and version < IMPOSSIBLE_VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer edged (its schema is {version}, this one knows {len(STEPS)}): "
            "install that version again, or move the file away"
        )
    if version == 0 and not shape(connection):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif not 0 < version < IMPOSSIBLE_VERSION:
        version = len(STEPS)
        _check_shape(connection)
        connection.execute(f"PRAGMA user_version = {version}")  # with our tables: only that number was wrong
    for pragma in (
        f"cache_size = -{CACHE_KIB}",
        "temp_store = MEMORY",  # no file that nobody knows of
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "secure_delete = ON",
        "wal_autocheckpoint = 0",  # it is done at the right moments, and truncates
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for step in range(version, len(STEPS)):
        _migrate(connection, step)
    _check_shape(connection)
    if path.stat().st_size <= CHECKED_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedDatabaseError(" ".join(found.split()))


def _check_shape(connection: sqlite3.Connection) -> None:
    """Raises Damaged if a table, a column or an index is missing, whatever the version says."""
    with closing(sqlite3.connect(":memory:")) as model:
        for step in STEPS:
            model.executescript(step)
        if not shape(model) <= shape(connection):
            raise DamagedDatabaseError("its tables are not those of edged, or not all of them")


def user_version(connection: sqlite3.Connection) -> int:
    """The schema's version in the file; 0 in an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, step: int) -> None:
    """One step, all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(STEPS[step]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {step + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """`executescript` would commit first."""
    plain = "\n".join(line.partition("--")[0] for line in script.splitlines())
    return [statement for statement in plain.split(";") if statement.strip()]


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, with its log, so that SQLite still takes them together; returns it."""
    name = f"{path.name}.bad-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    bad = path.with_name(name)
    number = 1
    while bad.exists():
        number += 1
        bad = path.with_name(f"{name}.{number}")
    for suffix in reversed(SUFFIXES):  # the file itself last: what is cut short here is done again at the next start
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{bad}{suffix}")
    older = [each for each in path.parent.glob(f"{path.name}.bad-*") if not each.name.endswith(SUFFIXES[1:])]
    older.sort(key=lambda each: (each.stat().st_mtime, each.name))
    for each in older[:-KEPT_BAD]:
        if each == bad:
            continue
        for suffix in SUFFIXES:
            Path(f"{each}{suffix}").unlink(missing_ok=True)
    return bad
