"""One database of the spool with its tables."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.spool.audio_table import AudioTable, cut
from edged.spool.database import Database
from edged.spool.model import Tier
from edged.spool.outbox_table import OutboxTable
from edged.spool.run_table import RunTable


class Store:
    """The database of one tier, with a table object for each subject."""

    def __init__(self, tier: Tier, path: Path, *, read_only: bool = False, owner: int | None = None) -> None:
        """Raises what `Database` raises."""
        self.tier: Tier = tier
        self.database = Database(tier, path, read_only=read_only, owner=owner)
        self.runs = RunTable(self.database)
        self.outbox = OutboxTable(self.database)
        self.audio = AudioTable(self.database)

    @property
    def path(self) -> Path:
        """Path of the database file."""
        return self.database.path

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything that is done within the context, in all tables, or nothing."""
        with self.database.transaction():
            yield

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def first_stored_s(self) -> float | None:
        """Return when the oldest audio, or record that a sink lacks, was stored; None if there is neither."""
        query = (
            "SELECT stored_s FROM (SELECT stored_s FROM audio ORDER BY id LIMIT 1) UNION ALL"
            " SELECT committed_s FROM (SELECT committed_s FROM outbox WHERE NOT done ORDER BY committed_s LIMIT 1)"
        )
        return min((stored_s for (stored_s,) in self.database.query(query, (), "r")), default=None)


def read_all(
    stores: Iterable[Store], run: str, start: int, end: int, without: Iterable[Range] = ()
) -> list[tuple[int, bytes]]:
    """Return the audio in `[start, end)` except `without`, from all stores, in order, each sample once.

    No piece is longer than 1 s. `stores` are in the order in which audio moves, so that none is missed that moves
    meanwhile.
    """
    found = Ranges(without)
    pieces = []
    for store in stores:
        for position, pcm in store.audio.read(run, start, end):
            for a, b in found.gaps(position, position + len(pcm) // BYTES_PER_SAMPLE):
                pieces.append(cut(position, pcm, a, b))
                found.add(a, b)
    return sorted(pieces)
