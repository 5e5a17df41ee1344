"""What goes where, and in which order."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edged.model.ranges import Ranges
from edged.spool.audio_table import StoredSegment
from edged.spool.capture_time import Boot
from edged.spool.commands import MarkDelivered, PutBoot, PutSegment, ReleaseAudio
from edged.spool.store import Store
from tests.spool.some import BOOT, RATE, Bench, answer, audio, commit, pcm, run_of, segment


def disk(bench: Bench) -> Store:
    assert bench.tiers.disk is not None
    return bench.tiers.disk


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two seconds of an open segment, moved to the disk."""
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), *(audio(at, at + 1600) for at in range(0, 32_000, 1600)))
    bench.run_maintenance(5)
    assert not disk(bench).audio.samples_by_run, "not before its time"
    bench.run_maintenance(40)
    assert disk(bench).audio.samples_by_run == {"run-1": 32_000}
    assert not bench.tiers.runtime.audio.samples_by_run
    return bench


def test_on_disk_rows_have_a_second_at_most(bench: Bench) -> None:
    assert disk(bench).audio.ranges("run-1") == [(0, RATE), (RATE, 2 * RATE)]
    bench.close()


def test_what_is_released_is_not_loaded_although_the_disk_still_has_it(bench: Bench) -> None:
    bench.do(ReleaseAudio("run-1", 1000, 30_000))
    assert Ranges(disk(bench).audio.ranges("run-1")).total == 32_000
    assert bench.waiting() == Ranges([(0, 1000), (30_000, 32_000)])
    bench.run_maintenance(5)
    assert Ranges(disk(bench).audio.ranges("run-1")) == Ranges([(0, 1000), (30_000, 32_000)])
    bench.close()


def test_a_segment_that_ends_in_memory_ends_on_disk_too(bench: Bench) -> None:
    bench.do(PutSegment(StoredSegment("run-1", 0, 32_000, 0, True)))
    bench.run_maintenance(5)
    assert disk(bench).audio.list_segments() == [StoredSegment("run-1", 0, 32_000, 0, True)]
    bench.close()


def test_a_segment_cut_by_a_crash_ends_with_its_audio(tmp_path: Path, bench: Bench) -> None:
    bench.do(audio(32_000, 33_600))
    bench.close()
    bench = Bench(tmp_path)
    assert {each for store in bench.tiers.stores for each in store.audio.list_segments()} == {
        StoredSegment("run-1", 0, 33_600, 0, False)
    }
    bench.close()


def test_audio_that_is_given_again_is_stored_where_it_is_missing(bench: Bench) -> None:
    bench.do(audio(31_000, 34_000), audio(30_000, 36_000))
    assert bench.tiers.runtime.audio.ranges("run-1") == [(32_000, 34_000), (34_000, 36_000)]
    assert bench.waiting() == Ranges([(0, 36_000)])
    bench.close()


def test_a_record_is_where_its_audio_was(bench: Bench) -> None:
    bench.do(audio(32_000, 36_000), commit(answer(1, 31_000, 33_000)), commit(answer(2, 33_000, 34_000)))
    assert [entry.id for entry in disk(bench).outbox.list_entries()] == ["id-1"]
    assert [entry.id for entry in bench.tiers.runtime.outbox.list_entries()] == ["id-2"]
    assert bench.waiting() == Ranges([(0, 31_000), (34_000, 36_000)])
    bench.close()


def test_a_record_that_is_stored_again_after_a_failure_is_there_once(bench: Bench) -> None:
    """On disk it was committed; the runtime database's share of that transaction was undone."""
    entry = commit(answer(1, 0, 1000)).entry

    def undone() -> None:
        with bench.tiers.runtime.transaction():
            bench.tiers.commit_record(entry)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    bench.do(commit(answer(1, 0, 1000)))
    assert disk(bench).outbox.stored_ids(["id-1"])
    assert not bench.tiers.runtime.outbox.has_entries()
    bench.close()


def test_marks_follow_their_records_to_the_disk(tmp_path: Path, bench: Bench) -> None:
    bench.do(commit(answer(1, 0, 1000)), MarkDelivered("file", ("id-1",)))
    bench.run_maintenance(200)
    assert disk(bench).outbox.list_marks() == [("id-1", "file")]
    assert bench.tiers.runtime.outbox.list_marks() == []
    bench.do(MarkDelivered("journal", ("id-1",)))
    bench.run_maintenance(200)
    assert [entry.done for entry in disk(bench).outbox.list_entries()] == [True]
    bench.close()


