"""Disks and memory that are full, or can't be read or written for a while: states, not deaths."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.model.ranges import Ranges
from edged.spool.commands import LoadAudio, ReleaseAudio
from edged.spool.database_health import RETRY_DELAYS_S
from edged.spool.model import AudioRequested, BacklogFound, DatabaseFailing, DatabaseWorking, RecordCommitted
from edged.spool.worker import QUEUE_BYTES, SpoolUnreadableError
from tests.spool.some import Bench, answer, audio, commit, pcm, run_of, segment
from tests.transcripts.some import remount, small_disk

ROOMY_KB = 4096


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of so many kilobytes."""
    with small_disk(tmp_path / "small", getattr(request, "param", ROOMY_KB)) as disk:
        yield disk


def of(kilobytes: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("small", [kilobytes], indirect=True)


def grow(small: Path, megabytes: int) -> None:
    """Somebody makes room."""
    remount(small, f"size={megabytes}m")


def fill(small: Path) -> Path:
    """Leave no room; returns the file that took it."""
    path = small / "other"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


def test_what_memory_has_no_room_for_can_be_read_all_the_same(tmp_path: Path, small: Path) -> None:
    """A backlog that is being transcribed must not wait for room, which only its being transcribed makes."""
    bench = Bench(tmp_path, runtime_directory=str(small))
    bench.begin()
    bench.do(segment(0), audio(0, 32_000))
    fill(small)
    told: list[list[tuple[int, bytes]] | Exception] = []
    more = [audio(at, at + 16_000) for at in range(32_000, 160_000, 16_000)]
    bench.do(*more, ReleaseAudio("run-1", 0, 16_000), LoadAudio("run-1", 8000, 96_000, told.append))
    assert bench.health.is_failing("runtime")
    [pieces] = told
    assert not isinstance(pieces, Exception)
    assert b"".join(data for _, data in pieces) == pcm(16_000, 96_000)
    bench.close()


def retry(bench: Bench) -> None:
    bench.run_maintenance(sum(RETRY_DELAYS_S))


@pytest.fixture
def bench(tmp_path: Path, small: Path) -> Iterator[Bench]:
    """Its disk is the small one, and two seconds are on it."""
    one = Bench(tmp_path, directory=str(small))
    one.begin()
    one.do(segment(0), audio(0, 32_000))
    one.move()
    yield one
    one.close()


@of(256)
def test_a_full_disk_keeps_nothing_from_being_stored_in_memory(small: Path, bench: Bench) -> None:
    bench.speak(32_000, 192_000)
    bench.run_maintenance()
    assert bench.events_of(DatabaseFailing)[0].tier == "disk"
    assert bench.tiers.runtime.audio.samples_by_run["run-1"] >= 160_000
    grow(small, 4)
    retry(bench)
    assert bench.events_of(DatabaseWorking) == [DatabaseWorking("disk")]
    assert bench.tiers.disk is not None
    assert bench.tiers.disk.audio.samples_by_run == {"run-1": 192_000}
    assert bench.waiting() == Ranges([(0, 192_000)])


def test_a_record_is_never_held_back_by_a_disk_that_fails(tmp_path: Path, small: Path, bench: Bench) -> None:
    """Its audio is on the full disk; after a crash it is still known to be answered."""
    full = fill(small)
    told = bench.do(commit(answer(1, 8000, 24_000)))
    assert [event for event in told if isinstance(event, RecordCommitted)] == [
        RecordCommitted(answer(1, 8000, 24_000), True)
    ]
    assert bench.health.is_failing("disk")
    with pytest.raises(SpoolUnreadableError):
        bench.load()
    bench.close()
    full.unlink()
    again = Bench(tmp_path, directory=str(small))
    assert not again.waiting().overlaps(8000, 24_000)
    assert [each.record.id for each in again.recovered.undelivered] == ["id-1"]
    again.close()


def test_what_was_answered_while_the_disk_failed_is_deleted_when_it_works(small: Path, bench: Bench) -> None:
    full = fill(small)
    bench.do(commit(answer(1, 0, 16_000)), ReleaseAudio("run-1", 20_000, 24_000))
    full.unlink()
    retry(bench)
    bench.run_maintenance()
    assert bench.tiers.disk is not None
    assert Ranges(bench.tiers.disk.audio.ranges("run-1")) == Ranges([(16_000, 20_000), (24_000, 32_000)])


def test_a_disk_that_can_not_be_read_at_the_start_is_found_later(tmp_path: Path, small: Path, bench: Bench) -> None:
    bench.do(commit(answer(1, 0, 8000)))
    bench.move()
    bench.close()
    remount(small, "ro")
    again = Bench(tmp_path, directory=str(small))
    assert again.recovered.backlogs == ()
    again.begin(run_of("run-2"))
    again.do(segment(0, run="run-2"), audio(0, 1600, run="run-2"))
    remount(small, "rw")
    retry(again)
    [found] = [event.recovered for event in again.events_of(BacklogFound)]
    assert [(each.run.run, each.seconds) for each in found.backlogs] == [("run-1", 1.5)]
    assert [each.record.id for each in found.undelivered] == ["id-1"]
    assert again.waiting("run-2") == Ranges([(0, 1600)])
    again.close()


@pytest.mark.parametrize("tier", ["runtime", "disk"])
def test_what_is_there_at_the_start_but_can_not_be_put_in_order_is_found_later(
    tmp_path: Path, small: Path, tier: str
) -> None:
    """A kill in mid-speech leaves a segment to be ended; a full disk can be opened and read, but has no room for it."""
    places: dict[str, Any] = {"runtime_directory" if tier == "runtime" else "directory": str(small)}
    killed = Bench(tmp_path, **places)
    killed.begin()
    killed.do(segment(0), audio(0, 32_000), commit(answer(1, 0, 8000)))
    if tier == "disk":
        killed.move()
    killed.close()
    full = fill(small)
    again = Bench(tmp_path, **places)
    assert not again.recovered.backlogs
    assert not again.recovered.undelivered
    again.begin(run_of("run-2"))
    again.do(segment(0, run="run-2"), audio(0, 1600, run="run-2"))
    full.unlink()
    retry(again)
    again.do(audio(1600, 3200, run="run-2"))
    retry(again)
    [found] = [event.recovered for event in again.events_of(BacklogFound)]
    assert [(each.run.run, each.seconds) for each in found.backlogs] == [("run-1", 1.5)]
    assert [each.record.id for each in found.undelivered] == ["id-1"]
    assert again.waiting("run-1") == Ranges([(8000, 32_000)])
    again.close()


@pytest.mark.slow
@of(256)
def test_memory_that_is_full_too_leaves_audio_out_and_asks_for_it_later(tmp_path: Path, small: Path) -> None:
    bench = Bench(tmp_path, directory=str(small), runtime_max_mb=1)
    bench.begin()
    bench.do(segment(0))
    bench.speak(0, 960_000, maintenance_s=0.1)
    assert bench.tiers.runtime.audio.samples_by_run["run-1"] < 480_000, "a megabyte and little more"
    grow(small, 8)
    retry(bench)
    bench.do(segment(0))
    bench.health.request_dropped_audio()
    [wanted] = bench.events_of(AudioRequested)
    assert wanted.run == "run-1"
    for start, end in wanted.ranges:
        bench.speak(start, end)
    assert bench.waiting() == Ranges([(0, 960_000)])
    bench.close()


@pytest.mark.slow
@of(128)
def test_no_memory_at_all_delays_nothing_and_everything_comes_later(tmp_path: Path, small: Path) -> None:
    """Records are told as not durable; the queue is bounded; what still waits is asked for."""
    bench = Bench(tmp_path, runtime_directory=str(small))
    bench.begin()
    bench.do(segment(0))
    bench.speak(0, 80_000)
    assert bench.events_of(DatabaseFailing)[0].tier == "runtime"
    bench.do(commit(answer(1, 0, 4000)))
    assert [event.durable for event in bench.events_of(RecordCommitted)] == [False]
    for start in range(80_000, 80_000 + QUEUE_BYTES, 1600):
        bench.worker.put(audio(start, start + 1600))
    grow(small, 20)
    bench.worker._compact_queue()
    assert bench.worker._queued_bytes < 100_000
    bench.now_s += 100
    bench.do(*bench.worker._queue)
    bench.health.request_dropped_audio()
    assert bench.events_of(DatabaseWorking) == [DatabaseWorking("runtime")]
    [wanted] = bench.events_of(AudioRequested)
    assert wanted.ranges[-1][1] >= 80_000 + QUEUE_BYTES
    assert not bench.waiting().overlaps(0, 4000)
    bench.close()
