"""The spool as the event loop sees it, with its thread."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.model.errors import ConfigurationError
from edged.model.ranges import Ranges
from edged.service.clock import boottime_s
from edged.spool.capture_time import Boot
from edged.spool.model import DatabaseFailing, DatabaseWorking, RecordCommitted, RecoveredState, SpoolEvent, StoredRange
from edged.spool.spool import OVERDUE_S, Spool
from tests.spool.some import BOOT, RATE, SINKS, answer, pcm, run_of, settings, with_spool


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not within ten seconds")


def speak(spool: Spool, start: int, end: int, run: str = "run-1") -> None:
    for at in range(start, end, 1600):
        spool.put_audio(run, at, pcm(at, min(at + 1600, end)))


async def settled(spool: Spool) -> None:
    """All that was ordered is done, and told."""
    await spool.load("run-1", 0, 1)


def test_what_waits_at_a_stop_is_there_at_the_next_start(tmp_path: Path) -> None:
    """With its segments, what was heard as voice in it, and how to date it; all of it on the disk."""
    began_s = boottime_s() - 30

    async def first(spool: Spool, events: list[SpoolEvent], recovered: RecoveredState) -> None:
        assert (recovered.undelivered, recovered.delivered, recovered.backlogs) == ((), (), ())
        spool.put_boot(BOOT.wall_offset_s, synchronized=True)
        spool.begin_run(run_of(boot_id=spool.boot_id, started_s=began_s))
        spool.put_anchor("run-1", 0, began_s)
        spool.open_segment("run-1", 0)
        spool.put_audio("run-1", 0, pcm(0, 1600), [(800, 4000)])
        speak(spool, 1600, 8000)
        spool.close_segment("run-1", 8000, continues=True)
        spool.open_segment("run-1", 8000, chain=0)
        spool.put_anchor("run-1", 8000, began_s + 100)
        speak(spool, 8000, 16_000)
        spool.commit(answer(1, 0, 2000))
        spool.mark_delivered("file", ["id-1"])
        spool.release("run-1", 12_000, 13_000)

    async def second(spool: Spool, events: list[SpoolEvent], recovered: RecoveredState) -> None:
        [backlog] = recovered.backlogs
        assert backlog.run == run_of(boot_id=spool.boot_id, started_s=began_s)
        assert backlog.ranges == (
            StoredRange(2000, 8000, 0, True, ((2000, 4000),)),
            StoredRange(8000, 12_000, 0, False, ()),
            StoredRange(13_000, 16_000, 0, False, ()),
        )
        assert backlog.boot == Boot(spool.boot_id, BOOT.wall_offset_s, True)
        assert backlog.clock.at_s(9600) == pytest.approx(began_s + 100.1)
        assert 0 < backlog.age_s < 60
        [pending] = recovered.undelivered
        assert pending == (answer(1, 0, 2000), ("journal",))
        pieces = await spool.load("run-1", 0, 1 << 40)
        assert Ranges((at, at + len(data) // 2) for at, data in pieces) == Ranges([(2000, 12_000), (13_000, 16_000)])
        assert all(data == pcm(at, at + len(data) // 2) and len(data) <= 2 * RATE for at, data in pieces)

    with_spool(tmp_path, first)
    assert not [path for path in (tmp_path / "runtime").iterdir() if path.name.endswith("-wal")]
    (tmp_path / "runtime/spool.db").unlink()  # as a reboot does
    with_spool(tmp_path, second)


def test_a_record_is_told_as_committed_once_and_in_order(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        for number in range(20):
            spool.commit(answer(number, number * 10, number * 10 + 10))
        with pytest.raises(ValueError, match="id-3"):
            spool.commit(answer(3, 0, 10))
        await settled(spool)
        spool.tick(boottime_s() + 100)
        assert events == [RecordCommitted(answer(number, number * 10, number * 10 + 10), True) for number in range(20)]

    with_spool(tmp_path, body)


@pytest.mark.slow
def test_a_card_that_stalls_holds_no_record_back(tmp_path: Path) -> None:
    """Told as not durable after `OVERDUE_S`, and not a second time; stored when the card moves again."""

    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        speak(spool, 0, 3200)
        await settled(spool)
        other = sqlite3.connect(tmp_path / "runtime/spool.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # another process keeps it: the thread stands
        spool.commit(answer(1, 0, 1600))
        spool.tick(boottime_s() + OVERDUE_S - 1)
        assert events == []
        spool.tick(boottime_s() + OVERDUE_S)
        assert events == [RecordCommitted(answer(1, 0, 1600), durable=False)]
        await until(lambda: any(isinstance(event, DatabaseFailing) for event in events))
        other.close()
        await until(lambda: DatabaseWorking("runtime") in events)
        assert len([event for event in events if isinstance(event, RecordCommitted)]) == 1
        assert [at for at, _ in await spool.load("run-1", 0, 3200)] == [1600]

    with_spool(tmp_path, body)


def test_calls_never_block_while_the_thread_does(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        await settled(spool)
        other = sqlite3.connect(tmp_path / "runtime/spool.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        data = bytes(3200)
        longest_s = 0.0
        for at in range(0, 1600 * 200, 1600):
            before_s = time.perf_counter()
            spool.put_audio("run-1", at, data)
            longest_s = max(longest_s, time.perf_counter() - before_s)
        other.close()
        assert longest_s < 0.4, "less than a connection waits for another one"
        assert sum(len(piece) for _, piece in await spool.load("run-1", 0, 1 << 40)) == 640_000

    with_spool(tmp_path, body)


@pytest.mark.slow
def test_counters_tell_how_much_waits_and_since_when(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        assert spool.counters().seconds == 0
        spool.begin_run(run_of(boot_id=spool.boot_id, started_s=boottime_s() - 50))
        spool.open_segment("run-1", 0)
        speak(spool, 0, 32_000)
        await until(lambda: spool.counters().seconds == 2)
        counters = spool.counters()
        assert counters.bytes_in_memory == 64_000
        assert counters.bytes_on_disk == 0
        assert counters.oldest_s == pytest.approx(50, abs=5)
        spool.release("run-1", 0, 32_000)
        await until(lambda: not spool.counters().seconds)
        assert spool.counters().oldest_s is None

    with_spool(tmp_path, body)


def test_with_durability_power_all_is_on_disk_within_sync_s(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        spool.open_segment("run-1", 0)
        speak(spool, 0, 16_000)
        spool.commit(answer(1, 0, 4000))
        await until(lambda: spool.counters().bytes_on_disk == 24_000)
        assert spool.counters().bytes_in_memory == 0
        with sqlite3.connect(tmp_path / "disk/spool.db") as reader:
            assert reader.execute("SELECT id FROM outbox").fetchall() == [("id-1",)]
        reader.close()

    with_spool(tmp_path, body, durability="power", sync_s=0.1)


def test_the_first_audio_on_disk_can_be_dated(tmp_path: Path) -> None:
    """What makes its boot's time wall time is there with it: a power cut may come before anything else does."""

    async def body() -> None:
        one = settings(tmp_path, durability="power", sync_s=0.1)
        spool = Spool(one, asyncio.get_running_loop().call_soon_threadsafe, lambda event: None)
        await asyncio.to_thread(spool.open, SINKS, 1_700_000_000.0)
        spool.begin_run(run_of(boot_id=spool.boot_id))
        speak(spool, 0, 1600)
        await until(lambda: spool.counters().bytes_on_disk > 0)
        with sqlite3.connect(tmp_path / "disk/spool.db") as reader:
            assert reader.execute("SELECT wall_offset_s FROM boots").fetchall() == [(1_700_000_000.0,)]
        reader.close()
        await spool.stop(5.0)

    asyncio.run(body())


