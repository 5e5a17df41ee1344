"""Reconciliation after a crash: compares what the spool says with what the sinks hold. Pure.

A power cut may undo a commit whose record a sink already has, and where a card stalls a record is delivered before its
commit. So the contents of the sinks count: edged commits such a record again, word for word, and does not transcribe
its audio again.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from edged.model.ranges import Ranges
from edged.model.record import Record


class ReadbackQuery(NamedTuple):
    """The records to look up in a sink."""

    ids: frozenset[str]
    """Ids of records that may be there."""
    ranges: Mapping[str, Ranges]
    """Sample ranges by run: find every record that transcribes any of these samples."""


class SinkContents(NamedTuple):
    """Contents of a sink that match a `ReadbackQuery`."""

    ids: frozenset[str]
    """The ids of the query that are there."""
    records: tuple[Record, ...]
    """The records that overlap a range of the query, in the order in which they were written."""


class Reconciliation(NamedTuple):
    """Steps after which every sink has every record once."""

    delivered: dict[str, set[str]]
    """Ids of pending records that a sink has already, by sink: mark them delivered."""
    adopted: list[tuple[Record, tuple[str, ...]]]
    """Records that the spool does not know, with the sinks that have them: commit them, and release their audio."""
    to_deliver: list[tuple[Record, tuple[str, ...]]]
    """Records, with the sinks that still lack them."""


def reconcile(
    pending: Iterable[tuple[Record, tuple[str, ...]]],
    kept: Iterable[Record],
    contents: Mapping[str, SinkContents],
    sinks: Iterable[str],
    accept_before_storing: Collection[str],
) -> Reconciliation:
    """Compare the spool with the sinks, and return what to do.

    A sink also has a record if it holds others that transcribe all of its samples. A record that one sink holds and
    another lacks is delivered there too. A sink that can't be read counts as empty: twice is better than never.

    Args:
        pending: Records with the sinks that lack them, as far as the spool knows.
        kept: Records that every sink has accepted, and that are kept for those that accept before they store.
        contents: By sink, what those hold that can be read.
        sinks: The required sinks.
        accept_before_storing: Sinks that may have lost a record which they accepted.
    """
    transcribed = {sink: _ranges_by_run(held.records) for sink, held in contents.items()}

    def has(sink: str, record: Record) -> bool:
        if sink not in contents:
            return False
        ranges = transcribed[sink].get(record.run, Ranges())
        return record.id in contents[sink].ids or not ranges.gaps(record.from_, record.to)

    found = Reconciliation({}, [], [])
    known: set[str] = set()
    for record, lacking in pending:
        known.add(record.id)
        for sink in lacking:
            if has(sink, record):
                found.delivered.setdefault(sink, set()).add(record.id)
        found.to_deliver.append((record, tuple(sink for sink in lacking if not has(sink, record))))
    for record in kept:
        known.add(record.id)
        lost = tuple(sink for sink in accept_before_storing if sink in contents and not has(sink, record))
        found.to_deliver.append((record, lost))
    unknown = {record.id: record for held in contents.values() for record in held.records if record.id not in known}
    for record in unknown.values():
        having = tuple(sink for sink in sinks if has(sink, record))
        found.adopted.append((record, having))
        found.to_deliver.append((record, tuple(sink for sink in sinks if sink not in having)))
    return found._replace(to_deliver=[(record, to) for record, to in found.to_deliver if to])


def _ranges_by_run(records: Iterable[Record]) -> dict[str, Ranges]:
    ranges: dict[str, Ranges] = {}
    for record in records:
        ranges.setdefault(record.run, Ranges()).add(record.from_, record.to)
    return ranges
