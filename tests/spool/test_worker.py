"""What the spool's thread says is stored, is stored: a ring keeps the rest."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from edged.model.ranges import Ranges
from edged.spool.commands import MarkDelivered
from edged.spool.maintenance import SCAN_DELAY_S, TRUNCATE_S
from edged.spool.model import DatabaseFailing, RecoveredState, SpoolEvent
from edged.spool.spool import Spool
from edged.spool.store import Store
from tests.patience import PATIENCE_S
from tests.spool.some import SINKS, Bench, answer, audio, commit, pcm, run_of, segment, with_spool


def test_audio_of_the_living_run_is_stored_up_to_its_last_piece(tmp_path: Path) -> None:
    """Not that of a run found in a ring, and nothing is stored by a record, a release or a segment."""
    bench = Bench(tmp_path)
    bench.begin(run_of("run-2"))
    bench.do(segment(0, run="run-2"), commit(answer(1, 0, 9000, "run-2")), audio(0, 8000, run="run-1"))
    assert bench.worker.stored_until == 0
    bench.do(audio(1600, 3200, run="run-2"), audio(3200, 4800, run="run-2"))
    assert bench.worker.stored_until == 4800
    bench.do(audio(0, 1600, run="run-2"))
    assert bench.worker.stored_until == 4800, "given again: what came later is stored all the same"
    bench.close()


def test_audio_that_has_no_room_is_not_stored(tmp_path: Path) -> None:
    """The disk can't be used, and memory has taken what it may."""
    bench = Bench(tmp_path, runtime_max_mb=1)
    bench.begin()
    bench.tiers.disk = None
    start, end = 0, 0
    while not bench.tiers.is_full:
        start, end = end, end + 16_000
        assert end < 1_000_000
        bench.do(audio(start, end))
    assert bench.worker.stored_until == start == bench.waiting().end
    bench.close()


@pytest.mark.slow
def test_audio_that_a_database_did_not_take_is_not_stored(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(audio(0, 1600))
    other = sqlite3.connect(tmp_path / "runtime/spool.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    bench.do(audio(1600, 3200))
    assert bench.worker.stored_until == 1600
    other.close()
    bench.now_s += 100
    bench.do(*bench.worker._queue)
    assert bench.worker.stored_until == 3200
    assert bench.waiting() == Ranges([(0, 3200)])
    bench.close()


def test_where_audio_begins_that_a_kill_would_lose_is_known_at_any_moment(tmp_path: Path) -> None:
    """None once all is stored; of the living run only."""

    async def all_stored(spool: Spool) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while spool.unstored_from is not None:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0.01)

    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of("run-1"), live=False)
        spool.begin_run(run_of("run-2"))
        spool.put_audio("run-2", 0, pcm(0, 1600))
        await all_stored(spool)
        other = sqlite3.connect(tmp_path / "runtime/spool.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        spool.put_audio("run-1", 0, pcm(0, 1600))
        known = [spool.unstored_from]
        spool.put_audio("run-2", 1600, pcm(1600, 3200))
        spool.put_audio("run-2", 3200, pcm(3200, 4800))
        assert [*known, spool.unstored_from] == [None, 1600]
        other.close()
        await all_stored(spool)
        pieces = await spool.load("run-2", 0, 4800)
        assert Ranges((at, at + len(data) // 2) for at, data in pieces) == Ranges([(0, 4800)])

    with_spool(tmp_path, body, durability="power")


def test_what_a_record_leaves_to_do_is_looked_for_once(tmp_path: Path) -> None:
    """The marks of its delivery come right behind it: that is one look for both, and no other before it is acted on."""
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(audio(0, 8000))
    bench.run_maintenance(10)
    maintenance, begun_s = bench.worker.maintenance, bench.now_s
    bench.do(commit(answer(1, 0, 8000)))
    bench.now_s += 0.01
    bench.do(*(MarkDelivered(sink, ("id-1",)) for sink in SINKS))
    assert maintenance.due_s == begun_s + SCAN_DELAY_S
    bench.now_s = begun_s + SCAN_DELAY_S
    maintenance.run_due(bench.now_s)
    assert maintenance.due_s == begun_s + SCAN_DELAY_S + TRUNCATE_S["runtime"]
    bench.close()


def test_a_fault_in_the_last_orders_does_not_keep_the_rest_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ours: it is raised, after everything that was stored before is moved."""

    class OurFaultError(Exception):
        pass

    def broken(*_: object) -> None:
        raise OurFaultError

    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), audio(0, 16_000))
    bench.worker.stop(60)
    monkeypatch.setattr(bench.worker, "process", broken)
    with pytest.raises(OurFaultError):
        bench.worker.run()
    assert bench.worker.all_moved
    left = Store("disk", tmp_path / "disk/spool.db")
    assert left.audio.samples_by_run == {"run-1": 16_000}
    left.close()


@pytest.mark.slow
def test_a_stop_tells_whether_everything_is_on_the_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), audio(0, 16_000))
    other = sqlite3.connect(tmp_path / "disk/spool.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not bench.worker.maintenance.move_all(bench.now_s + 60)
    assert len(bench.events_of(DatabaseFailing)) == 1
    other.close()
    assert bench.worker.maintenance.move_all(bench.now_s + 60)
    bench.close()
