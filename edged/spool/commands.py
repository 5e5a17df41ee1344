"""What the event loop asks the spool's thread to do, as values. All but `Load` may be carried out again.

`compressed` is what a queue becomes when it can't be worked off: what is answered stays answered, audio is left out.
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
"""0.5 s at 16 kHz: five blocks in the time of one; and an answer that ends in the middle of a row copies little."""


@dataclass(frozen=True, slots=True)
class BeginRun:
    """Whose audio follows; not `live`: an earlier one's, found in a ring."""

    run: RunInfo
    live: bool = True

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """Within a transaction of the runtime database, as all of these."""
        pair.runtime.runs.put_run(self.run)
        if self.live:
            pair.run = self.run


@dataclass(frozen=True, slots=True)
class PutAnchor:
    """When a position was captured."""

    run: str
    anchor: Anchor

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        pair.runtime.runs.put_anchors(self.run, [self.anchor])


@dataclass(frozen=True, slots=True)
class PutBoot:
    """What makes this boot's time wall time."""

    boot: Boot

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        pair.runtime.runs.put_boot(self.boot)


@dataclass(frozen=True, slots=True)
class PutSegment:
    """A segment begins or ends."""

    segment: StoredSegment

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        pair.segment(self.segment)


@dataclass(frozen=True, slots=True)
class PutAudio:
    """Audio waits."""

    run: str
    position: int
    pcm: bytes
    voiced: tuple[Range, ...]

    @property
    def end(self) -> int:
        """Position behind it."""
        return self.position + len(self.pcm) // BYTES_PER_SAMPLE

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        most = MAX_ROW_SAMPLES * BYTES_PER_SAMPLE
        for at in range(0, len(self.pcm), most):
            pair.audio(self.run, self.position + at // BYTES_PER_SAMPLE, self.pcm[at : at + most], self.voiced, now_s)


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A record comes, its audio goes."""

    record: Record
    entry: OutboxEntry

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        pair.commit(self.entry)


@dataclass(frozen=True, slots=True)
class ReleaseAudio:
    """Audio waits no longer."""

    run: str
    start: int
    end: int

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        pair.release(self.run, self.start, self.end)


@dataclass(frozen=True, slots=True)
class MarkDelivered:
    """A sink has these records."""

    sink: str
    ids: tuple[str, ...]

    def apply(self, pair: TieredStore, now_s: float) -> None:
        """See `BeginRun`."""
        pair.runtime.outbox.put_marks((id_, self.sink) for id_ in self.ids)


@dataclass(frozen=True, slots=True)
class LoadAudio:
    """Read what waits of `[start, end)`; gets the pieces, or what went wrong."""

    run: str
    start: int
    end: int
    tell: Callable[[list[tuple[int, bytes]] | Exception], None]


WriteCommand = BeginRun | PutAnchor | PutBoot | PutSegment | PutAudio | CommitRecord | ReleaseAudio | MarkDelivered
Command = WriteCommand | LoadAudio


def size_bytes(order: Command) -> int:
    """What it takes in memory, about."""
    if isinstance(order, PutAudio):
        return len(order.pcm) + 200
    return len(order.entry.record) + 1000 if isinstance(order, CommitRecord) else 200


def unanswered(orders: Sequence[WriteCommand]) -> list[WriteCommand]:
    """The same without the audio that is answered later on in them: it need not be stored to be deleted."""
    answered: dict[str, Ranges] = defaultdict(Ranges)
    kept: list[WriteCommand] = []
    for order in reversed(orders):
        match order:
            case CommitRecord():
                answered[order.entry.run].add(order.entry.start, order.entry.end)
            case ReleaseAudio():
                answered[order.run].add(order.start, order.end)
            case PutAudio(run, position, pcm, voiced) if answered and answered[run].overlaps(position, order.end):
                for start, end in reversed(answered[run].gaps(position, order.end)):
                    kept.append(PutAudio(run, *cut(position, pcm, start, end), voiced))
                continue
        kept.append(order)
    return kept[::-1]


def joined(orders: Iterable[WriteCommand]) -> list[WriteCommand]:
    """The same in fewer rows: audio that follows on audio goes with it, up to a row's length."""
    all_: list[WriteCommand] = []
    for order in orders:
        last = all_[-1] if all_ else None
        if (
            isinstance(order, PutAudio)
            and isinstance(last, PutAudio)
            and (order.run, order.position) == (last.run, last.end)
            and len(last.pcm) + len(order.pcm) <= ROW_BYTES
        ):
            all_[-1] = PutAudio(last.run, last.position, last.pcm + order.pcm, last.voiced + order.voiced)
        else:
            all_.append(order)
    return all_


def carried_out(
    orders: Iterable[WriteCommand], pieces: list[tuple[int, bytes]], load: LoadAudio
) -> list[tuple[int, bytes]]:
    """What waits of a range of which `pieces` are stored, once these orders are: what can't be written can be read."""
    for order in orders:
        match order:
            case PutAudio(run=load.run, position=position, pcm=pcm) if position < load.end and order.end > load.start:
                position, pcm = cut(position, pcm, load.start, load.end)
                end = position + len(pcm) // BYTES_PER_SAMPLE
                pieces = _without(pieces, position, end)
                starts = range(position, end, MAX_ROW_SAMPLES)
                pieces += [cut(position, pcm, at, min(at + MAX_ROW_SAMPLES, end)) for at in starts]
            case ReleaseAudio(run=load.run, start=start, end=end):
                pieces = _without(pieces, start, end)
            case CommitRecord(entry=entry) if entry.run == load.run:
                pieces = _without(pieces, entry.start, entry.end)
            case _:
                pass
    return sorted(pieces)


def _without(pieces: Iterable[tuple[int, bytes]], start: int, end: int) -> list[tuple[int, bytes]]:
    kept = []
    for position, pcm in pieces:
        stop = position + len(pcm) // BYTES_PER_SAMPLE
        if position < start:
            kept.append(cut(position, pcm, position, min(stop, start)))
        if stop > end:
            kept.append(cut(position, pcm, max(position, end), stop))
    return kept


def compressed(orders: Iterable[WriteCommand], dropped: dict[str, Ranges]) -> list[WriteCommand]:
    """The same, bounded: no audio (it goes to `dropped`), no texts (they were told as not durable)."""
    kept: list[WriteCommand] = []
    segment: PutSegment | None = None
    answered: dict[str, Ranges] = defaultdict(Ranges)
    for order in orders:
        match order:
            case PutAudio():
                dropped[order.run].add(order.position, order.end)
            case CommitRecord():
                answered[order.entry.run].add(order.entry.start, order.entry.end)
            case ReleaseAudio():
                answered[order.run].add(order.start, order.end)
            case PutSegment():
                segment = order
            case BeginRun() | PutAnchor():
                kept.append(order)
            case PutBoot():
                kept = [*(each for each in kept if not isinstance(each, PutBoot)), order]
            case MarkDelivered():
                pass  # it is asked again whether it has them
    if segment:
        kept.append(segment)
    for run, ranges in answered.items():
        for start, end in ranges:
            dropped[run].remove(start, end)
            kept.append(ReleaseAudio(run, start, end))
    return kept
