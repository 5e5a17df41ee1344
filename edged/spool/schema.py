"""The database file: its tables and their migrations, how it is opened, and renaming of a damaged one.

The databases of both tiers have this schema. Nothing relies on a transaction across both: SQLite's are not atomic
there.
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

MIGRATIONS: Final = (
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
"""Migration `n` takes a file from version `n` to `n + 1`. A new file takes all, so that each use tests them."""

IMPOSSIBLE_VERSION: Final = 1000
"""A version from here on is the result of a flipped bit."""

BUSY_TIMEOUT_S: Final = 0.5
"""Wait for another process (`edged spool`), whose transactions take milliseconds."""

CACHE_KIB: Final = 64
"""Size of a connection's page cache: rows are written once and read once. It is full after the first hour."""

CHECKED_BYTES: Final = 32 << 20
"""Size up to which a file is checked as a whole when it is opened: 0.1 s, 2 s from a slow card.

Damage in a larger file shows where it is read."""

MAX_DAMAGED_FILES: Final = 3
"""Number of damaged files that are kept for the user. A dying card would fill itself with them."""

SUFFIXES: Final = ("", "-wal", "-shm")

_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DamagedDatabaseError(sqlite3.DatabaseError):
    """The file can be read, but its content can't be used."""


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file's content is at fault, and not the disk, its space or its permissions."""
    code = getattr(error, "sqlite_errorcode", None)
    undecodable = code is None and isinstance(
        error, sqlite3.OperationalError
    )  # Python's error for text that is not UTF-8
    return isinstance(error, DamagedDatabaseError) or undecodable or (code is not None and code & 0xFF in _DAMAGE)


def open_database(path: Path, synchronous: Literal["OFF", "FULL"], owner: int | None = None) -> sqlite3.Connection:
    """Open a database, create it if necessary, and migrate it to the present schema.

    `synchronous` is FULL where a power cut may not undo a commit. It is OFF in memory, where nothing survives a power
    cut anyway, and a killed process undoes nothing.

    Raises ConfigurationError if a newer version wrote the file, and UnsafeFileError if another user may have prepared
    it: it must belong to this user or to `owner`. Raises OSError or sqlite3.Error if it can't be used now; `is_damage`
    tells whether it ever can.
    """
    os.close(open_private(path, os.O_RDWR | os.O_CREAT, owner=owner))  # SQLite gives its log the same mode
    _check_private(path, owner)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text
    try:
        _prepare(connection, path, synchronous)
        _check_private(path, owner)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_private(path: Path, owner: int | None) -> None:
    """Check who owns the files beside the database, which SQLite opens by their names. Raises UnsafeFileError.

    The files are not opened here: closing them would release SQLite's locks on them.
    """
    for suffix in (*SUFFIXES[1:], "-journal"):
        file = Path(f"{path}{suffix}")
        if why := why_not_private(file, owner):
            raise UnsafeFileError(errno.EPERM, why, str(file))
        with suppress(FileNotFoundError):
            os.chmod(file, 0o600)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database for reading, beside the process that writes it.

    Raises ConfigurationError if another version wrote it, and sqlite3.Error if it can't be read.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    connection.text_factory = _text
    try:
        _check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _text(stored: bytes) -> str:
    """Decode text leniently: a flipped bit in a name must not cost the rest of the file."""
    return stored.decode("utf-8", "replace")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    version = user_version(connection)
    if version != len(MIGRATIONS):
        raise ConfigurationError(
            f"{path} was written by another edged (its schema is {version}, this one knows {len(MIGRATIONS)})"
        )


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    version = user_version(connection)
    if version > len(MIGRATIONS) and version < IMPOSSIBLE_VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer edged (its schema is {version}, this one knows {len(MIGRATIONS)}): "
            "install that version again, or move the file away"
        )
    if version == 0 and not shape(connection):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif not 0 < version < IMPOSSIBLE_VERSION:
        version = len(MIGRATIONS)
        _check_shape(connection)
        connection.execute(f"PRAGMA user_version = {version}")  # the tables are ours: only that number was wrong
    for pragma in (
        f"cache_size = -{CACHE_KIB}",
        "temp_store = MEMORY",  # no temporary files with audio or text
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "secure_delete = ON",
        "wal_autocheckpoint = 0",  # `Maintenance` checkpoints when it suits, and truncates
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for step in range(version, len(MIGRATIONS)):
        _migrate(connection, step)
    _check_shape(connection)
    if path.stat().st_size <= CHECKED_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedDatabaseError(" ".join(found.split()))


def _check_shape(connection: sqlite3.Connection) -> None:
    """Raises DamagedDatabaseError if a table, a column or an index is missing, whatever the version says."""
    with closing(sqlite3.connect(":memory:")) as model:
        for step in MIGRATIONS:
            model.executescript(step)
        if not shape(model) <= shape(connection):
            raise DamagedDatabaseError("its tables are not those of edged, or not all of them")


def user_version(connection: sqlite3.Connection) -> int:
    """Return the schema version of the file; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, step: int) -> None:
    """Apply one migration in a transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(MIGRATIONS[step]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {step + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Split a script into statements, since `executescript` would commit first."""
    plain = "\n".join(line.partition("--")[0] for line in script.splitlines())
    return [statement for statement in plain.split(";") if statement.strip()]


def rename_damaged(path: Path) -> Path:
    """Rename a damaged file together with its log, so that SQLite still opens both; returns the new path."""
    name = f"{path.name}.bad-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    bad = path.with_name(name)
    number = 1
    while bad.exists():
        number += 1
        bad = path.with_name(f"{name}.{number}")
    for suffix in reversed(SUFFIXES):  # the file itself last: the next start repeats an interrupted renaming
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{bad}{suffix}")
    older = [each for each in path.parent.glob(f"{path.name}.bad-*") if not each.name.endswith(SUFFIXES[1:])]
    older.sort(key=lambda each: (each.stat().st_mtime, each.name))
    for each in older[:-MAX_DAMAGED_FILES]:
        if each == bad:
            continue
        for suffix in SUFFIXES:
            Path(f"{each}{suffix}").unlink(missing_ok=True)
    return bad
