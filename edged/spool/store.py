"""Audio and segments in one database. Each operation can be repeated without harm.

All that change something belong into a `transaction`.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.spool.integrity import LONGEST
from edged.spool.model import EVER
from edged.spool.records import Records

_INSERT_AUDIO: Final = 'INSERT INTO audio (run, position, "end", stored_s, voiced, pcm) VALUES (?, ?, ?, ?, ?, ?)'
_OVERLAPPING: Final = 'run = ? AND position > ? AND position < ? AND "end" > ?'
"""Takes what `_place` gives."""

_TIDY: Final = (
    'DELETE FROM segments WHERE run = ? AND start <= ? AND "end" >= ? AND NOT EXISTS (SELECT 1 FROM audio'
    " WHERE audio.run = segments.run AND position > segments.start - ?"
    ' AND position < segments."end" AND audio."end" > segments.start)'
)

_RANGE: Final = struct.Struct("<II")


def _place(run: str, start: int, end: int) -> tuple[str, int, int, int]:
    return run, start - LONGEST, end, start


class StoredSegment(NamedTuple):
    """A segment as it is stored; `end` is None while it is open."""

    run: str
    start: int
    end: int | None
    chain: int
    continues: bool


class StoredPiece(NamedTuple):
    """A row of audio."""

    id: int
    run: str
    position: int
    end: int
    voiced: tuple[Range, ...]
    pcm: bytes


class Store(Records):
    """Everything in one database."""

    # -- segments -----------------------------------------------------------------------------------------------------

    def put_segment(self, segment: StoredSegment) -> None:
        """What has an end keeps it."""
        self.do(
            'INSERT INTO segments (run, start, "end", chain, continues) VALUES (?, ?, ?, ?, ?)'
            ' ON CONFLICT DO UPDATE SET "end" = excluded."end", continues = excluded.continues WHERE "end" IS NULL',
            segment,
        )
        if segment.end is not None:
            self._tidy(segment.run, segment.start, segment.end)

    def segments(self, run: str | None = None) -> list[StoredSegment]:
        """Of one run or all, in order."""
        query = "SELECT run, start, \"end\", chain, continues FROM segments WHERE ? IN (run, '') ORDER BY run, start"
        return [StoredSegment(a, b, c, d, bool(e)) for a, b, c, d, e in self.rows(query, (run or "",), "tinii")]

    def segment_before(self, run: str, position: int) -> StoredSegment | None:
        """The last one that begins at or before a position."""
        query = (
            'SELECT run, start, "end", chain, continues FROM segments WHERE run = ? AND start <= ?'
            " ORDER BY start DESC LIMIT 1"
        )
        rows = self.rows(query, (run, position), "tinii")
        return next((StoredSegment(a, b, c, d, bool(e)) for a, b, c, d, e in rows), None)

    def _tidy(self, run: str, start: int, end: int) -> None:
        """Forget segments in or at this range that are closed and have no audio here."""
        self.do(_TIDY, (run, end, start, LONGEST))

    # -- audio --------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Counter[str]:
        """Samples of audio by run; of those runs only that have some."""
        if self._held is None:
            query = 'SELECT run, sum("end" - position) FROM audio GROUP BY run'
            self._held = Counter(dict(self.rows(query, (), "ti")))
        return self._held

    def put_audio(
        self,
        run: str,
        position: int,
        pcm: bytes,
        voiced: Sequence[Range],
        stored_s: float,
        elsewhere: Iterable[Range] = (),
    ) -> None:
        """At most `LONGEST` samples. What is here already, or `elsewhere`, is passed over."""
        end = position + len(pcm) // BYTES_PER_SAMPLE
        here = Ranges([*self.audio_ranges(run, position, end), *elsewhere])
        for low, high in here.gaps(position, end):
            self._insert(run, position, low, high, voiced, pcm, stored_s)

    def _insert(
        self, run: str, position: int, low: int, high: int, voiced: Sequence[Range], pcm: bytes, stored_s: float
    ) -> None:
        """`[low, high)` of the audio that begins at `position`."""
        pcm = pcm[(low - position) * BYTES_PER_SAMPLE : (high - position) * BYTES_PER_SAMPLE]
        self.do(_INSERT_AUDIO, (run, low, high, stored_s, _packed(voiced, low, high), pcm))
        self.held[run] += high - low

    def release(self, run: str, start: int, end: int) -> int:
        """Forget the audio in `[start, end)`, and what segments then have none; returns how many samples it was."""
        released = 0
        if self.held[run] > 0:
            query = f'SELECT id, position, "end", stored_s FROM audio WHERE {_OVERLAPPING}'  # noqa: S608  a constant
            rows = self.rows(query, _place(run, start, end), "iiir")
            for id_, low, high, stored_s in rows:
                if low < start or high > end:
                    self._keep_rest(id_, run, low, high, start, end, stored_s)
                released += min(high, end) - max(low, start)
            self.many("DELETE FROM audio WHERE id = ?", [(row[0],) for row in rows])
            self._less(run, released)
        self._tidy(run, start, end)
        return released

    def _keep_rest(self, id_: int, run: str, low: int, high: int, start: int, end: int, stored_s: float) -> None:
        """Of a row of which a part goes."""
        [(packed, pcm)] = self.rows("SELECT voiced, pcm FROM audio WHERE id = ?", (id_,), "bb")
        for a, b in ((low, start), (end, high)):
            if a < b:
                self._insert(run, low, a, b, self._unpacked(packed, low), pcm, stored_s)
                self.held[run] -= b - a

    def delete(self, pieces: Sequence[StoredPiece]) -> None:
        """These rows."""
        self.many("DELETE FROM audio WHERE id = ?", [(piece.id,) for piece in pieces])
        for piece in pieces:
            self._less(piece.run, piece.end - piece.position)
            self._tidy(piece.run, piece.position, piece.end)

    def _less(self, run: str, samples: int) -> None:
        self.held[run] -= samples
        self.deleted = self.deleted or samples > 0
        if self.held[run] <= 0:
            del self.held[run]

    def audio_ranges(self, run: str, start: int = 0, end: int = EVER, most: int = -1) -> list[Range]:
        """Where rows lie that overlap `[start, end)`, in order, `most` of them; read from the index alone."""
        query = f'SELECT position, "end" FROM audio WHERE {_OVERLAPPING} ORDER BY position LIMIT ?'  # noqa: S608  ours
        return self.rows(query, (*_place(run, start, end), most), "ii")

    def voiced(self, run: str) -> list[Range]:
        """What was heard as voice in the audio that is here."""
        rows = self.rows("SELECT position, voiced FROM audio WHERE run = ? ORDER BY position", (run,), "ib")
        return [range_ for position, packed in rows for range_ in self._unpacked(packed, position)]

    def read(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        """The audio in `[start, end)`, in order, in pieces of 1 s at most."""
        query = f"SELECT position, pcm FROM audio WHERE {_OVERLAPPING} ORDER BY position"  # noqa: S608  a constant
        return [cut(position, pcm, start, end) for position, pcm in self.rows(query, _place(run, start, end), "ib")]

    def first_s(self) -> float | None:
        """When the first of it was stored, audio or a record that somebody lacks; None if there is neither."""
        query = (
            "SELECT stored_s FROM (SELECT stored_s FROM audio ORDER BY id LIMIT 1) UNION ALL"
            " SELECT committed_s FROM (SELECT committed_s FROM outbox WHERE NOT done ORDER BY committed_s LIMIT 1)"
        )
        return min((stored_s for (stored_s,) in self.rows(query, (), "r")), default=None)

    def oldest(self, stored_before_s: float, now_s: float, most: int) -> list[StoredPiece]:
        """Rows stored before a time of this boot (or in another boot), in the order in which they were stored."""
        query = (
            'SELECT id, run, position, "end", voiced, pcm FROM audio WHERE stored_s <= ? OR stored_s > ?'
            " ORDER BY id LIMIT ?"
        )
        rows = self.rows(query, (stored_before_s, now_s, most), "itiibb")
        return [StoredPiece(i, run, a, b, self._unpacked(packed, a), pcm) for i, run, a, b, packed, pcm in rows]

    def _unpacked(self, packed: bytes, position: int) -> tuple[Range, ...]:
        """Stored as 32-bit offsets from the row's position."""
        if len(packed) % _RANGE.size:
            raise self.damaged("a row holds half a range")
        return tuple((position + a, position + b) for a, b in _RANGE.iter_unpack(packed) if a < b)


