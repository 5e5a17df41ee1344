"""What goes into the spool, what comes out of it, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from edged.model.ranges import Range
from edged.model.record import Record
from edged.spool.capture_time import Anchor, Boot, PositionClock

Tier = Literal["runtime", "disk"]
"""Which of the two databases."""

Bound = Literal["max_mb", "max_age_h"]
"""What speech went at: an option of the spool."""

MAX_POSITION: Final = 1 << 62
"""A position beyond any."""


class RunInfo(NamedTuple):
    """One run of the daemon: what its positions count, and in which boot."""

    run: str
    boot_id: str
    rate: int
    channel: int
    device: str
    started_s: float
    """CLOCK_BOOTTIME."""


class StoredRange(NamedTuple):
    """A part of one segment that waits, in one piece."""

    start: int
    end: int
    chain: int
    """Where the first piece of its segment began, if that was cut for its length only."""
    continues: bool
    """The gate was still open at the segment's end."""
    voiced: tuple[Range, ...]


@dataclass(frozen=True)
class RunBacklog:
    """What waits of one run, and how to date it."""

    run: RunInfo
    stretches: tuple[StoredRange, ...]
    """In order."""
    anchors: tuple[Anchor, ...]
    boot: Boot | None
    """Of the run's boot; None if its offset was never told."""
    age_s: float
    """Of the oldest of it, at least."""

    @property
    def seconds(self) -> float:
        """How much speech that is."""
        return sum(each.end - each.start for each in self.stretches) / self.run.rate

    @property
    def line(self) -> PositionClock:
        """Positions to seconds of CLOCK_BOOTTIME of its boot; from the run's beginning if nothing better is known."""
        return PositionClock(self.anchors or (Anchor(0, self.run.started_s),), self.run.rate)


class UndeliveredRecord(NamedTuple):
    """A committed record, and which sinks don't have it."""

    record: Record
    lacking: tuple[str, ...]


class RecoveredState(NamedTuple):
    """What was there before."""

    boot_id: str
    """Of this boot, also where the kernel's can't be read."""
    pending: tuple[UndeliveredRecord, ...]
    """In the order of their commit."""
    kept: tuple[Record, ...]
    """Delivered everywhere, not long ago: a journal that can be read may be asked whether it still has them."""
    backlogs: tuple[RunBacklog, ...]
    """Oldest run first; none without a stretch."""
    unreadable: int
    """Records in the outbox that this version can't read."""
    runs: Mapping[str, RunInfo]
    """All that is known of runs and boots, by name: a ring may hold more of one of which nothing waits here."""
    boots: Mapping[str, Boot]


@dataclass(frozen=True)
class SpoolCounters:
    """How much waits."""

    seconds: float = 0.0
    bytes_in_memory: int = 0
    bytes_on_disk: int = 0
    oldest_s: float | None = None
    """Age of the oldest, at least, when it was counted; None if nothing waits."""
    counted_s: float = 0.0
    """CLOCK_BOOTTIME."""


class RecordCommitted(NamedTuple):
    """The record may be delivered. Not `durable`: it could not be stored (yet), and must not be held back for that."""

    record: Record
    durable: bool


class SpeechEvicted(NamedTuple):
    """This much, all of it in `[start, end)` of a run, went at a bound: the oldest there was."""

    run: str
    start: int
    end: int
    seconds: float
    bound: Bound


class DatabaseFailing(NamedTuple):
    """A database can't be used now; told at each failure. It is tried again."""

    where: Tier
    text: str


class DatabaseWorking(NamedTuple):
    """It can be used again."""

    where: Tier


class AudioRequested(NamedTuple):
    """Audio of a run that could not be stored, or was lost with a damaged file: give again what of it still waits.

    Some of it may be there: that is no harm.
    """

    run: str
    ranges: tuple[Range, ...]


class DatabaseReplaced(NamedTuple):
    """A file was damaged; it now has another name, and a new one is in its place. `Wanted` follows, if a run lives."""

    where: Tier
    path: Path
    text: str


class FilesRecreated(NamedTuple):
    """The file of a database was deleted while it was used: it was made again, with all that was in it."""

    where: Tier
    path: Path


class RowsRepaired(NamedTuple):
    """Values in a database could not be true, as after a flipped bit: these rows were put right or left out."""

    where: Tier
    rows: int


class BacklogFound(NamedTuple):
    """The disk could not be read at the start and now can: this was on it, beside what was told then."""

    recovered: RecoveredState


SpoolEvent = (
    RecordCommitted
    | SpeechEvicted
    | DatabaseFailing
    | DatabaseWorking
    | AudioRequested
    | DatabaseReplaced
    | FilesRecreated
    | RowsRepaired
    | BacklogFound
)
