"""Both databases together: what is written where, in an order that makes a crash between any two steps harmless.

- New data goes to the runtime database. What stays there too long moves: it is copied to disk, committed, and deleted.
- A record and the release of its audio are one transaction. If any of that audio is on disk, the transaction is on
  disk, and the runtime database's part of the audio is deleted after it. A crash in between is harmless, since
  `consolidation` deletes the audio that a stored record covers.
- Released audio (silence, evicted) is deleted from the runtime database at once, and from the disk with the next write
  there. After a crash before that, silence is recognized once more, which gives no words.
- While the disk fails, a record goes to the runtime database, and stays there until its audio on disk is deleted.

Contains no thread and no clock. Not thread-safe. Raises SpoolDatabaseError.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.spool.audio_table import AudioRow, StoredSegment
from edged.spool.capture_time import Boot, age_s
from edged.spool.database import SpoolDatabaseError
from edged.spool.integrity import MAX_ROW_SAMPLES
from edged.spool.model import MAX_POSITION, Bound, RunInfo, SpeechEvicted
from edged.spool.outbox_table import OutboxEntry
from edged.spool.store import Store, read_all
from edged.spool.stored_state import make_position_clock, read_boots

MAX_MOVED_ROWS: Final = 160
"""Number of rows moved at a time: 16 s of speech in blocks of 100 ms. A transaction takes far less than a second."""

MIN_OFFSET_CHANGE_S: Final = 0.005
"""A smaller change of a boot's offset is not worth a write to disk: word times are good to 10 ms."""

MAX_EVICTED_ROWS: Final = 32
"""Number of rows evicted at a time: half a minute of speech."""


