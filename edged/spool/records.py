"""What a database knows of runs and boots, and the outbox. Each operation can be repeated without harm.

All that change something belong into a `transaction`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edged.spool.capture_time import Anchor, Boot
from edged.spool.database import Database
from edged.spool.model import RunInfo


class OutboxEntry(NamedTuple):
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


class Records(Database):
    """Runs, boots, anchors; records and marks."""

    # -- runs, boots, anchors -----------------------------------------------------------------------------------------

    def put_run(self, run: RunInfo) -> None:
        """The first one stays, but for its device."""
        self.do(
            "INSERT INTO runs (run, boot_id, rate, channel, device, started_s) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run) DO UPDATE SET device = excluded.device WHERE device <> excluded.device",
            run,
        )

    def runs(self) -> list[RunInfo]:
        """In the order in which they came here."""
        query = "SELECT run, boot_id, rate, channel, device, started_s FROM runs ORDER BY number"
        return [RunInfo(*row) for row in self.rows(query, (), "ttiitr")]

    def put_boot(self, boot: Boot) -> None:
        """The last one counts, but one that was synchronised stays so."""
        self.do(
            "INSERT INTO boots VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET wall_offset_s = excluded.wall_offset_s,"
            " synchronized = excluded.synchronized WHERE excluded.synchronized >= synchronized",
            boot,
        )

    def boots(self) -> dict[str, Boot]:
        """By id."""
        query = "SELECT boot_id, wall_offset_s, synchronized FROM boots"
        return {id_: Boot(id_, offset_s, bool(known)) for id_, offset_s, known in self.rows(query, (), "tri")}

    def put_anchors(self, run: str, anchors: Iterable[Anchor]) -> None:
        """Those of a position that has one are passed over."""
        self.many("INSERT OR IGNORE INTO anchors VALUES (?, ?, ?)", [(run, *anchor) for anchor in anchors])

    def anchors(self, run: str) -> list[Anchor]:
        """In order."""
        query = "SELECT position, at_s FROM anchors WHERE run = ? ORDER BY position"
        return [Anchor(*row) for row in self.rows(query, (run,), "ir")]

    def forget_run(self, run: str) -> None:
        """It and its anchors; it has neither audio nor segments here."""
        for table in ("anchors", "segments", "runs"):
            self.do(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608  our own names

    def forget_anchors(self, run: str, before: int) -> None:
        """Those that date nothing from `before` on."""
        self.do(
            "DELETE FROM anchors WHERE run = ?1 AND position <"
            " (SELECT max(position) FROM anchors WHERE run = ?1 AND position <= ?2)",
            (run, before),
        )

    def forget_boots(self, here: str) -> None:
        """Those of no run, but this one."""
        self.do("DELETE FROM boots WHERE boot_id <> ? AND boot_id NOT IN (SELECT boot_id FROM runs)", (here,))

    # -- records ------------------------------------------------------------------------------------------------------

    def put_entry(self, entry: OutboxEntry) -> None:
        """The first one stays."""
        self.do(
            'INSERT OR IGNORE INTO outbox (id, run, "from", "to", record, sinks, boot_id, committed_s, done)'
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            entry,
        )

    def entries(self, *, undone_only: bool = False, committed_before_s: float | None = None) -> list[OutboxEntry]:
        """In the order of their commit."""
        query = (
            'SELECT id, run, "from", "to", record, sinks, boot_id, committed_s, done FROM outbox'
            " WHERE done <= ? AND committed_s <= ? ORDER BY seq"
        )
        before_s = float("inf") if committed_before_s is None else committed_before_s
        rows = self.rows(query, (not undone_only, before_s), "ttiitttri")
        return [OutboxEntry._make((*row[:8], bool(row[8]))) for row in rows]

    def delivered(self, here: str, keep_s: float, now_s: float) -> list[str]:
        """Those that all sinks have had for `keep_s`; or were committed in another boot than `here`, that long ago at
        least. By their ids: to read an hour of texts each minute would take a megabyte each time."""
        query = "SELECT id FROM outbox WHERE done AND CASE boot_id WHEN ? THEN ? - committed_s ELSE ? END > ?"
        return [id_ for (id_,) in self.rows(query, (here, now_s, now_s, keep_s), "t")]

    def excess(self, keep_bytes: int) -> list[str]:
        """Those that all sinks have, and whose texts are not among the newest `keep_bytes`. By their ids."""
        query = (
            "SELECT id FROM (SELECT id, sum(length(record)) OVER (ORDER BY seq DESC) AS behind FROM outbox WHERE done)"
            " WHERE behind > ?"
        )
        return [id_ for (id_,) in self.rows(query, (keep_bytes,), "t")]

    def has_text(self) -> bool:
        """Whether there is any record."""
        return bool(self.rows("SELECT 1 FROM outbox LIMIT 1", (), "i"))

    def has_entries(self, ids: Iterable[str]) -> set[str]:
        """Which of these are here."""
        return {id_ for id_ in ids if self.rows("SELECT 1 FROM outbox WHERE id = ?", (id_,), "i")}

    def put_marks(self, marks: Iterable[tuple[str, str]]) -> None:
        """`(id, sink)`: the sink has the record. It is done when all sinks that it is for have it."""
        marks = list(marks)
        self.many("INSERT OR IGNORE INTO marks VALUES (?, ?)", marks)
        for id_ in {id_ for id_, _ in marks}:
            for (sinks,) in self.rows("SELECT sinks FROM outbox WHERE id = ? AND NOT done", (id_,), "t"):
                have = {sink for (sink,) in self.rows("SELECT sink FROM marks WHERE id = ?", (id_,), "t")}
                if have.issuperset(sinks.split(",")):
                    self.done(id_)

    def done(self, id_: str) -> None:
        """All sinks that it is for have it."""
        self.do("UPDATE outbox SET done = 1 WHERE id = ?", (id_,))

    def marks(self, *, of_absent: bool = False) -> list[tuple[str, str]]:
        """All, or those of records that are not here."""
        absent = " WHERE id NOT IN (SELECT id FROM outbox)" if of_absent else ""
        return self.rows(f"SELECT id, sink FROM marks{absent}", (), "tt")  # noqa: S608  see above

    def forget_marks(self, ids: Sequence[str]) -> None:
        """Those of these records."""
        self.many("DELETE FROM marks WHERE id = ?", [(id_,) for id_ in ids])

    def delete_marks(self, marks: Sequence[tuple[str, str]]) -> None:
        """These."""
        self.many("DELETE FROM marks WHERE id = ? AND sink = ?", marks)

    def delete_entries(self, ids: Sequence[str]) -> None:
        """These records; their marks stay."""
        if ids:
            self.many("DELETE FROM outbox WHERE id = ?", [(id_,) for id_ in ids])
            self.deleted = True
