"""What the event loop asks the spool's thread to do, as values.

Every command except `LoadAudio` may be repeated without harm. `compact` bounds a queue that can't be written: it drops
audio and keeps releases.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.model.record import Record
from edged.spool.audio_table import StoredSegment, cut
from edged.spool.capture_time import Anchor, Boot
from edged.spool.integrity import MAX_ROW_SAMPLES
from edged.spool.model import RunInfo
from edged.spool.outbox_table import OutboxEntry
from edged.spool.tiered_store import TieredStore

ROW_BYTES = 16_000
"""Size of a row of audio: 0.5 s at 16 kHz. Five blocks take the time of one, and a partial release copies little."""


@dataclass(frozen=True, slots=True)
class BeginRun:
    """Store a run before its audio. A run that is not `live` is an earlier one, of which a ring held audio."""

    run: RunInfo
    live: bool = True

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.runtime.runs.put_run(self.run)
        if self.live:
            tiers.run = self.run


@dataclass(frozen=True, slots=True)
class PutAnchor:
    """Store when a position was captured."""

    run: str
    anchor: Anchor

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.runtime.runs.put_anchors(self.run, [self.anchor])


@dataclass(frozen=True, slots=True)
class PutBoot:
    """Store the offset from this boot's time to wall time."""

    boot: Boot

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.runtime.runs.put_boot(self.boot)


@dataclass(frozen=True, slots=True)
class PutSegment:
    """Store that a segment begins or ends."""

    segment: StoredSegment

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.put_segment(self.segment)


@dataclass(frozen=True, slots=True)
class PutAudio:
    """Store audio that has no transcript yet."""

    run: str
    position: int
    pcm: bytes
    voiced: tuple[Range, ...]

    @property
    def end(self) -> int:
        """Position behind the last sample."""
        return self.position + len(self.pcm) // BYTES_PER_SAMPLE

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        most = MAX_ROW_SAMPLES * BYTES_PER_SAMPLE
        for at in range(0, len(self.pcm), most):
            tiers.put_audio(
                self.run, self.position + at // BYTES_PER_SAMPLE, self.pcm[at : at + most], self.voiced, now_s
            )


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """Store a record and delete the audio in its range."""

    record: Record
    entry: OutboxEntry

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.commit_record(self.entry)


@dataclass(frozen=True, slots=True)
class ReleaseAudio:
    """Delete audio that needs no transcript any more."""

    run: str
    start: int
    end: int

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.release_audio(self.run, self.start, self.end)


@dataclass(frozen=True, slots=True)
class MarkDelivered:
    """Store that a sink has these records."""

    sink: str
    ids: tuple[str, ...]

    def apply(self, tiers: TieredStore, now_s: float) -> None:
        """Apply the command within a transaction of the runtime database."""
        tiers.runtime.outbox.put_marks((id_, self.sink) for id_ in self.ids)


@dataclass(frozen=True, slots=True)
class LoadAudio:
    """Read the stored audio in `[start, end)`; `reply` gets the pieces, or an exception."""

    run: str
    start: int
    end: int
    reply: Callable[[list[tuple[int, bytes]] | Exception], None]


WriteCommand = BeginRun | PutAnchor | PutBoot | PutSegment | PutAudio | CommitRecord | ReleaseAudio | MarkDelivered
Command = WriteCommand | LoadAudio


def command_bytes(command: Command) -> int:
    """Return roughly how much memory a command takes."""
    if isinstance(command, PutAudio):
        return len(command.pcm) + 200
    return len(command.entry.record) + 1000 if isinstance(command, CommitRecord) else 200


def drop_released_audio(commands: Sequence[WriteCommand]) -> list[WriteCommand]:
    """Return the commands without audio that a later one of them releases: it need not be stored to be deleted."""
    released: dict[str, Ranges] = defaultdict(Ranges)
    kept: list[WriteCommand] = []
    for command in reversed(commands):
        match command:
            case CommitRecord():
                released[command.entry.run].add(command.entry.start, command.entry.end)
            case ReleaseAudio():
                released[command.run].add(command.start, command.end)
            case PutAudio(run, position, pcm, voiced) if released and released[run].overlaps(position, command.end):
                for start, end in reversed(released[run].gaps(position, command.end)):
                    kept.append(PutAudio(run, *cut(position, pcm, start, end), voiced))
                continue
        kept.append(command)
    return kept[::-1]


def join_adjacent_audio(commands: Iterable[WriteCommand]) -> list[WriteCommand]:
    """Return the commands with adjacent audio joined, up to the size of a row."""
    result: list[WriteCommand] = []
    for command in commands:
        last = result[-1] if result else None
        if (
            isinstance(command, PutAudio)
            and isinstance(last, PutAudio)
            and (command.run, command.position) == (last.run, last.end)
            and len(last.pcm) + len(command.pcm) <= ROW_BYTES
        ):
            result[-1] = PutAudio(last.run, last.position, last.pcm + command.pcm, last.voiced + command.voiced)
        else:
            result.append(command)
    return result


def apply_to_pieces(
    commands: Iterable[WriteCommand], pieces: list[tuple[int, bytes]], load: LoadAudio
) -> list[tuple[int, bytes]]:
    """Return the audio of a range as it would be with these commands applied to the stored `pieces`.

    So audio that can't be written yet can be read."""
    for command in commands:
        match command:
            case PutAudio(run=load.run, position=position, pcm=pcm) if position < load.end and command.end > load.start:
                position, pcm = cut(position, pcm, load.start, load.end)
                end = position + len(pcm) // BYTES_PER_SAMPLE
                pieces = _subtract_range(pieces, position, end)
                starts = range(position, end, MAX_ROW_SAMPLES)
                pieces += [cut(position, pcm, at, min(at + MAX_ROW_SAMPLES, end)) for at in starts]
            case ReleaseAudio(run=load.run, start=start, end=end):
                pieces = _subtract_range(pieces, start, end)
            case CommitRecord(entry=entry) if entry.run == load.run:
                pieces = _subtract_range(pieces, entry.start, entry.end)
            case _:
                pass
    return sorted(pieces)


def _subtract_range(pieces: Iterable[tuple[int, bytes]], start: int, end: int) -> list[tuple[int, bytes]]:
    kept = []
    for position, pcm in pieces:
        stop = position + len(pcm) // BYTES_PER_SAMPLE
        if position < start:
            kept.append(cut(position, pcm, position, min(stop, start)))
        if stop > end:
            kept.append(cut(position, pcm, max(position, end), stop))
    return kept


def compact(commands: Iterable[WriteCommand], dropped_audio: dict[str, Ranges]) -> list[WriteCommand]:
    """Return the commands without audio, which goes to `dropped_audio`, and without texts of records.

    Records were reported as not durable already."""
    kept: list[WriteCommand] = []
    segment: PutSegment | None = None
    released: dict[str, Ranges] = defaultdict(Ranges)
    for command in commands:
        match command:
            case PutAudio():
                dropped_audio[command.run].add(command.position, command.end)
            case CommitRecord():
                released[command.entry.run].add(command.entry.start, command.entry.end)
            case ReleaseAudio():
                released[command.run].add(command.start, command.end)
            case PutSegment():
                segment = command
            case BeginRun() | PutAnchor():
                kept.append(command)
            case PutBoot():
                kept = [*(each for each in kept if not isinstance(each, PutBoot)), command]
            case MarkDelivered():
                pass  # the next start asks the sink again
    if segment:
        kept.append(segment)
    for run, ranges in released.items():
        for start, end in ranges:
            dropped_audio[run].remove(start, end)
            kept.append(ReleaseAudio(run, start, end))
    return kept
