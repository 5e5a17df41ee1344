"""What the databases hold, as values: records for the sinks, backlogs by run, runs and boots.

Reads only. The stores are given in the order runtime, disk, so that nothing is missed that moves meanwhile.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from edged.model.ranges import Ranges
from edged.model.record import UNREADABLE, Record, decode
from edged.spool.audio_table import StoredSegment
from edged.spool.capture_time import Anchor, Boot, PositionClock, age_s, later
from edged.spool.model import MAX_POSITION, RecoveredState, RunBacklog, RunInfo, StoredRange, UndeliveredRecord
from edged.spool.outbox_table import OutboxEntry
from edged.spool.store import Store


def read_recovered_state(
    stores: Sequence[Store], sinks: Sequence[str], this_boot: Boot, now_s: float
) -> RecoveredState:
    """Return what consistent stores hold. Raises SpoolDatabaseError."""
    marks: dict[str, set[str]] = defaultdict(set)
    for store in stores:
        for id_, sink in store.outbox.list_marks():
            marks[id_].add(sink)
    undelivered, delivered, unreadable = [], [], 0
    entries = [entry for store in stores for entry in store.outbox.list_entries()]
    for entry in sort_by_commit(entries, this_boot):
        record = _decode_record(entry)
        if record is None:
            unreadable += 1
            continue
        missing_sinks = find_missing_sinks(entry, marks[entry.id], sinks)
        if missing_sinks:
            undelivered.append(UndeliveredRecord(record, missing_sinks))
        else:
            delivered.append(record)
    return RecoveredState(
        this_boot.boot_id,
        tuple(undelivered),
        tuple(delivered),
        tuple(read_backlogs(stores, this_boot, now_s)),
        unreadable,
        read_runs(stores),
        read_boots(stores, this_boot),
    )


def sort_by_commit(entries: Sequence[OutboxEntry], this_boot: Boot) -> list[OutboxEntry]:
    """Return records in the order of their commit, those of earlier boots first."""
    return sorted(entries, key=lambda entry: (entry.boot_id == this_boot.boot_id, entry.committed_s))


def find_missing_sinks(entry: OutboxEntry, sinks_with_it: set[str], sinks: Sequence[str]) -> tuple[str, ...]:
    """Return the present sinks that still have to get a record.

    A record whose own sinks all left the configuration before any had it goes to all present sinks.
    """
    own = set(entry.sinks.split(","))
    wanted = [sink for sink in sinks if sink in own] if sinks_with_it or own & set(sinks) else list(sinks)
    return tuple(sink for sink in wanted if sink not in sinks_with_it)


def _decode_record(entry: OutboxEntry) -> Record | None:
    try:
        return decode(entry.record)
    except UNREADABLE:  # another version's: it is counted, and stays as long as any other
        return None


def read_backlogs(stores: Sequence[Store], this_boot: Boot, now_s: float) -> list[RunBacklog]:
    """Return the audio without a transcript by run, the oldest run first. Raises SpoolDatabaseError."""
    boots = read_boots(stores, this_boot)
    this_boot = boots[this_boot.boot_id]
    found = []
    for run in read_runs(stores).values():
        ranges = _read_ranges(stores, run.run)
        if not ranges:
            continue
        anchors = {anchor for store in stores for anchor in store.runs.list_anchors(run.run)}
        boot = boots.get(run.boot_id)
        backlog = RunBacklog(run, ranges, tuple(sorted(anchors)), boot, 0.0)
        age = age_s(backlog.clock.at_s(ranges[0].start), boot, this_boot, now_s)
        found.append(replace(backlog, age_s=age))
    return found


def _read_ranges(stores: Sequence[Store], run: str) -> tuple[StoredRange, ...]:
    """Return the stored audio of a run, cut where segments begin, with what the gate heard as voice in it."""
    audio, voiced, segments = Ranges(), Ranges(), dict[int, StoredSegment]()
    for store in stores:
        if not store.audio.samples_by_run[run]:
            continue
        for start, end in store.audio.ranges(run):
            audio.add(start, end)
        for start, end in store.audio.voiced_ranges(run):
            voiced.add(start, end)
        own = store.audio.list_segments(run)
        segments |= {s.start: s for s in own if s.end is not None or s.start not in segments}
    if not audio:
        return ()
    return tuple(
        StoredRange(start, end, segment.chain, segment.continues, tuple(voiced.within(start, end)))
        for segment, segment_end in _with_ends(segments)
        for start, end in audio.within(segment.start, segment_end)
    )


def _with_ends(segments: dict[int, StoredSegment]) -> list[tuple[StoredSegment, int]]:
    """Return segments in order with their ends. A segment ends where the next begins at the latest."""
    ordered = [segments[start] for start in sorted(segments)]
    next_starts = [*(segment.start for segment in ordered[1:]), MAX_POSITION]
    return [
        (segment, min(segment.end or MAX_POSITION, next_start))
        for segment, next_start in zip(ordered, next_starts, strict=True)
    ]


def read_runs(stores: Sequence[Store]) -> dict[str, RunInfo]:
    """Return all stored runs by name, the oldest first. The runtime database has the latest device of a run."""
    runs: dict[str, RunInfo] = {}
    for store in reversed(stores):  # runs on disk began before those that are in memory only
        runs |= {run.run: run for run in store.runs.list_runs()}
    return runs


def read_boots(stores: Sequence[Store], this_boot: Boot) -> dict[str, Boot]:
    """Return all stored boots by id, and this boot."""
    boots: dict[str, Boot] = {}
    for boot in [*(boot for store in reversed(stores) for boot in store.runs.boots_by_id().values()), this_boot]:
        boots[boot.boot_id] = later(boots.get(boot.boot_id), boot)
    return boots


def make_position_clock(run: RunInfo, anchors: Sequence[Anchor]) -> PositionClock:
    """Return the clock of a run. Without anchors, the start of the run dates its first sample."""
    return PositionClock(anchors or (Anchor(0, run.started_s),), run.rate)
