"""Makes the databases of both tiers consistent after a stop, a crash or a power cut.

Each step can be interrupted anywhere, and the next start repeats it. Audio that a stored record covers is deleted,
in whichever database it lies. Of what lies in both databases, the copy on disk stays. A segment without an end gets
one behind its last audio.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from edged.model.ranges import Ranges
from edged.spool.audio_table import StoredSegment
from edged.spool.model import MAX_POSITION
from edged.spool.store import Store


def consolidate(stores: Sequence[Store], live_run: str | None = None) -> None:
    """Make the stores consistent. What lies in several stays in the last. Open segments of `live_run` stay open.

    Raises SpoolDatabaseError.
    """
    _close_segments(stores, live_run)
    _delete_recorded_audio(stores)
    _delete_duplicates(stores)


def _close_segments(stores: Sequence[Store], live_run: str | None) -> None:
    """Give open segments an end, and audio outside all segments a segment of its own, except in `live_run`."""
    audio = _all_audio(stores)
    stored = {segment for store in stores for segment in store.audio.list_segments()}
    ends = {(segment.run, segment.start): segment for segment in stored if segment.end is not None}
    next_starts = _next_starts(stored)
    for store in stores:
        closed: list[StoredSegment] = []
        for segment in store.audio.list_segments():
            if segment.end is None and segment.run != live_run:
                key = segment.run, segment.start
                pieces = audio[segment.run].within(segment.start, next_starts[key])
                last = pieces[-1][1] if pieces else segment.start
                closed.append(ends.get(key) or segment._replace(end=last))
        added = [segment for segment in _segments_of_uncovered_audio(store) if segment.run != live_run]
        if closed or added:
            with store.transaction():
                for segment in closed + added:
                    store.audio.put_segment(segment)


def _all_audio(stores: Sequence[Store]) -> dict[str, Ranges]:
    """Return where audio lies in any of the stores, by run."""
    audio: dict[str, Ranges] = defaultdict(Ranges)
    for store in stores:
        for run in list(store.audio.samples_by_run):
            for start, end in store.audio.ranges(run):
                audio[run].add(start, end)
    return audio


def _next_starts(segments: set[StoredSegment]) -> dict[tuple[str, int], int]:
    """Return where the following segment of the same run begins, by run and start of a segment."""
    starts = sorted({(segment.run, segment.start) for segment in segments})
    following = dict.fromkeys(starts, MAX_POSITION)
    for (run, start), (next_run, next_start) in pairwise(starts):
        if run == next_run:
            following[run, start] = next_start
    return following


def _segments_of_uncovered_audio(store: Store) -> list[StoredSegment]:
    """Return a closed segment for each piece of audio that no stored segment covers."""
    found = []
    for run in list(store.audio.samples_by_run):
        covered = Ranges((s.start, s.end or MAX_POSITION) for s in store.audio.list_segments(run))
        for start, end in Ranges(store.audio.ranges(run)):
            found += [StoredSegment(run, low, high, low, False) for low, high in covered.gaps(start, end)]
    return found


def _delete_recorded_audio(stores: Sequence[Store]) -> None:
    """Delete audio in the range of a stored record."""
    recorded = [(entry.run, entry.start, entry.end) for store in stores for entry in store.outbox.list_entries()]
    for store in stores:
        overlapping = [(run, start, end) for run, start, end in recorded if store.audio.ranges(run, start, end)]
        if overlapping:
            with store.transaction():
                for run, start, end in overlapping:
                    store.audio.release(run, start, end)


def _delete_duplicates(stores: Sequence[Store]) -> None:
    """Delete audio and records that the last store has, too, from the others."""
    *others, last = stores
    for store in others:
        with store.transaction():
            for run in list(store.audio.samples_by_run):
                if last.audio.samples_by_run[run]:
                    for start, end in Ranges(last.audio.ranges(run)):
                        store.audio.release(run, start, end)
            store.outbox.delete_entries(list(last.outbox.stored_ids(entry.id for entry in store.outbox.list_entries())))