def test_a_record_that_only_a_sink_had_is_kept_and_its_audio_waits_no_longer(tmp_path: Path) -> None:
    """Nothing is told of it: it is delivered there. It may come again, as after a crash in the middle of this."""

    async def first(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        speak(spool, 0, 16_000)
        for _again in range(2):
            spool.adopt(answer(1, 0, 1600), ["file"])
            spool.adopt(answer(2, 3200, 16_000), SINKS)
        assert [at for at, _ in await spool.load("run-1", 0, 16_000)] == [1600]
        assert events == []

    async def second(spool: Spool, events: list[SpoolEvent], recovered: RecoveredState) -> None:
        assert recovered.undelivered == ((answer(1, 0, 1600), ("journal",)),)
        assert recovered.delivered == (answer(2, 3200, 16_000),)

    with_spool(tmp_path, first)
    with_spool(tmp_path, second)


def test_a_run_that_a_ring_knows_of_is_put_beside_the_live_one(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of("run-2"))
        spool.begin_run(run_of("run-1"), live=False)
        spool.open_segment("run-2", 0)
        spool.open_segment("run-1", 500)
        spool.put_audio("run-1", 500, pcm(500, 1000))
        spool.put_audio("run-2", 0, pcm(0, 1000))
        spool.close_segment("run-1", 1000)
        assert len(await spool.load("run-1", 0, 1000)) == len(await spool.load("run-2", 0, 1000)) == 1

    with_spool(tmp_path, body)


def test_a_second_spool_is_refused_and_the_first_lives(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        second = Spool(settings(tmp_path), asyncio.get_running_loop().call_soon_threadsafe, events.append)
        with pytest.raises(ConfigurationError, match="in use by another edged"):
            await asyncio.to_thread(second.open, SINKS)
        with pytest.raises(RuntimeError, match="not open"):
            second.put_boot(0.0, synchronized=False)
        assert await second.stop(1)
        await settled(spool)

    with_spool(tmp_path, body)


def test_sinks_that_came_later_get_what_nobody_got_and_not_what_others_have(tmp_path: Path) -> None:
    async def first(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        spool.commit(answer(1, 0, 10))
        spool.commit(answer(2, 10, 20))
        spool.mark_delivered("file", ["id-1"])
        spool.mark_delivered("journal", ["id-1"])

    async def then() -> RecoveredState:
        spool = Spool(settings(tmp_path), asyncio.get_running_loop().call_soon_threadsafe, print)
        recovered = await asyncio.to_thread(spool.open, ["other"])
        assert await spool.stop(10)
        return recovered

    with_spool(tmp_path, first)
    recovered = asyncio.run(then())
    assert [(each.record.id, each.missing_sinks) for each in recovered.undelivered] == [("id-2", ("other",))]
    assert [each.id for each in recovered.delivered] == ["id-1"]


def test_a_boot_that_was_ever_synchronised_stays_so(tmp_path: Path) -> None:
    async def first(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.put_boot(100.0, synchronized=False)
        spool.begin_run(run_of(boot_id=spool.boot_id))
        spool.open_segment("run-1", 0)
        speak(spool, 0, 1600)
        spool.put_boot(BOOT.wall_offset_s, synchronized=True)
        spool.put_boot(7.0, synchronized=False)

    with_spool(tmp_path, first)
    with sqlite3.connect(tmp_path / "disk/spool.db") as reader:
        assert reader.execute("SELECT wall_offset_s, synchronized FROM boots").fetchall() == [(BOOT.wall_offset_s, 1)]
    reader.close()
