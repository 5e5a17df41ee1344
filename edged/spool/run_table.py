"""Runs, boots and anchors in one database: what dates the audio.

Each operation can be repeated without harm. Operations that write belong in a transaction of the database.
"""

from collections.abc import Iterable

from edged.spool.capture_time import Anchor, Boot
from edged.spool.database import Database
from edged.spool.model import RunInfo


class RunTable:
    """The tables `runs`, `boots` and `anchors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_run(self, run: RunInfo) -> None:
        """Store a run. If it is stored already, only its device is updated."""
        self._database.execute(
            "INSERT INTO runs (run, boot_id, rate, channel, device, started_s) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run) DO UPDATE SET device = excluded.device WHERE device <> excluded.device",
            run,
        )

    def list_runs(self) -> list[RunInfo]:
        """Return all runs in the order in which they were stored."""
        query = "SELECT run, boot_id, rate, channel, device, started_s FROM runs ORDER BY number"
        return [RunInfo(*row) for row in self._database.query(query, (), "ttiitr")]

    def put_boot(self, boot: Boot) -> None:
        """Store a boot's clock offset. An unsynchronized offset does not replace a synchronized one."""
        self._database.execute(
            "INSERT INTO boots VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET wall_offset_s = excluded.wall_offset_s,"
            " synchronized = excluded.synchronized WHERE excluded.synchronized >= synchronized",
            boot,
        )

    def boots_by_id(self) -> dict[str, Boot]:
        """Return all boots by their ids."""
        query = "SELECT boot_id, wall_offset_s, synchronized FROM boots"
        rows = self._database.query(query, (), "tri")
        return {id_: Boot(id_, offset_s, bool(synchronized)) for id_, offset_s, synchronized in rows}

    def put_anchors(self, run: str, anchors: Iterable[Anchor]) -> None:
        """Store anchors of a run. A position that has an anchor keeps it."""
        rows = [(run, *anchor) for anchor in anchors]
        self._database.execute_many("INSERT OR IGNORE INTO anchors VALUES (?, ?, ?)", rows)

    def list_anchors(self, run: str) -> list[Anchor]:
        """Return the anchors of a run in the order of their positions."""
        query = "SELECT position, at_s FROM anchors WHERE run = ? ORDER BY position"
        return [Anchor(*row) for row in self._database.query(query, (run,), "ir")]

    def delete_run(self, run: str) -> None:
        """Delete a run of which no audio is stored here, with its anchors and segments."""
        for table in ("anchors", "segments", "runs"):
            self._database.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608  our own names

    def delete_anchors_before(self, run: str, position: int) -> None:
        """Delete the anchors that date nothing from `position` on."""
        self._database.execute(
            "DELETE FROM anchors WHERE run = ?1 AND position <"
            " (SELECT max(position) FROM anchors WHERE run = ?1 AND position <= ?2)",
            (run, position),
        )

    def delete_unused_boots(self, this_boot: str) -> None:
        """Delete the boots that no stored run belongs to, except this one."""
        statement = "DELETE FROM boots WHERE boot_id <> ? AND boot_id NOT IN (SELECT boot_id FROM runs)"
        self._database.execute(statement, (this_boot,))
