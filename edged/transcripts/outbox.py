"""The outbox: committed records, in order, until every sink has them.  Pure.

Each sink has a cursor of its own: the records that it still lacks, oldest first. A record leaves when no sink that
counts lacks it. `loose` sinks (a console for people) are served like the others but hold nobody back: a terminal
that somebody stopped with Ctrl-S must not keep records in a spool. (Where only loose sinks exist, they count.)

The bound is `max_pending` records a sink. At it the oldest record that this sink lacks goes, for this sink only, and
counts as undelivered. Records that are for all sinks make every cursor an end of the same sequence, so that the whole
outbox holds no more than `max_pending` of them, however many sinks there are.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from edged.model.record import Record


class SinkCounts(NamedTuple):
    """What became of the records for one sink."""

    pending: int
    """It lacks these now."""
    delivered: int
    """It took these since the outbox was made."""
    undelivered: int
    """These went at the bound, and it never got them."""


class _Cursor:
    """What one sink lacks."""

    def __init__(self) -> None:
        self.lacks: OrderedDict[str, Record] = OrderedDict()
        self.out: frozenset[str] = frozenset()
        """Handed out by the last `pending`: may be on its way while it is evicted."""
        self.delivered = 0
        self.undelivered = 0


class Outbox:
    """Calls in, lists out; not thread-safe: its user holds a lock."""

    def __init__(self, sinks: Sequence[str], max_pending: int, loose: Collection[str] = ()) -> None:
        if max_pending < 1:
            raise ValueError("an outbox needs room for one record")
        self._max_pending = max_pending
        self._cursors = {sink: _Cursor() for sink in sinks}
        self._gone: set[str] = set()
        self.holding = [sink for sink in sinks if sink not in loose] or list(sinks)
        """Those that count."""

    def add(self, record: Record, lacking: Collection[str] | None = None) -> list[tuple[str, str]]:
        """Take a record for all sinks, or only for those `lacking` it (from a spool, after a crash).

        Returns the (sink, id) pairs that had to go at the bound. Raises ValueError, and changes nothing, if the record
        is here already or a sink is unknown.
        """
        sinks = self.sinks if lacking is None else [sink for sink in lacking if sink not in self._gone]
        if any(record.id in self._cursor(sink).lacks for sink in sinks):
            raise ValueError(f"record {record.id} is in the outbox already")
        gone = []
        for sink in sinks:
            cursor = self._cursors[sink]
            cursor.lacks[record.id] = record
            if len(cursor.lacks) > self._max_pending:
                oldest, _ = cursor.lacks.popitem(last=False)
                cursor.undelivered += 1
                gone.append((sink, oldest))
        return gone

    def pending(self, sink: str, most: int) -> list[Record]:
        """The oldest records that the sink lacks, at most `most`. They stay until `delivered` names them."""
        cursor = self._cursor(sink)
        records = list(islice(cursor.lacks.values(), most))
        cursor.out = frozenset(record.id for record in records)
        return records

    def delivered(self, sink: str, ids: Iterable[str]) -> list[str]:
        """The sink has these. Returns those of them that leave the outbox, as no sink that counts lacks them now.

        A record that was evicted while it was on its way was delivered after all, and is counted so. Other ids that
        the sink doesn't lack are passed over: after a crash a sink is asked for more than the outbox holds.
        """
        cursor = self._cursor(sink)
        left = []
        for id_ in ids:
            if cursor.lacks.pop(id_, None) is None:
                if id_ not in cursor.out:
                    continue
                cursor.undelivered -= 1
            cursor.out -= {id_}
            cursor.delivered += 1
            if not any(id_ in self._cursors[other].lacks for other in self.holding):
                left.append(id_)
        return left

    def drop(self, sink: str) -> None:
        """The sink is gone for good: it lacks nothing any more, and new records are not for it."""
        self._cursor(sink).lacks.clear()
        self._gone.add(sink)

    @property
    def sinks(self) -> list[str]:
        """Those that are not gone."""
        return [sink for sink in self._cursors if sink not in self._gone]

    def counts(self, sink: str) -> SinkCounts:
        """For summaries and status."""
        cursor = self._cursor(sink)
        return SinkCounts(len(cursor.lacks), cursor.delivered, cursor.undelivered)

    def _cursor(self, sink: str) -> _Cursor:
        try:
            return self._cursors[sink]
        except KeyError:
            raise ValueError(f"no sink is called {sink}") from None
