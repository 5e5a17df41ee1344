"""Audio and segments in one database.

Each operation can be repeated without harm. Operations that write belong in a transaction of the database.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.spool.database import Database
from edged.spool.integrity import MAX_ROW_SAMPLES
from edged.spool.model import MAX_POSITION

_INSERT_AUDIO: Final = 'INSERT INTO audio (run, position, "end", stored_s, voiced, pcm) VALUES (?, ?, ?, ?, ?, ?)'
_OVERLAPPING: Final = 'run = ? AND position > ? AND position < ? AND "end" > ?'
"""Condition of rows that overlap a range; `_overlap_values` returns its values."""

_DELETE_EMPTY_SEGMENTS: Final = (
    'DELETE FROM segments WHERE run = ? AND start <= ? AND "end" >= ? AND NOT EXISTS (SELECT 1 FROM audio'
    " WHERE audio.run = segments.run AND position > segments.start - ?"
    ' AND position < segments."end" AND audio."end" > segments.start)'
)

_RANGE: Final = struct.Struct("<II")


def _overlap_values(run: str, start: int, end: int) -> tuple[str, int, int, int]:
    return run, start - MAX_ROW_SAMPLES, end, start


class StoredSegment(NamedTuple):
    """A row of the table `segments`; `end` is None while the segment is open."""

    run: str
    start: int
    end: int | None
    chain: int
    continues: bool


class AudioRow(NamedTuple):
    """A row of the table `audio`: at most 1 s of audio, and the ranges in it in which the gate heard a voice."""

    id: int
    run: str
    position: int
    end: int
    voiced: tuple[Range, ...]
    pcm: bytes


class AudioTable:
    """The tables `segments` and `audio`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._samples_by_run = Counter[str]()
        self._counted_generation: int | None = None
        """Generation of the database that `_samples_by_run` belongs to; None before the first count."""

    # -- segments -----------------------------------------------------------------------------------------------------

    def put_segment(self, segment: StoredSegment) -> None:
        """Store the beginning or the end of a segment. A segment that has an end keeps it."""
        self._database.execute(
            'INSERT INTO segments (run, start, "end", chain, continues) VALUES (?, ?, ?, ?, ?)'
            ' ON CONFLICT DO UPDATE SET "end" = excluded."end", continues = excluded.continues WHERE "end" IS NULL',
            segment,
        )
        if segment.end is not None:
            self._delete_empty_segments(segment.run, segment.start, segment.end)

    def list_segments(self, run: str | None = None) -> list[StoredSegment]:
        """Return the segments of one run, or of all, in order."""
        query = "SELECT run, start, \"end\", chain, continues FROM segments WHERE ? IN (run, '') ORDER BY run, start"
        rows = self._database.query(query, (run or "",), "tinii")
        return [StoredSegment(a, b, c, d, bool(e)) for a, b, c, d, e in rows]

    def segment_at(self, run: str, position: int) -> StoredSegment | None:
        """Return the last segment that begins at or before a position."""
        query = (
            'SELECT run, start, "end", chain, continues FROM segments WHERE run = ? AND start <= ?'
            " ORDER BY start DESC LIMIT 1"
        )
        rows = self._database.query(query, (run, position), "tinii")
        return next((StoredSegment(a, b, c, d, bool(e)) for a, b, c, d, e in rows), None)

    def _delete_empty_segments(self, run: str, start: int, end: int) -> None:
        """Delete the closed segments in or beside this range that have no audio here."""
        self._database.execute(_DELETE_EMPTY_SEGMENTS, (run, end, start, MAX_ROW_SAMPLES))

    # -- audio --------------------------------------------------------------------------------------------------------

    @property
    def samples_by_run(self) -> Counter[str]:
        """Number of stored samples by run; a run without audio is absent."""
        if self._counted_generation != self._database.generation:
            query = 'SELECT run, sum("end" - position) FROM audio GROUP BY run'
            self._samples_by_run = Counter(dict(self._database.query(query, (), "ti")))
            self._counted_generation = self._database.generation
        return self._samples_by_run

    def put_audio(
        self,
        run: str,
        position: int,
        pcm: bytes,
        voiced: Sequence[Range],
        stored_s: float,
        elsewhere: Iterable[Range] = (),
    ) -> None:
        """Store at most `MAX_ROW_SAMPLES` samples, except those that are stored here already, or `elsewhere`."""
        end = position + len(pcm) // BYTES_PER_SAMPLE
        stored = Ranges([*self.ranges(run, position, end), *elsewhere])
        for low, high in stored.gaps(position, end):
            self._insert(run, position, low, high, voiced, pcm, stored_s)

    def _insert(
        self, run: str, position: int, low: int, high: int, voiced: Sequence[Range], pcm: bytes, stored_s: float
    ) -> None:
        """Store `[low, high)` of the audio that begins at `position`."""
        pcm = pcm[(low - position) * BYTES_PER_SAMPLE : (high - position) * BYTES_PER_SAMPLE]
        counts = self.samples_by_run  # counted before the row is there
        self._database.execute(_INSERT_AUDIO, (run, low, high, stored_s, _pack_ranges(voiced, low, high), pcm))
        counts[run] += high - low

    def release(self, run: str, start: int, end: int) -> int:
        """Delete the audio in `[start, end)` and the segments that then have none; returns the number of samples."""
        released = 0
        if self.samples_by_run[run] > 0:
            query = f'SELECT id, position, "end", stored_s FROM audio WHERE {_OVERLAPPING}'  # noqa: S608  a constant
            rows = self._database.query(query, _overlap_values(run, start, end), "iiir")
            for id_, low, high, stored_s in rows:
                if low < start or high > end:
                    self._store_remainder(id_, run, low, high, start, end, stored_s)
                released += min(high, end) - max(low, start)
            self._database.execute_many("DELETE FROM audio WHERE id = ?", [(row[0],) for row in rows])
            self._subtract(self.samples_by_run, run, released)
        self._delete_empty_segments(run, start, end)
        return released

    def _store_remainder(self, id_: int, run: str, low: int, high: int, start: int, end: int, stored_s: float) -> None:
        """Store again what lies outside `[start, end)` of a row that is about to be deleted."""
        [(packed, pcm)] = self._database.query("SELECT voiced, pcm FROM audio WHERE id = ?", (id_,), "bb")
        for a, b in ((low, start), (end, high)):
            if a < b:
                self._insert(run, low, a, b, self._unpack_ranges(packed, low), pcm, stored_s)
                self.samples_by_run[run] -= b - a

    def delete_rows(self, rows: Sequence[AudioRow]) -> None:
        """Delete these rows."""
        counts = self.samples_by_run  # counted while the rows are there
        self._database.execute_many("DELETE FROM audio WHERE id = ?", [(row.id,) for row in rows])
        for row in rows:
            self._subtract(counts, row.run, row.end - row.position)
            self._delete_empty_segments(row.run, row.position, row.end)

    def _subtract(self, counts: Counter[str], run: str, samples: int) -> None:
        counts[run] -= samples
        self._database.has_deleted_content |= samples > 0
        if counts[run] <= 0:
            del counts[run]

    def ranges(self, run: str, start: int = 0, end: int = MAX_POSITION, limit: int = -1) -> list[Range]:
        """Return the ranges of up to `limit` rows that overlap `[start, end)`, in order. Reads only the index."""
        query = f'SELECT position, "end" FROM audio WHERE {_OVERLAPPING} ORDER BY position LIMIT ?'  # noqa: S608  ours
        return self._database.query(query, (*_overlap_values(run, start, end), limit), "ii")

    def voiced_ranges(self, run: str) -> list[Range]:
        """Return the ranges in which the gate heard a voice, of the audio that is stored here."""
        rows = self._database.query("SELECT position, voiced FROM audio WHERE run = ? ORDER BY position", (run,), "ib")
        return [range_ for position, packed in rows for range_ in self._unpack_ranges(packed, position)]

    def read(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """Return the audio in `[start, end)`, in order, in pieces of 1 s at most."""
        query = f"SELECT position, pcm FROM audio WHERE {_OVERLAPPING} ORDER BY position"  # noqa: S608  a constant
        rows = self._database.query(query, _overlap_values(run, start, end), "ib")
        return [cut(position, pcm, start, end) for position, pcm in rows]

    def oldest_rows(self, stored_before_s: float, now_s: float, limit: int) -> list[AudioRow]:
        """Return rows stored before a time of this boot, or in another boot, in the order in which they were stored."""
        query = (
            'SELECT id, run, position, "end", voiced, pcm FROM audio WHERE stored_s <= ? OR stored_s > ?'
            " ORDER BY id LIMIT ?"
        )
        rows = self._database.query(query, (stored_before_s, now_s, limit), "itiibb")
        return [AudioRow(i, run, a, b, self._unpack_ranges(packed, a), pcm) for i, run, a, b, packed, pcm in rows]

    def _unpack_ranges(self, packed: bytes, position: int) -> tuple[Range, ...]:
        """Return the ranges that `_pack_ranges` packed, for a row at `position`."""
        if len(packed) % _RANGE.size:
            raise self._database.damage_error("a row holds half a range")
        return tuple((position + a, position + b) for a, b in _RANGE.iter_unpack(packed) if a < b)


def cut(position: int, pcm: bytes, start: int, end: int) -> tuple[int, bytes]:
    """Return the part of a piece of audio that lies in `[start, end)`, with its position. The two overlap."""
    low, high = max(start, position), min(end, position + len(pcm) // BYTES_PER_SAMPLE)
    return low, pcm[(low - position) * BYTES_PER_SAMPLE : (high - position) * BYTES_PER_SAMPLE]


def _pack_ranges(voiced: Iterable[Range], low: int, high: int) -> bytes:
    """Return these ranges, cut to the row `[low, high)`, as pairs of 32-bit offsets from `low`."""
    return b"".join(_RANGE.pack(a - low, b - low) for a, b in Ranges(voiced).within(low, high))