def test_the_disk_learns_when_the_clock_was_set(bench: Bench) -> None:
    better = Boot(BOOT.boot_id, BOOT.wall_offset_s + 1e7, True)
    bench.do(PutBoot(better))
    bench.run_maintenance(200)
    assert disk(bench).runs.boots_by_id() == {BOOT.boot_id: better}
    written = disk(bench).database.log_bytes()
    bench.do(PutBoot(better._replace(wall_offset_s=better.wall_offset_s + 0.001)))
    bench.run_maintenance(200)
    assert disk(bench).database.log_bytes() == written, "a millisecond is no reason to write to a card"
    bench.close()


def test_runs_of_which_nothing_waits_are_forgotten(bench: Bench) -> None:
    bench.begin(run_of("run-2"))
    bench.do(ReleaseAudio("run-1", 0, 32_000))
    bench.run_maintenance(300)
    assert disk(bench).runs.list_runs() == []
    assert [run.run for run in bench.tiers.runtime.runs.list_runs()] == ["run-2"]
    assert disk(bench).audio.list_segments() == bench.tiers.runtime.audio.list_segments() == []
    bench.close()


@pytest.mark.slow
def test_space_is_given_back(bench: Bench) -> None:
    for start in range(32_000, 1_600_000, 32_000):
        bench.do(audio(start, start + 32_000))
    bench.run_maintenance(200)
    disk(bench).database.truncate_log()
    full_bytes = disk(bench).database.path.stat().st_size
    bench.do(ReleaseAudio("run-1", 0, 1_600_000))
    bench.run_maintenance(600)
    assert full_bytes > 3_000_000
    assert disk(bench).database.path.stat().st_size < 1_200_000, "a megabyte of slack is kept"
    bench.close()


def test_a_load_of_a_part_is_cut_to_it(bench: Bench) -> None:
    [(position, data)] = bench.load(15_000, 15_100)
    assert (position, data) == (15_000, pcm(15_000, 15_100))
    bench.close()


@pytest.mark.parametrize(
    ("delivered", "later_s", "stays"),
    [(True, 3500, True), (True, 3700, False), (False, 9000, True)],
    ids=["within the hour", "after it", "a sink lacks it"],
)
def test_a_record_that_every_sink_has_had_for_an_hour_goes_with_its_marks(
    tmp_path: Path, delivered: bool, later_s: float, stays: bool
) -> None:
    bench = Bench(tmp_path)
    bench.begin()
    what = answer(1, 0, 1600)
    bench.do(audio(0, 1600), commit(what), MarkDelivered("file", (what.id,)))
    if delivered:
        bench.do(MarkDelivered("journal", (what.id,)))
    bench.run_maintenance(later_s)
    stores = bench.tiers.stores
    assert any(store.outbox.has_entries() for store in stores) is stays
    assert any(store.outbox.list_marks() for store in stores) is stays
    bench.close()


def test_a_record_of_another_boot_is_kept_until_this_boot_is_an_hour_old(tmp_path: Path) -> None:
    """Nobody knows how long the machine was off."""
    bench = Bench(tmp_path)
    what = answer(1, 0, 1600)
    command = commit(what, committed_s=9e9)
    bench.do(replace(command, entry=command.entry._replace(boot_id="boot-0", done=True)))
    store = bench.tiers.runtime
    assert store.outbox.expired_ids(BOOT.boot_id, 3600, 3599) == []
    assert store.outbox.expired_ids(BOOT.boot_id, 3600, 3601) == [what.id]
    bench.close()


def test_the_number_of_stored_samples_is_right_after_a_rollback(tmp_path: Path) -> None:
    """It is counted anew then, before the next change and not after it."""
    (tmp_path / "runtime").mkdir()
    store = Store("runtime", tmp_path / "runtime/spool.db")

    def roll_back() -> None:
        with suppress(ZeroDivisionError), store.transaction():
            store.audio.put_audio("run-1", 9600, pcm(9600, 11_200), (), 0.0)
            raise ZeroDivisionError

    for start in (0, 1600):
        roll_back()
        with store.transaction():
            store.audio.put_audio("run-1", start, pcm(start, start + 1600), (), 0.0)
    assert store.audio.samples_by_run == {"run-1": 3200}
    [first, _] = store.audio.oldest_rows(0.0, 0.0, 2)
    roll_back()
    with store.transaction():
        store.audio.delete_rows([first])
    assert store.audio.samples_by_run == {"run-1": 1600}
    store.close()
