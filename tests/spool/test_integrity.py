"""A value that can't be true costs what it concerns at most, never the rest of the spool, and never the start."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edged.spool.capture_time import Anchor
from edged.spool.commands import PutAnchor
from edged.spool.inspection import look
from edged.spool.model import DatabaseReplaced, RowsRepaired
from tests.spool.some import Bench, answer, audio, commit, run_of, segment, settings

SECOND = 16_000


def left(base: Path) -> Path:
    """What a process leaves: a record, and ten seconds of speech in two segments, on disk. Returns the database."""
    bench = Bench(base)
    bench.begin()
    bench.do(PutAnchor("run-1", Anchor(8 * SECOND, 8.0)))
    bench.do(segment(0), *(audio(at * SECOND, (at + 1) * SECOND) for at in range(5)), segment(0, 5 * SECOND))
    start = 8 * SECOND
    bench.do(segment(start), *(audio(start + at * SECOND, start + (at + 1) * SECOND) for at in range(6)))
    bench.do(commit(answer(1, start, start + SECOND)), segment(start, start + 6 * SECOND))
    bench.move()
    bench.close()
    return base / "disk/spool.db"


def change(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def waits(bench: Bench) -> int:
    """Samples, none of them twice."""
    return sum(each.end - each.start for backlog in bench.recovered.backlogs for each in backlog.ranges)


VALUES = {
    "anchor in 300,000 years": "UPDATE anchors SET at_s = 1e13",
    "anchor at infinity": "UPDATE anchors SET at_s = -9e999",
    "anchor before the run": "UPDATE anchors SET position = -1 WHERE position > 0",
    "boot without a date": "UPDATE boots SET wall_offset_s = 1e300",
    "boot neither synchronised nor not": "UPDATE boots SET synchronized = 1 << 40",
    "run at no rate": "UPDATE runs SET rate = 0",
    "run begun at infinity": "UPDATE runs SET started_s = 9e999",
    "run of another name": "UPDATE runs SET run = CAST(x'72756eff' AS TEXT)",
    "segment that ends before it begins": 'UPDATE segments SET "end" = -5 WHERE start = 0',
    "segment that reaches into the next": 'UPDATE segments SET "end" = 1 << 50 WHERE start = 0',
    "segment of nobody": "UPDATE segments SET run = CAST(x'ff' AS TEXT) WHERE start = 0",
    "record that answers everything": 'UPDATE outbox SET "from" = 0, "to" = 1 << 50',
    "record that answers nothing that can be": 'UPDATE outbox SET "to" = -1',
    "record that is no text": "UPDATE outbox SET record = CAST(x'7bff' AS TEXT)",
    "record committed at infinity": "UPDATE outbox SET committed_s = 9e999",
}


@pytest.mark.parametrize("statement", VALUES.values(), ids=VALUES)
def test_speech_is_transcribed_whatever_is_wrong_with_what_describes_it(tmp_path: Path, statement: str) -> None:
    change(left(tmp_path), statement)
    bench = Bench(tmp_path)
    assert not bench.events_of(DatabaseReplaced)
    assert waits(bench) == 10 * SECOND
    for backlog in bench.recovered.backlogs:
        assert backlog.run.rate == SECOND
        assert 0 <= backlog.age_s < 1e10
    bench.close()
    again = Bench(tmp_path)
    assert again.events == [], "it was put right"
    again.close()
    with look(settings(tmp_path)) as seen:
        assert sum(backlog.seconds for backlog in seen.backlogs) == 10


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE audio SET "end" = 1 << 50 WHERE position = 0',
        'UPDATE audio SET "end" = -1 WHERE position = 0',
        "UPDATE audio SET position = -(1 << 40) WHERE position = 0",
        "UPDATE audio SET pcm = x'00' WHERE position = 0",
        "UPDATE audio SET voiced = x'00' WHERE position = 0",
    ],
)
def test_a_row_of_audio_that_contradicts_itself_goes_alone_and_is_told_of(tmp_path: Path, statement: str) -> None:
    change(left(tmp_path), statement)
    bench = Bench(tmp_path)
    assert bench.events_of(RowsRepaired) == [RowsRepaired("disk", 1)]
    assert waits(bench) == 9 * SECOND
    bench.close()


def test_a_record_is_known_by_the_id_that_it_has_itself(tmp_path: Path) -> None:
    """Else its delivery would never be marked, and come again at each start."""
    change(left(tmp_path), "UPDATE outbox SET id = 'id-flipped'")
    bench = Bench(tmp_path)
    [entry] = bench.tiers.stores[1].outbox.list_entries()
    assert entry.id == bench.recovered.undelivered[0].record.id == "id-1"
    bench.close()


@pytest.mark.parametrize("version", [-1, -(1 << 31), 0, 1 << 20])
def test_a_version_that_can_not_be_is_put_right_where_the_tables_are_ours(tmp_path: Path, version: int) -> None:
    change(left(tmp_path), f"PRAGMA user_version = {version}")
    bench = Bench(tmp_path)
    assert bench.events == []
    assert waits(bench) == 10 * SECOND
    bench.close()


def without_tables(connection: sqlite3.Connection) -> None:
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f"DROP TABLE {name}")


def without_an_index(connection: sqlite3.Connection) -> None:
    connection.execute("DROP INDEX audio_place")


def without_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE audio DROP COLUMN voiced")


@pytest.mark.parametrize("version", [-1, 1])
@pytest.mark.parametrize("damage", [without_tables, without_an_index, without_a_column])
@pytest.mark.parametrize("tier", ["runtime", "disk"])
def test_a_version_without_its_tables_is_damage(
    tmp_path: Path, tier: str, damage: Callable[[sqlite3.Connection], None], version: int
) -> None:
    left(tmp_path)
    with closing(sqlite3.connect(tmp_path / tier / "spool.db", isolation_level=None)) as connection:
        damage(connection)
        connection.execute(f"PRAGMA user_version = {version}")
    bench = Bench(tmp_path)
    assert [event.tier for event in bench.events_of(DatabaseReplaced)] == [tier]
    bench.begin(run_of("run-2"))
    bench.do(segment(0, run="run-2"), audio(0, 1600, run="run-2"))
    assert bench.waiting("run-2").total == 1600
    bench.close()
