"""The outbox: committed records, in order, until every sink has them. Pure.

Each sink has its own cursor: the records that it still lacks, oldest first. A record leaves the outbox when no required
sink lacks it. Optional sinks (a console for people) are served like the others but hold no record back: a terminal that
somebody stopped with Ctrl-S must not keep records in the spool. Where all sinks are optional, all count as required.

The bound is `max_pending` records per sink. At the bound the oldest record that this sink lacks is evicted, for this
sink only, and counts as undelivered. Records for all sinks make each cursor a tail of the same sequence, so that the
whole outbox holds at most `max_pending` of them, however many sinks there are.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from edged.model.record import Record


class SinkCounts(NamedTuple):
    """Numbers of records of one sink, since the outbox was made."""

    pending: int
    """Records that the sink lacks now."""
    delivered: int
    """Records that the sink has taken."""
    undelivered: int
    """Records that were evicted at the bound, and that the sink never got."""


class _Cursor:
    """The delivery state of one sink."""

    def __init__(self) -> None:
        self.pending: OrderedDict[str, Record] = OrderedDict()
        self.in_flight: frozenset[str] = frozenset()
        """Ids that the last call of `Outbox.pending` returned: such a record may be written although it is evicted."""
        self.delivered = 0
        self.undelivered = 0


class Outbox:
    """Records that wait for their sinks. Not thread-safe: the caller holds a lock."""

    def __init__(self, sinks: Sequence[str], max_pending: int, optional: Collection[str] = ()) -> None:
        if max_pending < 1:
            raise ValueError("an outbox needs room for one record")
        self._max_pending = max_pending
        self._cursors = {sink: _Cursor() for sink in sinks}
        self._gone: set[str] = set()
        self.required = [sink for sink in sinks if sink not in optional] or list(sinks)
        """Sinks that a record waits for."""

    def add(self, record: Record, lacking: Collection[str] | None = None) -> list[tuple[str, str]]:
        """Add a record for all sinks, or, after a crash, for those `lacking` it.

        Returns the (sink, id) pairs that were evicted at the bound. Raises ValueError, and changes nothing, if the
        record is in the outbox already or a sink is unknown.
        """
        sinks = self.sinks if lacking is None else [sink for sink in lacking if sink not in self._gone]
        if any(record.id in self._cursor(sink).pending for sink in sinks):
            raise ValueError(f"record {record.id} is in the outbox already")
        evicted = []
        for sink in sinks:
            cursor = self._cursors[sink]
            cursor.pending[record.id] = record
            if len(cursor.pending) > self._max_pending:
                oldest, _ = cursor.pending.popitem(last=False)
                cursor.undelivered += 1
                evicted.append((sink, oldest))
        return evicted

    def pending(self, sink: str, most: int) -> list[Record]:
        """Return the `most` oldest records that the sink lacks. They stay until `mark_delivered` removes them."""
        cursor = self._cursor(sink)
        records = list(islice(cursor.pending.values(), most))
        cursor.in_flight = frozenset(record.id for record in records)
        return records

    def mark_delivered(self, sink: str, ids: Iterable[str]) -> list[str]:
        """Note that the sink has these records. Returns those that leave the outbox: no required sink lacks them.

        A record that was evicted while the sink was writing it counts as delivered after all. Ids that the sink does
        not lack are ignored: the look-up after a crash covers more records than the outbox holds.
        """
        cursor = self._cursor(sink)
        complete = []
        for id_ in ids:
            if cursor.pending.pop(id_, None) is None:
                if id_ not in cursor.in_flight:
                    continue
                cursor.undelivered -= 1
            cursor.in_flight -= {id_}
            cursor.delivered += 1
            if not any(id_ in self._cursors[other].pending for other in self.required):
                complete.append(id_)
        return complete

    def drop(self, sink: str) -> None:
        """Remove a sink that is gone for good: it lacks nothing, and gets no new records."""
        self._cursor(sink).pending.clear()
        self._gone.add(sink)

    @property
    def sinks(self) -> list[str]:
        """Sinks that still get records."""
        return [sink for sink in self._cursors if sink not in self._gone]

    def counts(self, sink: str) -> SinkCounts:
        """Return the sink's numbers, for summaries and status."""
        cursor = self._cursor(sink)
        return SinkCounts(len(cursor.pending), cursor.delivered, cursor.undelivered)

    def _cursor(self, sink: str) -> _Cursor:
        try:
            return self._cursors[sink]
        except KeyError:
            raise ValueError(f"no sink is called {sink}") from None