class TieredStore:
    """The stores of both tiers. A store that can't be used now is None; all operations need the runtime store."""

    def __init__(self) -> None:
        self.runtime_or_none: Store | None = None
        self.disk: Store | None = None
        self.run: RunInfo | None = None
        """The live run."""
        self.is_full = False
        """Whether the runtime database has no room for audio."""
        self.disk_error: SpoolDatabaseError | None = None
        """Error of the disk that sent a record to the runtime database. The caller handles and clears it."""
        self.dropped_audio: dict[str, Ranges] = defaultdict(Ranges)
        """Audio that was not stored. The caller requests it again, and clears this."""
        self._runs_on_disk: set[str] | None = None
        """Runs that may have audio on disk; None if the disk was never read."""
        self._committed_on_disk: set[str] = set()
        """Ids of records of the current transaction that are committed on disk already."""
        self._pending_releases: dict[str, Ranges] = defaultdict(Ranges)
        """Ranges that were released and may still be on disk, by run."""
        self._pending_segment_ends: dict[tuple[str, int], StoredSegment] = {}
        """Segments that ended after they were copied to disk."""
        self._open_on_disk: set[tuple[str, int]] = set()

    @property
    def stores(self) -> list[Store]:
        """The stores that can be used, the runtime store first."""
        return [store for store in (self.runtime_or_none, self.disk) if store]

    @property
    def runtime(self) -> Store:
        """The runtime store. Raises RuntimeError while it can't be used."""
        if self.runtime_or_none is None:
            raise RuntimeError("the runtime database can't be used")
        return self.runtime_or_none

    @property
    def has_pending_disk_writes(self) -> bool:
        """Whether releases or ends of segments still have to be written to disk."""
        return bool(self._pending_segment_ends or any(self._pending_releases.values()))

    def may_be_on_disk(self, run: str) -> bool:
        """Return whether audio of a run may be on disk, even if the disk can't be read now."""
        if self.disk:
            return self.disk.audio.samples_by_run[run] > 0
        if self._runs_on_disk is None:
            return self.run is None or run != self.run.run
        return run in self._runs_on_disk

    def use_disk(self, disk: Store) -> None:
        """Use this store as the one on disk from now on."""
        self.disk = disk
        self._runs_on_disk = set(disk.audio.samples_by_run)

    def note_commit(self) -> None:
        """Note that a transaction of the runtime database is committed, so that it is not repeated."""
        self._committed_on_disk.clear()

    def put_audio(self, run: str, position: int, pcm: bytes, voiced: Sequence[Range], now_s: float) -> None:
        """Store at most `MAX_ROW_SAMPLES` samples, within a transaction of the runtime database."""
        end = position + len(pcm) // BYTES_PER_SAMPLE
        if self.is_full:
            self.dropped_audio[run].add(position, end)
        else:
            self._pending_releases[run].remove(position, end)
            moved = self._ranges_on_disk(run, position, end)
            self.runtime.audio.put_audio(run, position, pcm, voiced, now_s, moved)

    def put_segment(self, segment: StoredSegment) -> None:
        """Store that a segment begins or ends, within a transaction of the runtime database."""
        self.runtime.audio.put_segment(segment)
        key = segment.run, segment.start
        if segment.end is not None and key in self._open_on_disk:
            self._open_on_disk.discard(key)
            self._pending_segment_ends[key] = segment

    def commit_record(self, entry: OutboxEntry) -> None:
        """Store a record and delete its audio, within a transaction of the runtime database."""
        run, start, end = entry.run, entry.start, entry.end
        try:
            if self.disk and self._ranges_on_disk(run, start, end):
                with self.disk.transaction():
                    self.disk.outbox.put_entry(entry)
                    self.disk.audio.release(run, start, end)
                self._committed_on_disk.add(entry.id)
        except SpoolDatabaseError as error:
            self.disk_error, self.disk = error, None
        if entry.id not in self._committed_on_disk:
            self.runtime.outbox.put_entry(entry)
        self.release_audio(run, start, end)

    def release_audio(self, run: str, start: int, end: int) -> None:
        """Delete audio that needs no transcript any more, within a transaction of the runtime database."""
        self.runtime.audio.release(run, start, end)
        if self.may_be_on_disk(run):
            self._pending_releases[run].add(start, end)

    def load_audio(self, run: str, start: int, end: int, runtime_or_none: Store) -> list[tuple[int, bytes]]:
        """Return the audio in `[start, end)` from both stores, in order, in pieces of 1 s at most.

        `runtime` is the runtime store, which may be one that can only be read now.
        """
        stores = [runtime_or_none, self.disk] if self.disk else [runtime_or_none]
        return read_all(stores, run, start, end, self._pending_releases.get(run, ()))

    def _ranges_on_disk(self, run: str, start: int, end: int) -> list[Range]:
        disk = self.disk
        return disk.audio.ranges(run, start, end) if disk and disk.audio.samples_by_run[run] > 0 else []

    # -- to the disk --------------------------------------------------------------------------------------------------

    def move_to_disk(self, now_s: float, *, audio_before_s: float, records_before_s: float, all_records: bool) -> bool:
        """Move some audio and records to disk that were stored before these times, and write what is pending there.

        Of the records, those that a sink lacks move, or all. Returns whether there may be more to move.
        """
        runtime, disk = self.runtime, self.disk
        if disk is None:
            return False
        pieces = runtime.audio.oldest_rows(audio_before_s, now_s, MAX_MOVED_ROWS)
        entries = runtime.outbox.list_entries(undone_only=not all_records, committed_before_s=records_before_s)
        entries = entries[:MAX_MOVED_ROWS]
        ids = {entry.id for entry in entries}
        orphaned_marks = runtime.outbox.list_marks(orphaned=True)
        marks = [mark for mark in runtime.outbox.list_marks() if mark[0] in ids] if ids else []
        boots, releases = self._better_boots(runtime, disk), self._releases_on_disk(disk)
        if not (pieces or entries or orphaned_marks or self._pending_segment_ends or boots or releases):
            self._pending_releases.clear()
            return False
        opened: set[tuple[str, int]] = set()
        with disk.transaction():
            for run, start, end in releases:
                disk.audio.release(run, start, end)
            for boot in boots:
                disk.runs.put_boot(boot)
            opened |= self._copy_audio(runtime, disk, pieces, now_s)
            for segment in self._pending_segment_ends.values():
                disk.audio.put_segment(segment)
            for entry in entries:
                disk.outbox.put_entry(entry._replace(done=False))
            known = disk.outbox.stored_ids({mark[0] for mark in orphaned_marks})
            disk.outbox.put_marks([*marks, *(mark for mark in orphaned_marks if mark[0] in known)])
            for entry in entries:
                if entry.done:
                    disk.outbox.mark_done(entry.id)
        self._pending_releases.clear()
        self._pending_segment_ends.clear()
        self._open_on_disk |= opened
        self._runs_on_disk = set(disk.audio.samples_by_run)
        with runtime.transaction():
            runtime.audio.delete_rows(pieces)
            runtime.outbox.delete_entries(list(ids))
            runtime.outbox.delete_marks([*marks, *orphaned_marks])
        self.is_full = False
        return len(pieces) == MAX_MOVED_ROWS or len(entries) == MAX_MOVED_ROWS

    def _releases_on_disk(self, disk: Store) -> list[tuple[str, int, int]]:
        """Return the pending releases of audio that is on disk."""
        return [
            (run, start, end)
            for run, ranges in self._pending_releases.items()
            if disk.audio.samples_by_run[run]
            for start, end in ranges
            if disk.audio.ranges(run, start, end)
        ]

    def _better_boots(self, runtime: Store, disk: Store) -> list[Boot]:
        """Return better offsets of boots that the disk has stored."""
        known = disk.runs.boots_by_id() if disk.audio.samples_by_run else {}
        boots = runtime.runs.boots_by_id().values()
        return [boot for boot in boots if boot.boot_id in known and _is_better(boot, known[boot.boot_id])]

    def _copy_audio(
        self, runtime: Store, disk: Store, pieces: Sequence[AudioRow], now_s: float
    ) -> set[tuple[str, int]]:
        """Copy audio with its runs, boots, anchors and segments; returns the segments that are open on disk now."""
        opened = set()
        concerned = {piece.run for piece in pieces}
        boots = runtime.runs.boots_by_id()
        runs = {run.run: run for run in runtime.runs.list_runs() if run.run in concerned}
        for run in runs.values():
            disk.runs.put_run(run)
            if run.boot_id in boots:
                disk.runs.put_boot(boots[run.boot_id])
            disk.runs.put_anchors(run.run, runtime.runs.list_anchors(run.run))
        for piece in _join_neighbours(pieces, {name: run.rate for name, run in runs.items()}):
            disk.audio.put_audio(piece.run, piece.position, piece.pcm, piece.voiced, now_s)
        segments = {
            segment for piece in pieces if (segment := runtime.audio.segment_at(piece.run, piece.position)) is not None
        }
        for segment in segments:
            disk.audio.put_segment(segment)  # after its audio: a closed segment without audio would be deleted
            if segment.end is None:
                opened.add((segment.run, segment.start))
        return opened

    # -- bounds -------------------------------------------------------------------------------------------------------

    def evict_by_size(self, most_bytes: float) -> list[SpeechEvicted]:
        """Evict some of the oldest speech if the disk's database is larger than `most_bytes`."""
        disk = self.disk
        if disk is None or disk.database.used_bytes() <= most_bytes or not disk.audio.samples_by_run:
            return []
        run = next((run for run in disk.runs.list_runs() if disk.audio.samples_by_run[run.run]), None)
        if run is None:
            return []
        rows = disk.audio.ranges(run.run, limit=MAX_EVICTED_ROWS)
        return self._evict(run, rows, "max_mb") if rows else []

    def evict_by_age(self, most_s: float, this_boot: Boot, now_s: float) -> list[SpeechEvicted]:
        """Evict some of the speech that is provably older than `most_s`."""
        boots = read_boots(self.stores, this_boot)
        for store in reversed(self.stores):
            for run in store.runs.list_runs():
                if not store.audio.samples_by_run[run.run]:
                    continue
                clock = make_position_clock(run, store.runs.list_anchors(run.run))
                boot = boots.get(run.boot_id)
                old = []
                for start, end in store.audio.ranges(run.run, limit=MAX_EVICTED_ROWS):
                    if age_s(clock.at_s(end), boot, boots[this_boot.boot_id], now_s) <= most_s:
                        break
                    old.append((start, end))
                if old:
                    return self._evict(run, old, "max_age_h")
        return []

    def _evict(self, run: RunInfo, rows: Sequence[Range], bound: Bound) -> list[SpeechEvicted]:
        released = 0
        start, end = rows[0][0], rows[-1][1]
        for store in self.stores:
            with store.transaction():
                released += store.audio.release(run.run, start, end)
        return [SpeechEvicted(run.run, start, end, released / run.rate, bound)]

    # -- housekeeping -------------------------------------------------------------------------------------------------

    def prune(self, this_boot: str, keep_s: float, keep_bytes: int, now_s: float) -> None:
        """Delete delivered records that are older than `keep_s` or exceed `keep_bytes`.

        Runs, anchors and boots without audio go, too.
        """
        if self.has_pending_disk_writes:
            return  # a pending release may depend on a record
        for store in self.stores:
            old = store.outbox.expired_ids(this_boot, keep_s, now_s)
            audio_bytes = sum(store.audio.samples_by_run.values()) * BYTES_PER_SAMPLE
            if store.database.used_bytes() - audio_bytes > keep_bytes:  # otherwise none is read
                old += store.outbox.excess_ids(keep_bytes)
            live = self.run.run if self.run else ""
            with_audio = store.audio.samples_by_run
            idle = [run.run for run in store.runs.list_runs() if not with_audio[run.run] and run.run != live]
            anchors = [(run, len(store.runs.list_anchors(run))) for run in (*with_audio, live)]
            if not old and not idle and all(count < 2 for _, count in anchors):
                continue
            with store.transaction():
                store.outbox.delete_marks_by_id(old)
                store.outbox.delete_entries(old)
                for run in idle:
                    store.runs.delete_run(run)
                for run, _ in anchors:
                    ranges = store.audio.ranges(run, limit=1)
                    store.runs.delete_anchors_before(run, ranges[0][0] if ranges else MAX_POSITION)
                store.runs.delete_unused_boots(this_boot)


def _is_better(boot: Boot, known: Boot) -> bool:
    if boot.synchronized != known.synchronized:
        return boot.synchronized
    return abs(boot.wall_offset_s - known.wall_offset_s) > MIN_OFFSET_CHANGE_S


def _join_neighbours(pieces: Sequence[AudioRow], rates: dict[str, int]) -> Iterator[AudioRow]:
    """Join neighbours to rows of 1 s: on disk each row costs the rest of a page and an index entry."""
    row: list[AudioRow] = []
    for piece in sorted(pieces, key=lambda piece: (piece.run, piece.position)):
        most = rates.get(piece.run, MAX_ROW_SAMPLES)
        if row and (row[-1].run, row[-1].end) == (piece.run, piece.position) and piece.end - row[0].position <= most:
            row.append(piece)
            continue
        if row:
            yield _join_rows(row)
        row = [piece]
    if row:
        yield _join_rows(row)


def _join_rows(row: Sequence[AudioRow]) -> AudioRow:
    voiced = tuple(range_ for piece in row for range_ in piece.voiced)
    return row[0]._replace(end=row[-1].end, voiced=voiced, pcm=b"".join(piece.pcm for piece in row))
