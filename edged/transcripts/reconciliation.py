"""After a crash: what the spool says and what the sinks hold, made one.  Pure.

A power cut may roll a commit back whose record a sink has, and a record is delivered before its commit where a card
stalls. So what a sink holds counts: it is committed again, word for word, and what it answers is not recognised again.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from edged.model.ranges import Ranges
from edged.model.record import Record


class ReadbackQuery(NamedTuple):
    """What is looked for."""

    ids: frozenset[str]
    """Records by their ids."""
    ranges: Mapping[str, Ranges]
    """By run: records that answer any of these samples."""


class SinkContents(NamedTuple):
    """What a sink holds of it."""

    ids: frozenset[str]
    records: tuple[Record, ...]
    """In the order of their writing; each that overlaps a range that was asked for."""


class Reconciliation(NamedTuple):
    """What the spool and the sinks come to together."""

    delivered: dict[str, set[str]]
    """By sink: records of the outbox that it has already."""
    adopted: list[tuple[Record, tuple[str, ...]]]
    """Records that the spool does not know, and the sinks that have them: what they answer waits no longer."""
    again: list[tuple[Record, tuple[str, ...]]]
    """Records, and the sinks that are still to get them."""


def reconcile(
    pending: Iterable[tuple[Record, tuple[str, ...]]],
    kept: Iterable[Record],
    held: Mapping[str, SinkContents],
    sinks: Iterable[str],
) -> Reconciliation:
    """What to make of it.  Pure.

    `pending`: records, and which `sinks` lack them as far as the spool knows; `kept`: those that all of them have, or
    so a journal said. `held`: by sink, of those that could be read. A sink has a record also if it holds others that
    answer all of its samples. What one sink holds and another does not is delivered there too; a sink that can't be
    read is taken to have nothing: twice is better than never.
    """
    answers = {sink: _by_run(has.records) for sink, has in held.items()}

    def has(sink: str, record: Record) -> bool:
        if sink not in held:
            return False
        there = answers[sink].get(record.run, Ranges())
        return record.id in held[sink].ids or not there.gaps(record.from_, record.to)

    settled = Reconciliation({}, [], [])
    known: set[str] = set()
    for record, lacking in pending:
        known.add(record.id)
        for sink in lacking:
            if has(sink, record):
                settled.delivered.setdefault(sink, set()).add(record.id)
        settled.again.append((record, tuple(sink for sink in lacking if not has(sink, record))))
    for record in kept:
        known.add(record.id)
        if "journal" in held and not has("journal", record):
            settled.again.append((record, ("journal",)))
    for record in {each.id: each for sink in held.values() for each in sink.records if each.id not in known}.values():
        having = tuple(sink for sink in sinks if has(sink, record))
        settled.adopted.append((record, having))
        settled.again.append((record, tuple(sink for sink in sinks if sink not in having)))
    return settled._replace(again=[(record, to) for record, to in settled.again if to])


def _by_run(records: Iterable[Record]) -> dict[str, Ranges]:
    found: dict[str, Ranges] = {}
    for record in records:
        found.setdefault(record.run, Ranges()).add(record.from_, record.to)
    return found
