"""What the spool stores, what it returns, and the events that it emits, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from edged.model.ranges import Range
from edged.model.record import Record
from edged.spool.capture_time import Anchor, Boot, PositionClock

Tier = Literal["runtime", "disk"]
"""One of the two databases: in memory while all goes well, or on disk."""

Bound = Literal["max_mb", "max_age_h"]
"""The setting of the spool that speech was evicted for."""

MAX_POSITION: Final = 1 << 62
"""A position behind every sample."""


class RunInfo(NamedTuple):
    """One run of the daemon: what its positions count, and in which boot it began."""

    run: str
    boot_id: str
    rate: int
    channel: int
    device: str
    started_s: float
    """Start of the run in seconds of CLOCK_BOOTTIME."""


class StoredRange(NamedTuple):
    """A contiguous part of one segment that is stored and has no transcript yet."""

    start: int
    end: int
    chain: int
    """Start of the first of the segments that were cut only for their length, this one included."""
    continues: bool
    """Whether the gate was still open at the segment's end."""
    voiced: tuple[Range, ...]
    """Parts in which the gate heard a voice."""


@dataclass(frozen=True)
class RunBacklog:
    """The audio of one run that has no transcript yet, and what dates it."""

    run: RunInfo
    ranges: tuple[StoredRange, ...]
    """Stored audio in the order of its positions."""
    anchors: tuple[Anchor, ...]
    boot: Boot | None
    """Clock offset of the boot that the run belongs to; None if it was never stored."""
    age_s: float
    """Minimum age of the oldest sample."""

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return sum(stored.end - stored.start for stored in self.ranges) / self.run.rate

    @property
    def clock(self) -> PositionClock:
        """Positions to seconds of CLOCK_BOOTTIME. Without anchors, the start of the run dates its first sample."""
        return PositionClock(self.anchors or (Anchor(0, self.run.started_s),), self.run.rate)


class UndeliveredRecord(NamedTuple):
    """A committed record and the sinks that do not have it yet."""

    record: Record
    missing_sinks: tuple[str, ...]


class RecoveredState(NamedTuple):
    """What earlier processes left in the spool."""

    boot_id: str
    """Id of this boot; drawn at random where the kernel's cannot be read."""
    undelivered: tuple[UndeliveredRecord, ...]
    """Records in the order of their commit."""
    delivered: tuple[Record, ...]
    """Records that all sinks had a short time ago. A readable journal is asked whether it still has them."""
    backlogs: tuple[RunBacklog, ...]
    """Audio without a transcript, the oldest run first. No backlog is empty."""
    unreadable_records: int
    """Number of records in the outbox that this version cannot decode."""
    runs: Mapping[str, RunInfo]
    """All stored runs by name. A ring may hold audio of a run that has no backlog."""
    boots: Mapping[str, Boot]
    """All stored boots by id, and this boot."""


@dataclass(frozen=True)
class SpoolCounters:
    """How much audio without a transcript is stored."""

    seconds: float = 0.0
    bytes_in_memory: int = 0
    bytes_on_disk: int = 0
    oldest_s: float | None = None
    """Minimum age of the oldest sample at `counted_s`; None if nothing is stored."""
    counted_s: float = 0.0
    """Time of the count in seconds of CLOCK_BOOTTIME."""


class RecordCommitted(NamedTuple):
    """A record may be delivered now."""

    record: Record
    durable: bool
    """Whether the record is stored. If not, storing failed or takes too long, and delivery does not wait for it."""


class SpeechEvicted(NamedTuple):
    """The oldest speech, within `[start, end)` of a run, was deleted for a bound without a transcript."""

    run: str
    start: int
    end: int
    seconds: float
    bound: Bound


class DatabaseFailing(NamedTuple):
    """A try to use a database failed. The spool tries again."""

    tier: Tier
    text: str
    """Cause, and what the user can do about it."""


class DatabaseWorking(NamedTuple):
    """A database that failed works again."""

    tier: Tier


class AudioRequested(NamedTuple):
    """Audio of a run is not stored: give again what of it has no transcript yet.

    The spool did not store it, or lost it with a damaged file. Audio that is stored already does no harm.
    """

    run: str
    ranges: tuple[Range, ...]


class DatabaseReplaced(NamedTuple):
    """A damaged file was renamed to `path`, and a new one is in its place.

    AudioRequested follows if a run is live.
    """

    tier: Tier
    path: Path
    text: str
    """What is wrong with the file."""


class FilesRecreated(NamedTuple):
    """A database's file was deleted while it was open, and was written again with its whole content."""

    tier: Tier
    path: Path


class RowsRepaired(NamedTuple):
    """A database held impossible values, as after a flipped bit. Those rows were repaired or deleted."""

    tier: Tier
    rows: int


class BacklogFound(NamedTuple):
    """The disk was unreadable at the start and can be read now: what it held beside the state reported at the start."""

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
