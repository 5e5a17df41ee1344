"""The two databases together: what goes where, in which order, so that a crash between any two steps is harmless.

- Everything new goes to the runtime database; what waits there too long is moved: copied to disk, committed, deleted.
- A record and the release of its audio are one transaction. If any of that audio is on disk, it is one on disk, and
  the runtime database's share is deleted after it: what a record in an outbox covers is answered (see `recovery`).
- Released audio (silence, evicted) is deleted from the runtime database at once and from the disk with the next thing
  that is written there. A crash before that has silence recognised once more, which gives no words.
- While the disk fails, a record goes to the runtime database, and stays there until the disk's share is deleted.

Knows no thread and no clock; not for two threads at a time. Raises `Failed`.
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
from edged.spool.recovery import known_boots, line_of
from edged.spool.store import Store, read_all

MOST_ROWS: Final = 160
"""Moved at a time: 16 s of speech in blocks of 100 ms, half a megabyte. A transaction stays far under a second."""

BETTER_S: Final = 0.005
"""A change of a boot's offset under this is not worth a write to the disk: word times are good to 10 ms."""

EVICTED_ROWS: Final = 32
"""At a time: half a minute of speech."""


class TieredStore:
    """Both databases; one that can't be used now is None. Without the runtime one nothing here works."""

    def __init__(self) -> None:
        self.memory: Store | None = None
        self.disk: Store | None = None
        self.run: RunInfo | None = None
        """The one that lives."""
        self.full = False
        """Audio has no room here."""
        self.failed: SpoolDatabaseError | None = None
        """What the disk said while a record went past it; for the caller to take."""
        self.dropped: dict[str, Ranges] = defaultdict(Ranges)
        """Audio that was not taken; for the caller to take."""
        self._disk_runs: set[str] | None = None
        """Runs that may have audio on disk; None: it was never read."""
        self._stored: set[str] = set()
        """Records of this transaction that are on disk already."""
        self._owed: dict[str, Ranges] = defaultdict(Ranges)
        """Released, and perhaps still on disk."""
        self._ends: dict[tuple[str, int], StoredSegment] = {}
        """Segments that ended since they were copied to disk."""
        self._open_on_disk: set[tuple[str, int]] = set()

    @property
    def stores(self) -> list[Store]:
        """Those that can be used, runtime first."""
        return [store for store in (self.memory, self.disk) if store]

    @property
    def runtime(self) -> Store:
        """Raises RuntimeError while it can't be used."""
        if self.memory is None:
            raise RuntimeError("the runtime database can't be used")
        return self.memory

    @property
    def indebted(self) -> bool:
        """Something is to be told to the disk, apart from what is to be moved there."""
        return bool(self._ends or any(self._owed.values()))

    def may_be_on_disk(self, run: str) -> bool:
        """Whether audio of this run may lie there, even where it can't be looked at."""
        if self.disk:
            return self.disk.audio.samples_by_run[run] > 0
        if self._disk_runs is None:
            return self.run is None or run != self.run.run
        return run in self._disk_runs

    def use_disk(self, disk: Store) -> None:
        """From now on."""
        self.disk = disk
        self._disk_runs = set(disk.audio.samples_by_run)

    def begun(self) -> None:
        """A transaction of the runtime database is committed: none of it will be repeated."""
        self._stored.clear()

    def audio(self, run: str, position: int, pcm: bytes, voiced: Sequence[Range], now_s: float) -> None:
        """At most `MAX_ROW_SAMPLES` samples, within a transaction of the runtime database."""
        end = position + len(pcm) // BYTES_PER_SAMPLE
        if self.full:
            self.dropped[run].add(position, end)
        else:
            self._owed[run].remove(position, end)
            moved = self._ranges_on_disk(run, position, end)
            self.runtime.audio.put_audio(run, position, pcm, voiced, now_s, moved)

    def segment(self, segment: StoredSegment) -> None:
        """One begins or ends, within a transaction of the runtime database."""
        self.runtime.audio.put_segment(segment)
        key = segment.run, segment.start
        if segment.end is not None and key in self._open_on_disk:
            self._open_on_disk.discard(key)
            self._ends[key] = segment

    def commit(self, entry: OutboxEntry) -> None:
        """A record comes in and its audio goes out, within a transaction of the runtime database."""
        run, start, end = entry.run, entry.start, entry.end
        try:
            if self.disk and self._ranges_on_disk(run, start, end):
                with self.disk.transaction():
                    self.disk.outbox.put_entry(entry)
                    self.disk.audio.release(run, start, end)
                self._stored.add(entry.id)
        except SpoolDatabaseError as error:
            self.failed, self.disk = error, None
        if entry.id not in self._stored:
            self.runtime.outbox.put_entry(entry)
        self.release(run, start, end)

    def release(self, run: str, start: int, end: int) -> None:
        """Within a transaction of the runtime database."""
        self.runtime.audio.release(run, start, end)
        if self.may_be_on_disk(run):
            self._owed[run].add(start, end)

    def load(self, run: str, start: int, end: int, memory: Store) -> list[tuple[int, bytes]]:
        """What waits of `[start, end)`, in order, in pieces of 1 s at most, from wherever it lies.

        `memory`: the runtime database, which may be one that can only be read now.
        """
        stores = [memory, self.disk] if self.disk else [memory]
        return read_all(stores, run, start, end, self._owed.get(run, ()))

    def _ranges_on_disk(self, run: str, start: int, end: int) -> list[Range]:
        disk = self.disk
        return disk.audio.ranges(run, start, end) if disk and disk.audio.samples_by_run[run] > 0 else []

    # -- to the disk --------------------------------------------------------------------------------------------------

    def move(self, now_s: float, *, audio_before_s: float, records_before_s: float, all_records: bool) -> bool:
        """Take to the disk what came before these times, some of it; of the records those that a sink lacks, or all.

        Pays what is owed to the disk, too. Returns whether there may be more to move.
        """
        runtime, disk = self.runtime, self.disk
        if disk is None:
            return False
        pieces = runtime.audio.oldest_rows(audio_before_s, now_s, MOST_ROWS)
        entries = runtime.outbox.list_entries(undone_only=not all_records, committed_before_s=records_before_s)
        entries = entries[:MOST_ROWS]
        ids = {entry.id for entry in entries}
        strays = runtime.outbox.list_marks(orphaned=True)
        marks = [mark for mark in runtime.outbox.list_marks() if mark[0] in ids] if ids else []
        boots, debts = self._news(runtime, disk), self._debts(disk)
        if not (pieces or entries or strays or self._ends or boots or debts):
            self._owed.clear()
            return False
        opened: set[tuple[str, int]] = set()
        with disk.transaction():
            for run, start, end in debts:
                disk.audio.release(run, start, end)
            for boot in boots:
                disk.runs.put_boot(boot)
            opened |= self._copy_audio(runtime, disk, pieces, now_s)
            for segment in self._ends.values():
                disk.audio.put_segment(segment)
            for entry in entries:
                disk.outbox.put_entry(entry._replace(done=False))
            known = disk.outbox.stored_ids({mark[0] for mark in strays})
            disk.outbox.put_marks([*marks, *(mark for mark in strays if mark[0] in known)])
            for entry in entries:
                if entry.done:
                    disk.outbox.mark_done(entry.id)
        self._owed.clear()
        self._ends.clear()
        self._open_on_disk |= opened
        self._disk_runs = set(disk.audio.samples_by_run)
        with runtime.transaction():
            runtime.audio.delete_rows(pieces)
            runtime.outbox.delete_entries(list(ids))
            runtime.outbox.delete_marks([*marks, *strays])
        self.full = False
        return len(pieces) == MOST_ROWS or len(entries) == MOST_ROWS

    def _debts(self, disk: Store) -> list[tuple[str, int, int]]:
        """Owed releases that concern audio which is there."""
        return [
            (run, start, end)
            for run, ranges in self._owed.items()
            if disk.audio.samples_by_run[run]
            for start, end in ranges
            if disk.audio.ranges(run, start, end)
        ]

    def _news(self, runtime: Store, disk: Store) -> list[Boot]:
        """Better offsets of boots that the disk has audio of."""
        known = disk.runs.boots_by_id() if disk.audio.samples_by_run else {}
        boots = runtime.runs.boots_by_id().values()
        return [boot for boot in boots if boot.boot_id in known and _is_better(boot, known[boot.boot_id])]

    def _copy_audio(
        self, runtime: Store, disk: Store, pieces: Sequence[AudioRow], now_s: float
    ) -> set[tuple[str, int]]:
        """Returns which segments are open there now."""
        opened = set()
        concerned = {piece.run for piece in pieces}
        boots = runtime.runs.boots_by_id()
        runs = {run.run: run for run in runtime.runs.list_runs() if run.run in concerned}
        for run in runs.values():
            disk.runs.put_run(run)
            if run.boot_id in boots:
                disk.runs.put_boot(boots[run.boot_id])
            disk.runs.put_anchors(run.run, runtime.runs.list_anchors(run.run))
        for piece in _joined(pieces, {name: run.rate for name, run in runs.items()}):
            disk.audio.put_audio(piece.run, piece.position, piece.pcm, piece.voiced, now_s)
        segments = {
            segment for piece in pieces if (segment := runtime.audio.segment_at(piece.run, piece.position)) is not None
        }
        for segment in segments:
            disk.audio.put_segment(segment)  # behind its audio: without any it would be tidied away
            if segment.end is None:
                opened.add((segment.run, segment.start))
        return opened

    # -- bounds -------------------------------------------------------------------------------------------------------

    def evict_size(self, most_bytes: float) -> list[SpeechEvicted]:
        """Let the oldest speech on disk go while it takes more than that; some of it."""
        disk = self.disk
        if disk is None or disk.database.used_bytes() <= most_bytes or not disk.audio.samples_by_run:
            return []
        run = next((run for run in disk.runs.list_runs() if disk.audio.samples_by_run[run.run]), None)
        if run is None:
            return []
        rows = disk.audio.ranges(run.run, limit=EVICTED_ROWS)
        return self._evict(run, rows, "max_mb") if rows else []

    def evict_age(self, most_s: float, here: Boot, now_s: float) -> list[SpeechEvicted]:
        """Let speech go that is older, as far as that can be proved; some of it."""
        boots = known_boots(self.stores, here)
        for store in reversed(self.stores):
            for run in store.runs.list_runs():
                if not store.audio.samples_by_run[run.run]:
                    continue
                line = line_of(run, store.runs.list_anchors(run.run))
                boot = boots.get(run.boot_id)
                old = []
                for start, end in store.audio.ranges(run.run, limit=EVICTED_ROWS):
                    if age_s(line.at_s(end), boot, boots[here.boot_id], now_s) <= most_s:
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

    def prune(self, here: str, keep_s: float, keep_bytes: int, now_s: float) -> None:
        """Forget records that were delivered `keep_s` ago, or exceed `keep_bytes`; and runs, anchors and boots of which
        nothing waits."""
        if self.indebted:
            return  # the records say what is answered
        for store in self.stores:
            old = store.outbox.expired_ids(here, keep_s, now_s)
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
                store.runs.delete_unused_boots(here)


def _is_better(boot: Boot, known: Boot) -> bool:
    if boot.synchronized != known.synchronized:
        return boot.synchronized
    return abs(boot.wall_offset_s - known.wall_offset_s) > BETTER_S


def _joined(pieces: Sequence[AudioRow], rates: dict[str, int]) -> Iterator[AudioRow]:
    """Neighbours as rows of 1 s: on disk each row costs the rest of a page and an entry in an index."""
    row: list[AudioRow] = []
    for piece in sorted(pieces, key=lambda piece: (piece.run, piece.position)):
        most = rates.get(piece.run, MAX_ROW_SAMPLES)
        if row and (row[-1].run, row[-1].end) == (piece.run, piece.position) and piece.end - row[0].position <= most:
            row.append(piece)
            continue
        if row:
            yield _join(row)
        row = [piece]
    if row:
        yield _join(row)


def _join(row: Sequence[AudioRow]) -> AudioRow:
    voiced = tuple(range_ for piece in row for range_ in piece.voiced)
    return row[0]._replace(end=row[-1].end, voiced=voiced, pcm=b"".join(piece.pcm for piece in row))