def read_all(
    stores: Iterable[Store], run: str, start: int, end: int, without: Iterable[Range] = ()
) -> list[tuple[int, bytes]]:
    """The audio in `[start, end)`, `without` some, wherever it lies, in order, nothing twice, in pieces of 1 s or less.

    `stores` in the order in which audio is moved, so that what is moved meanwhile is not missed.
    """
    found = Ranges(without)
    pieces = []
    for store in stores:
        for position, pcm in store.read(run, start, end):
            for a, b in found.gaps(position, position + len(pcm) // BYTES_PER_SAMPLE):
                pieces.append(cut(position, pcm, a, b))
                found.add(a, b)
    return sorted(pieces)


def cut(position: int, pcm: bytes, start: int, end: int) -> tuple[int, bytes]:
    """What of a piece of audio lies in `[start, end)`; some does."""
    low, high = max(start, position), min(end, position + len(pcm) // BYTES_PER_SAMPLE)
    return low, pcm[(low - position) * BYTES_PER_SAMPLE : (high - position) * BYTES_PER_SAMPLE]


def _packed(voiced: Iterable[Range], low: int, high: int) -> bytes:
    """What of these ranges lies in the row `[low, high)`; see `_unpacked`."""
    return b"".join(_RANGE.pack(a - low, b - low) for a, b in Ranges(voiced).within(low, high))
