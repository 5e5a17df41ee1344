"""What was there before: two databases after a stop, a crash or a power cut, made one again.

Each step can be cut short anywhere and is done again at the next start. What a record in an outbox covers is answered,
wherever its audio still lies; what lies in both databases stays on disk; a segment that was cut ends with its audio.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from edged.model.ranges import Ranges
from edged.model.record import UNREADABLE, Record, decode
from edged.spool.audio_table import StoredSegment
from edged.spool.capture_time import Anchor, Boot, PositionClock, age_s, later
from edged.spool.model import MAX_POSITION, RecoveredState, RunBacklog, RunInfo, StoredRange, UndeliveredRecord
from edged.spool.outbox_table import OutboxEntry
from edged.spool.store import Store


def resolve(stores: Sequence[Store], alive: str | None = None) -> None:
    """Make them agree; of several the last is the one that keeps what lies in more. Segments of run `alive` stay."""
    _close_segments(stores, alive)
    _drop_answered(stores)
    _drop_doubles(stores)


def _close_segments(stores: Sequence[Store], alive: str | None) -> None:
    audio: dict[str, Ranges] = defaultdict(Ranges)
    for store in stores:
        for run in list(store.audio.samples_by_run):
            for start, end in store.audio.ranges(run):
                audio[run].add(start, end)
    closed: dict[tuple[str, int], StoredSegment] = {}
    following: dict[tuple[str, int], int] = {}
    stored = {segment for store in stores for segment in store.audio.list_segments()}
    for segment in sorted(stored, key=lambda segment: segment[:2]):
        key = segment.run, segment.start
        if segment.end is not None:
            closed[key] = segment
        following[key] = MAX_POSITION
    keys = sorted(following)
    for key, after in pairwise(keys):
        if key[0] == after[0]:
            following[key] = after[1]
    for store in stores:
        ended = []
        for segment in store.audio.list_segments():
            if segment.end is None and segment.run != alive:
                key = segment.run, segment.start
                heard = audio[segment.run].within(segment.start, following[key])
                last = heard[-1][1] if heard else segment.start
                ended.append(closed.get(key) or segment._replace(end=last))
        strays = []
        for run in list(store.audio.samples_by_run):
            covered = Ranges((s.start, s.end or MAX_POSITION) for s in store.audio.list_segments(run))
            for start, end in Ranges(store.audio.ranges(run)):
                strays += [StoredSegment(run, a, b, a, False) for a, b in covered.gaps(start, end) if run != alive]
        if ended or strays:
            with store.transaction():
                for segment in ended + strays:
                    store.audio.put_segment(segment)


def _drop_answered(stores: Sequence[Store]) -> None:
    answered = [(entry.run, entry.start, entry.end) for store in stores for entry in store.outbox.list_entries()]
    for store in stores:
        here = [(run, start, end) for run, start, end in answered if store.audio.ranges(run, start, end)]
        if here:
            with store.transaction():
                for run, start, end in here:
                    store.audio.release(run, start, end)


def _drop_doubles(stores: Sequence[Store]) -> None:
    *others, last = stores
    for store in others:
        with store.transaction():
            for run in list(store.audio.samples_by_run):
                if last.audio.samples_by_run[run]:
                    for start, end in Ranges(last.audio.ranges(run)):
                        store.audio.release(run, start, end)
            store.outbox.delete_entries(list(last.outbox.stored_ids(entry.id for entry in store.outbox.list_entries())))


def recovered(stores: Sequence[Store], sinks: Sequence[str], here: Boot, now_s: float) -> RecoveredState:
    """What they hold, after `resolve`."""
    marks: dict[str, set[str]] = defaultdict(set)
    for store in stores:
        for id_, sink in store.outbox.list_marks():
            marks[id_].add(sink)
    pending, kept, unreadable = [], [], 0
    for entry in in_order([entry for store in stores for entry in store.outbox.list_entries()], here):
        record = _record(entry)
        if record is None:
            unreadable += 1
            continue
        lacking = lacks(entry, marks[entry.id], sinks)
        if lacking:
            pending.append(UndeliveredRecord(record, lacking))
        else:
            kept.append(record)
    waiting = tuple(backlogs(stores, here, now_s))
    runs, boots = known_runs(stores), known_boots(stores, here)
    return RecoveredState(here.boot_id, tuple(pending), tuple(kept), waiting, unreadable, runs, boots)


def in_order(entries: Sequence[OutboxEntry], here: Boot) -> list[OutboxEntry]:
    """By their commit: those of earlier boots first."""
    return sorted(entries, key=lambda entry: (entry.boot_id == here.boot_id, entry.committed_s))


def lacks(entry: OutboxEntry, marked: set[str], sinks: Sequence[str]) -> tuple[str, ...]:
    """Which of the present sinks are to get it still. What none of its own sinks ever got is for all there are now."""
    own = set(entry.sinks.split(","))
    wanted = [sink for sink in sinks if sink in own] if marked or own & set(sinks) else list(sinks)
    return tuple(sink for sink in wanted if sink not in marked)


def _record(entry: OutboxEntry) -> Record | None:
    try:
        return decode(entry.record)
    except UNREADABLE:  # of another version: counted, and it stays for `keep_s`
        return None


def backlogs(stores: Sequence[Store], here: Boot, now_s: float) -> list[RunBacklog]:
    """What waits, by run, the oldest first. Reading only; in the order runtime, disk, so that nothing is missed that
    is moved meanwhile."""
    boots = known_boots(stores, here)
    here = boots[here.boot_id]
    found = []
    for run in known_runs(stores).values():
        waiting, voiced, anchors, segments = Ranges(), Ranges(), set[Anchor](), dict[int, StoredSegment]()
        for store in stores:
            if not store.audio.samples_by_run[run.run]:
                continue
            for start, end in store.audio.ranges(run.run):
                waiting.add(start, end)
            for start, end in store.audio.voiced_ranges(run.run):
                voiced.add(start, end)
            own = store.audio.list_segments(run.run)
            segments |= {s.start: s for s in own if s.end is not None or s.start not in segments}
        if not waiting:
            continue
        for store in stores:
            anchors |= set(store.runs.list_anchors(run.run))
        stretches = [
            StoredRange(start, end, segment.chain, segment.continues, tuple(voiced.within(start, end)))
            for segment, upto in _with_ends(segments)
            for start, end in waiting.within(segment.start, upto)
        ]
        boot = boots.get(run.boot_id)
        backlog = RunBacklog(run, tuple(stretches), tuple(sorted(anchors)), boot, 0.0)
        found.append(replace(backlog, age_s=age_s(backlog.line.at_s(waiting.first or 0), boot, here, now_s)))
    return found


def known_runs(stores: Sequence[Store]) -> dict[str, RunInfo]:
    """By name, the oldest first; as the first of the stores has them, where the latest is told."""
    runs: dict[str, RunInfo] = {}
    for store in reversed(stores):  # runs that are on disk began before those that are not
        runs |= {run.run: run for run in store.runs.list_runs()}
    return runs


def known_boots(stores: Sequence[Store], here: Boot) -> dict[str, Boot]:
    """All that is known of boots, this one included."""
    boots: dict[str, Boot] = {}
    for boot in [*(boot for store in reversed(stores) for boot in store.runs.boots_by_id().values()), here]:
        boots[boot.boot_id] = later(boots.get(boot.boot_id), boot)
    return boots


def _with_ends(segments: dict[int, StoredSegment]) -> list[tuple[StoredSegment, int]]:
    """In order, and where each ends: at the next at the latest, as one does that is open."""
    ordered = [segments[start] for start in sorted(segments)]
    nexts = [*(segment.start for segment in ordered[1:]), MAX_POSITION]
    return [(each, min(each.end or MAX_POSITION, after)) for each, after in zip(ordered, nexts, strict=True)]


def line_of(run: RunInfo, anchors: Sequence[Anchor]) -> PositionClock:
    """See `Backlog.line`."""
    return PositionClock(anchors or (Anchor(0, run.started_s),), run.rate)
