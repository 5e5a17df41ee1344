"""One database, as operations on audio, segments and records. Each can be repeated without harm.

All of them belong into a `transaction`; reading needs none. Errors of SQLite come out as `Failed`.
"""

import sqlite3
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from edged.audio import BYTES_PER_SAMPLE
from edged.ranges import Range, Ranges
from edged.spool import schema
from edged.spool.dating import Anchor, Boot
from edged.spool.items import Run, Where

LONGEST: Final = 48_000
"""Samples in a row of audio: 1 s at the highest rate, so that an index finds what overlaps a range."""

_INSERT_AUDIO: Final = 'INSERT INTO audio (run, position, "end", stored_s, voiced, pcm) VALUES (?, ?, ?, ?, ?, ?)'
_OVERLAPPING: Final = 'run = ? AND position > ? AND position < ? AND "end" > ?'
"""Takes what `_place` gives."""


def _place(run: str, start: int, end: int) -> tuple[str, int, int, int]:
    return run, start - LONGEST, end, start


class Failed(Exception):
    """A database could not do what it was told. `damaged`: it never will. Nothing of the transaction has happened."""

    def __init__(self, store: "Store", error: Exception, *, damaged: bool) -> None:
        super().__init__(f"{store.path}: {error}")
        self.store = store
        self.damaged = damaged


class Segment(NamedTuple):
    """A segment as it is stored; `end` is None while it is open."""

    run: str
    start: int
    end: int | None
    chain: int
    continues: bool


class Piece(NamedTuple):
    """A row of audio."""

    id: int
    run: str
    position: int
    end: int
    voiced: tuple[Range, ...]
    pcm: bytes


class Entry(NamedTuple):
    """A row of the outbox."""

    id: str
    run: str
    start: int
    end: int
    record: str
    sinks: str
    boot_id: str
    committed_s: float
    done: bool


