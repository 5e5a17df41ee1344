"""Queries for sinks, and records that each transcribe one second."""

from edged.model.ranges import Ranges
from edged.model.record import Record
from edged.transcripts.reconciliation import ReadbackQuery, SinkContents
from tests.transcripts.some import record


def by_id(*numbers: int) -> ReadbackQuery:
    return ReadbackQuery(frozenset(f"id-{number}" for number in numbers), {})


def by_range(start: int, end: int, run: str = "run-1") -> ReadbackQuery:
    return ReadbackQuery(frozenset(), {run: Ranges([(start, end)])})


def second(number: int, **changes: object) -> Record:
    """Return a record of the second with its number."""
    return record(number, from_=number * 16_000, to=(number + 1) * 16_000, **changes)


def seconds(first: int, last: int, **changes: object) -> list[Record]:
    return [second(number, **changes) for number in range(first, last + 1)]


def numbers(contents: SinkContents | None) -> list[int]:
    """Return the numbers of the records that were found."""
    assert contents is not None
    return [int(found.id.removeprefix("id-")) for found in contents.records]
