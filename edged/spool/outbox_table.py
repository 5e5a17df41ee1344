"""Records that wait for their sinks, and which sinks have them, in one database.

Each operation can be repeated without harm. Operations that write belong in a transaction of the database.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edged.spool.database import Database


class OutboxEntry(NamedTuple):
    """A row of the table `outbox`: a record as JSON, its range of samples, and the sinks that it is for."""

    id: str
    run: str
    start: int
    end: int
    record: str
    sinks: str
    boot_id: str
    committed_s: float
    done: bool


class OutboxTable:
    """The tables `outbox` and `marks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_entry(self, entry: OutboxEntry) -> None:
        """Store a record. If its id is stored already, the stored record stays."""
        self._database.execute(
            'INSERT OR IGNORE INTO outbox (id, run, "from", "to", record, sinks, boot_id, committed_s, done)'
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            entry,
        )

    def list_entries(self, *, undone_only: bool = False, committed_before_s: float | None = None) -> list[OutboxEntry]:
        """Return records in the order of their commit."""
        query = (
            'SELECT id, run, "from", "to", record, sinks, boot_id, committed_s, done FROM outbox'
            " WHERE done <= ? AND committed_s <= ? ORDER BY seq"
        )
        before_s = float("inf") if committed_before_s is None else committed_before_s
        rows = self._database.query(query, (not undone_only, before_s), "ttiitttri")
        return [OutboxEntry._make((*row[:8], bool(row[8]))) for row in rows]

    def expired_ids(self, this_boot: str, keep_s: float, now_s: float) -> list[str]:
        """Return the ids of the records that all sinks have had for `keep_s`, as far as that can be proved.

        Records of another boot count from the start of this boot. Only ids are read: an hour of texts takes a megabyte.
        """
        query = "SELECT id FROM outbox WHERE done AND CASE boot_id WHEN ? THEN ? - committed_s ELSE ? END > ?"
        return [id_ for (id_,) in self._database.query(query, (this_boot, now_s, now_s, keep_s), "t")]

    def excess_ids(self, keep_bytes: int) -> list[str]:
        """Return the ids of delivered records whose texts are not among the newest `keep_bytes`."""
        query = (
            "SELECT id FROM (SELECT id, sum(length(record)) OVER (ORDER BY seq DESC) AS behind FROM outbox WHERE done)"
            " WHERE behind > ?"
        )
        return [id_ for (id_,) in self._database.query(query, (keep_bytes,), "t")]

    def has_entries(self) -> bool:
        """Return whether any record is stored."""
        return bool(self._database.query("SELECT 1 FROM outbox LIMIT 1", (), "i"))

    def stored_ids(self, ids: Iterable[str]) -> set[str]:
        """Return which of these ids are stored."""
        return {id_ for id_ in ids if self._database.query("SELECT 1 FROM outbox WHERE id = ?", (id_,), "i")}

    def put_marks(self, marks: Iterable[tuple[str, str]]) -> None:
        """Store that sinks have records, as pairs `(id, sink)`. A record is done when all its sinks have it."""
        marks = list(marks)
        self._database.execute_many("INSERT OR IGNORE INTO marks VALUES (?, ?)", marks)
        for id_ in {id_ for id_, _ in marks}:
            for (sinks,) in self._database.query("SELECT sinks FROM outbox WHERE id = ? AND NOT done", (id_,), "t"):
                have = {sink for (sink,) in self._database.query("SELECT sink FROM marks WHERE id = ?", (id_,), "t")}
                if have.issuperset(sinks.split(",")):
                    self.mark_done(id_)

    def mark_done(self, id_: str) -> None:
        """Store that all sinks of a record have it."""
        self._database.execute("UPDATE outbox SET done = 1 WHERE id = ?", (id_,))

    def list_marks(self, *, orphaned: bool = False) -> list[tuple[str, str]]:
        """Return all marks, or only those whose record is not stored here."""
        condition = " WHERE id NOT IN (SELECT id FROM outbox)" if orphaned else ""
        return self._database.query(f"SELECT id, sink FROM marks{condition}", (), "tt")  # noqa: S608  our own text

    def delete_marks_by_id(self, ids: Sequence[str]) -> None:
        """Delete all marks of these records."""
        self._database.execute_many("DELETE FROM marks WHERE id = ?", [(id_,) for id_ in ids])

    def delete_marks(self, marks: Sequence[tuple[str, str]]) -> None:
        """Delete these marks."""
        self._database.execute_many("DELETE FROM marks WHERE id = ? AND sink = ?", marks)

    def delete_entries(self, ids: Sequence[str]) -> None:
        """Delete these records. Their marks stay."""
        if ids:
            self._database.execute_many("DELETE FROM outbox WHERE id = ?", [(id_,) for id_ in ids])
            self._database.has_deleted_content = True