class Store:
    """An open database."""

    def __init__(self, where: Where, path: Path) -> None:
        """Raises what `schema.open_database` raises, and `Failed`."""
        self.where: Where = where
        self.path = path
        self._connection = schema.open_database(path, "OFF" if where == "runtime" else "FULL")
        self._held: Counter[str] | None = None
        self.deleted = False
        """Audio or text was deleted since the log was truncated: copies may be in it."""

    def close(self) -> None:
        """Nothing is written by this: see `truncate`."""
        with suppress(sqlite3.Error):  # it was of use as long as it could be
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within it, or nothing."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            self._held = None
            with suppress(sqlite3.Error):  # after some errors SQLite has rolled back already; the first error counts
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            raise

    # -- runs, boots, anchors -----------------------------------------------------------------------------------------

    def put_run(self, run: Run) -> None:
        """The first one stays."""
        self._do(
            "INSERT OR IGNORE INTO runs (run, boot_id, rate, channel, device, started_s) VALUES (?, ?, ?, ?, ?, ?)", run
        )

    def runs(self) -> list[Run]:
        """In the order in which they came here."""
        query = "SELECT run, boot_id, rate, channel, device, started_s FROM runs ORDER BY number"
        return [Run(*row) for row in self._do(query)]

    def put_boot(self, boot: Boot) -> None:
        """The last one counts, but one that was synchronised stays so."""
        self._do(
            "INSERT INTO boots VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET wall_offset_s = excluded.wall_offset_s,"
            " synchronized = excluded.synchronized WHERE excluded.synchronized >= synchronized",
            boot,
        )

    def boots(self) -> dict[str, Boot]:
        """By id."""
        return {row[0]: Boot(row[0], row[1], bool(row[2])) for row in self._do("SELECT * FROM boots")}

    def put_anchors(self, run: str, anchors: Iterable[Anchor]) -> None:
        """Those of a position that has one are passed over."""
        self._many("INSERT OR IGNORE INTO anchors VALUES (?, ?, ?)", [(run, *anchor) for anchor in anchors])

    def anchors(self, run: str) -> list[Anchor]:
        """In order."""
        return [Anchor(*row) for row in self._do("SELECT position, at_s FROM anchors WHERE run = ? ORDER BY 2", (run,))]

    # -- segments -----------------------------------------------------------------------------------------------------

    def put_segment(self, segment: Segment) -> None:
        """What has an end keeps it."""
        self._do(
            'INSERT INTO segments (run, start, "end", chain, continues) VALUES (?, ?, ?, ?, ?)'
            ' ON CONFLICT DO UPDATE SET "end" = excluded."end", continues = excluded.continues WHERE "end" IS NULL',
            segment,
        )
        if segment.end is not None:
            self._tidy(segment.run, segment.start, segment.end)

    def segments(self, run: str | None = None) -> list[Segment]:
        """Of one run or all, in order."""
        query = 'SELECT run, start, "end", chain, continues FROM segments WHERE ? IN (run, \'\') ORDER BY run, start'
        return [Segment(a, b, c, d, bool(e)) for a, b, c, d, e in self._do(query, (run or "",))]

    def segment_before(self, run: str, position: int) -> Segment | None:
        """The last one that begins at or before a position."""
        query = (
            'SELECT run, start, "end", chain, continues FROM segments WHERE run = ? AND start <= ?'
            " ORDER BY start DESC LIMIT 1"
        )
        row = self._do(query, (run, position)).fetchone()
        return Segment(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def _tidy(self, run: str, start: int, end: int) -> None:
        """Forget segments in or at this range that are closed and have no audio here."""
        self._do(
            f'DELETE FROM segments WHERE run = ? AND start <= ? AND "end" >= ? AND NOT EXISTS (SELECT 1 FROM audio'
            f' WHERE audio.run = segments.run AND position > segments.start - {LONGEST}'  # noqa: S608  our own number
            ' AND position < segments."end" AND audio."end" > segments.start)',
            (run, end, start),
        )

    # -- audio --------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Counter[str]:
        """Samples of audio by run; of those runs only that have some."""
        if self._held is None:
            query = 'SELECT run, sum("end" - position) FROM audio GROUP BY run'
            self._held = Counter({run: samples for run, samples in self._do(query)})
        return self._held

    def put_audio(self, run: str, position: int, pcm: bytes, voiced: Sequence[Range], stored_s: float) -> None:
        """At most `LONGEST` samples. What is here already is passed over."""
        end = position + len(pcm) // BYTES_PER_SAMPLE
        here = Ranges(self.audio_ranges(run, position, end))
        for low, high in here.gaps(position, end):
            self._insert(run, position, low, high, voiced, pcm, stored_s)

    def _insert(
        self, run: str, position: int, low: int, high: int, voiced: Sequence[Range], pcm: bytes, stored_s: float
    ) -> None:
        """`[low, high)` of the audio that begins at `position`."""
        pcm = pcm[(low - position) * BYTES_PER_SAMPLE : (high - position) * BYTES_PER_SAMPLE]
        self._do(_INSERT_AUDIO, (run, low, high, stored_s, _packed(voiced, low, high), pcm))
        self.held[run] += high - low

    def release(self, run: str, start: int, end: int) -> int:
        """Forget the audio in `[start, end)`, and what segments then have none; returns how many samples it was."""
        released = 0
        if self.held[run] > 0:
            query = f'SELECT id, position, "end", stored_s FROM audio WHERE {_OVERLAPPING}'  # noqa: S608  a constant
            rows = self._do(query, _place(run, start, end)).fetchall()
            for id_, low, high, stored_s in rows:
                if low < start or high > end:
                    self._keep_rest(id_, run, low, high, start, end, stored_s)
                released += min(high, end) - max(low, start)
            self._many("DELETE FROM audio WHERE id = ?", [(row[0],) for row in rows])
            self._less(run, released)
        self._tidy(run, start, end)
        return released

    def _keep_rest(self, id_: int, run: str, low: int, high: int, start: int, end: int, stored_s: float) -> None:
        """Of a row of which a part goes."""
        packed, pcm = self._do("SELECT voiced, pcm FROM audio WHERE id = ?", (id_,)).fetchone()
        for a, b in ((low, start), (end, high)):
            if a < b:
                self._insert(run, low, a, b, _unpacked(packed, low), pcm, stored_s)
                self.held[run] -= b - a

    def delete(self, pieces: Sequence[Piece]) -> None:
        """These rows."""
        self._many("DELETE FROM audio WHERE id = ?", [(piece.id,) for piece in pieces])
        for piece in pieces:
            self._less(piece.run, piece.end - piece.position)
            self._tidy(piece.run, piece.position, piece.end)

    def _less(self, run: str, samples: int) -> None:
        self.held[run] -= samples
        self.deleted = self.deleted or samples > 0
        if self.held[run] <= 0:
            del self.held[run]

    def audio_ranges(self, run: str, start: int = 0, end: int = 1 << 62) -> list[Range]:
        """Where rows lie that overlap `[start, end)`, in order; read from the index alone."""
        query = f'SELECT position, "end" FROM audio WHERE {_OVERLAPPING} ORDER BY position'  # noqa: S608  a constant
        return [(a, b) for a, b in self._do(query, _place(run, start, end))]

    def voiced(self, run: str) -> list[Range]:
        """What was heard as voice in the audio that is here."""
        rows = self._do("SELECT position, voiced FROM audio WHERE run = ? ORDER BY position", (run,))
        return [range_ for position, packed in rows for range_ in _unpacked(packed, position)]

    def read(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """The audio in `[start, end)`, in order, in pieces of 1 s at most."""
        query = f"SELECT position, pcm FROM audio WHERE {_OVERLAPPING} ORDER BY position"  # noqa: S608  a constant
        return [cut(position, pcm, start, end) for position, pcm in self._do(query, _place(run, start, end))]

    def oldest(self, stored_before_s: float, now_s: float, most: int) -> list[Piece]:
        """Rows stored before a time of this boot (or in another boot), in the order in which they were stored."""
        query = (
            'SELECT id, run, position, "end", voiced, pcm FROM audio WHERE stored_s <= ? OR stored_s > ?'
            " ORDER BY id LIMIT ?"
        )
        rows = self._do(query, (stored_before_s, now_s, most))
        return [Piece(i, run, a, b, _unpacked(packed, a), pcm) for i, run, a, b, packed, pcm in rows]

    # -- records ------------------------------------------------------------------------------------------------------

    def put_entry(self, entry: Entry) -> None:
        """The first one stays."""
        self._do(
            'INSERT OR IGNORE INTO outbox (id, run, "from", "to", record, sinks, boot_id, committed_s, done)'
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            entry,
        )

    def entries(self, *, undone_only: bool = False, committed_before_s: float | None = None) -> list[Entry]:
        """In the order of their commit."""
        query = (
            'SELECT id, run, "from", "to", record, sinks, boot_id, committed_s, done FROM outbox'
            " WHERE done <= ? AND committed_s <= ? ORDER BY seq"
        )
        before_s = float("inf") if committed_before_s is None else committed_before_s
        return [Entry(*row[:8], bool(row[8])) for row in self._do(query, (not undone_only, before_s))]

    def has_entries(self, ids: Iterable[str]) -> set[str]:
        """Which of these are here."""
        return {id_ for id_ in ids if self._do("SELECT 1 FROM outbox WHERE id = ?", (id_,)).fetchone()}

    def put_marks(self, marks: Iterable[tuple[str, str]]) -> None:
        """`(id, sink)`: the sink has the record. It is done when all sinks that it is for have it."""
        marks = list(marks)
        self._many("INSERT OR IGNORE INTO marks VALUES (?, ?)", marks)
        for id_ in {id_ for id_, _ in marks}:
            row = self._do("SELECT sinks FROM outbox WHERE id = ? AND NOT done", (id_,)).fetchone()
            if row:
                have = {sink for (sink,) in self._do("SELECT sink FROM marks WHERE id = ?", (id_,))}
                if have.issuperset(row[0].split(",")):
                    self._do("UPDATE outbox SET done = 1 WHERE id = ?", (id_,))

    def marks(self, *, of_absent: bool = False) -> list[tuple[str, str]]:
        """All, or those of records that are not here."""
        absent = " WHERE id NOT IN (SELECT id FROM outbox)" if of_absent else ""
        return [(id_, sink) for id_, sink in self._do(f"SELECT id, sink FROM marks{absent}")]  # noqa: S608  see above

    def delete_marks(self, marks: Sequence[tuple[str, str]]) -> None:
        """These."""
        self._many("DELETE FROM marks WHERE id = ? AND sink = ?", marks)

    def delete_entries(self, ids: Sequence[str]) -> None:
        """These records; their marks stay."""
        if ids:
            self._many("DELETE FROM outbox WHERE id = ?", [(id_,) for id_ in ids])
            self.deleted = True

    # -- the file -----------------------------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Of the file, what is in use."""
        return (self._number("page_count") - self._number("freelist_count")) * self._number("page_size")

    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def truncate(self) -> bool:
        """Bring the log into the file and empty it; returns False if a reader is in the way."""
        busy = self._do("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy:
            self.deleted = False
        return not busy

    def shrink(self, most_pages: int) -> None:
        """Give space back, if most of the file is free; the log holds what this moves."""
        free, pages = self._number("freelist_count"), self._number("page_count")
        if free > pages // 2 and free > SLACK_PAGES:
            self._do(f"PRAGMA incremental_vacuum({most_pages})").fetchall()

    def data_version(self) -> int:
        """Changes when another process has written."""
        return self._number("data_version")

    def forget_counts(self) -> None:
        """Count anew: somebody else has written."""
        self._held = None

    def forget_run(self, run: str) -> None:
        """It and its anchors; it has neither audio nor segments here."""
        for table in ("anchors", "segments", "runs"):
            self._do(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608  our own names

    def forget_anchors(self, run: str, before: int) -> None:
        """Those that date nothing from `before` on."""
        self._do(
            "DELETE FROM anchors WHERE run = ?1 AND position <"
            " (SELECT max(position) FROM anchors WHERE run = ?1 AND position <= ?2)",
            (run, before),
        )

    def forget_boots(self, here: str) -> None:
        """Those of no run, but this one."""
        self._do("DELETE FROM boots WHERE boot_id <> ? AND boot_id NOT IN (SELECT boot_id FROM runs)", (here,))

    def _number(self, pragma: str) -> int:
        return int(self._do(f"PRAGMA {pragma}").fetchone()[0])

    def _do(self, statement: str, values: Sequence[Any] = ()) -> "Rows":
        try:
            return Rows(self, self._connection.execute(statement, values))
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _many(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(statement, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | sqlite3.IntegrityError):
            return error  # a mistake of ours
        return Failed(self, error, damaged=schema.is_damage(error))


SLACK_PAGES: Final = 256
"""1 MB of free pages is no waste worth a write."""
