"""Damaged files, full and read-only disks, other versions, other processes: states, not deaths."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.errors import ConfigurationError
from edged.ranges import Ranges
from edged.spool import schema
from edged.spool.chores import MB
from edged.spool.items import Committed, Evicted, Failing, Found, SetAside, Wanted, Working
from edged.spool.keeper import WAITS_S
from edged.spool.orders import Mark, Release
from edged.spool.worker import QUEUE_BYTES, Unreadable
from tests.spool.some import SINKS, Bench, answer, audio, commit, run_of, segment
from tests.transcripts.some import remount, small_disk


def filled(base: Path, seconds: int = 4) -> Bench:
    """Some on disk, some in memory."""
    bench = Bench(base)
    bench.begin()
    bench.do(segment(0))
    for start in range(0, seconds * 16_000, 1600):
        bench.do(audio(start, start + 1600))
        if start == seconds * 8000:
            bench.move()
    return bench


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def overwritten(data: bytes) -> bytes:
    """Every page's beginning, where its structure is."""
    pages = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    return b"".join(b"\xff" * 16 + page[16:] if i else page for i, page in enumerate(pages))


def garbage(data: bytes) -> bytes:
    return b"not a database at all, but long enough to be one." * 200


def other_database(_: bytes) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE theirs (a)")
    data: bytes = connection.serialize()
    connection.close()
    return data


@pytest.mark.parametrize("damage", [truncated, overwritten, garbage, other_database])
@pytest.mark.parametrize("where", ["runtime", "disk"])
def test_a_damaged_database_is_set_aside_and_a_new_one_takes_its_place(
    tmp_path: Path, where: str, damage: Callable[[bytes], bytes]
) -> None:
    filled(tmp_path).close()
    path = tmp_path / where / "spool.db"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    bench = Bench(tmp_path)
    [event] = [event for event in bench.events if isinstance(event, SetAside)]
    assert event.where == where
    assert event.path.name.startswith("spool.db.bad-2")
    assert event.path.read_bytes() == damaged
    bench.begin(run_of("run-2"))
    bench.do(segment(0, run="run-2"), audio(0, 1600, run="run-2"))
    bench.move()
    assert bench.waiting("run-2") == Ranges([(0, 1600)])
    assert len(bench.waiting("run-1")) == 1, "what the other database holds is there still"
    bench.close()
    again = Bench(tmp_path)
    assert again.events == [], "it is told once"
    again.close()


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/spool.db").touch()
    bench = Bench(tmp_path)
    assert bench.events == []
    bench.close()


def test_damage_that_shows_while_it_is_used_is_dealt_with_too(tmp_path: Path) -> None:
    """A large file is not read whole at the start."""
    bench = filled(tmp_path, seconds=60)
    path = tmp_path / "runtime/spool.db"
    bench.pair.runtime.truncate()
    path.write_bytes(overwritten(path.read_bytes()))  # under its hands; a part of it is in its cache
    with pytest.raises(Unreadable, match="malformed"):
        bench.load()
    assert [event.where for event in bench.events if isinstance(event, SetAside)] == ["runtime"]
    bench.keeper.ask_again()
    assert [event.run for event in bench.events if isinstance(event, Wanted)] == ["run-1"]
    bench.do(audio(960_000, 961_600))
    assert bench.waiting().within(900_000, 961_600) == [(960_000, 961_600)]
    bench.move()
    bench.close()
    bench = Bench(tmp_path)
    [backlog] = bench.recovered.backlogs
    assert backlog.stretches[-1][:3] == (960_000, 961_600, 0), "the new one was told of the run and the open segment"
    bench.close()


def test_three_damaged_files_are_kept_not_more(tmp_path: Path) -> None:
    for _ in range(5):
        (tmp_path / "disk").mkdir(exist_ok=True)
        (tmp_path / "disk/spool.db").write_bytes(garbage(b""))
        Bench(tmp_path).close()
    assert len(list((tmp_path / "disk").glob("spool.db.bad-*"))) == schema.KEPT_BAD


def test_a_newer_schema_is_refused_with_one_line(tmp_path: Path) -> None:
    Bench(tmp_path).close()
    path = tmp_path / "disk/spool.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"written by a newer edged .its schema is 99, this one knows"):
        Bench(tmp_path)
    assert path.exists()
    assert not list((tmp_path / "disk").glob("*.bad-*"))


def test_an_older_schema_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path).close()
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, "CREATE TABLE more (a INTEGER) STRICT; -- a comment; with it"))
    bench = Bench(tmp_path)
    assert [schema.user_version(store._connection) for store in bench.pair.stores] == [2, 2]
    assert bench.waiting() == Ranges([(0, 64_000)])
    bench.close()


def test_files_and_directories_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        bench = filled(tmp_path)
    finally:
        os.umask(before)
    for directory in ("runtime", "disk"):
        assert stat.S_IMODE((tmp_path / directory).stat().st_mode) == 0o700
        for file in (tmp_path / directory).iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    bench.close()


def test_a_second_process_is_told_who_has_the_spool(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tests.spool.some import Bench\n"
        "from edged.errors import ConfigurationError\n"
        "try: Bench(Path(sys.argv[1]))\n"
        "except ConfigurationError as error: print(error)"
    )
    run = [sys.executable, "-c", code, str(tmp_path)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert f"spool.directory = {tmp_path}/disk is in use by another edged (process {os.getpid()})" in said
    bench.close()
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == ""


def test_a_lock_on_one_directory_is_enough_to_be_refused(tmp_path: Path) -> None:
    """And what was taken before is let go."""
    bench = Bench(tmp_path)
    with pytest.raises(ConfigurationError, match="runtime_directory"):
        Bench(tmp_path, directory=str(tmp_path / "other"))
    Bench(tmp_path, directory=str(tmp_path / "other"), runtime_directory=str(tmp_path / "more")).close()
    bench.close()


def test_a_directory_that_can_not_be_made_is_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"spool.directory: .*Not a directory.*spool.enabled = false"):
        Bench(tmp_path, directory=str(tmp_path / "file/below"))


# -- disks that fail --------------------------------------------------------------------------------------------------


def fill(disk: Path) -> Path:
    """Leave no room; returns the file that took it."""
    path = disk / "other"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


def retry(bench: Bench) -> None:
    bench.chores(sum(WAITS_S))


def test_a_full_disk_keeps_nothing_from_being_stored_in_memory(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 256) as small:
        bench = Bench(tmp_path, directory=str(small))
        bench.begin()
        bench.do(segment(0))
        for start in range(0, 160_000, 1600):
            bench.do(audio(start, start + 1600))
        bench.chores()
        assert [event.where for event in bench.events if isinstance(event, Failing)][:1] == ["disk"]
        assert bench.waiting() == Ranges([(0, 160_000)])
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        retry(bench)
        assert [event for event in bench.events if isinstance(event, Working)] == [Working("disk")]
        assert bench.pair.disk is not None
        assert bench.pair.disk.held == {"run-1": 160_000}
        assert bench.waiting() == Ranges([(0, 160_000)])
        bench.close()


def test_a_record_is_never_held_back_by_a_disk_that_fails(tmp_path: Path) -> None:
    """Its audio is on the full disk; after a crash it is still known to be answered."""
    with small_disk(tmp_path / "small", 4096) as small:
        bench = Bench(tmp_path, directory=str(small))
        bench.begin()
        bench.do(segment(0), audio(0, 32_000))
        bench.move()
        full = fill(small)
        told = bench.do(commit(answer(1, 8000, 24_000)))
        assert [event for event in told if isinstance(event, Committed)] == [Committed(answer(1, 8000, 24_000), True)]
        assert bench.keeper.failing("disk")
        with pytest.raises(Unreadable):
            bench.load()
        bench.close()
        full.unlink()
        bench = Bench(tmp_path, directory=str(small))
        assert not bench.waiting().overlaps(8000, 24_000)
        assert [each.record.id for each in bench.recovered.pending] == ["id-1"]
        bench.close()


def test_what_was_answered_while_the_disk_failed_is_deleted_when_it_works(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 4096) as small:
        bench = Bench(tmp_path, directory=str(small))
        bench.begin()
        bench.do(segment(0), audio(0, 32_000))
        bench.move()
        full = fill(small)
        bench.do(commit(answer(1, 0, 16_000)), Release("run-1", 20_000, 24_000))
        full.unlink()
        retry(bench)
        bench.chores()
        assert bench.pair.disk is not None
        assert Ranges(bench.pair.disk.audio_ranges("run-1")) == Ranges([(16_000, 20_000), (24_000, 32_000)])
        bench.close()


def test_a_disk_that_can_not_be_read_at_the_start_is_found_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 4096) as small:
        bench = Bench(tmp_path, directory=str(small))
        bench.begin()
        bench.do(segment(0), audio(0, 32_000), commit(answer(1, 0, 8000)))
        bench.move()
        bench.close()
        remount(small, "ro")
        bench = Bench(tmp_path, directory=str(small))
        assert bench.recovered.backlogs == ()
        bench.begin(run_of("run-2"))
        bench.do(segment(0, run="run-2"), audio(0, 1600, run="run-2"))
        remount(small, "rw")
        retry(bench)
        [found] = [event.recovered for event in bench.events if isinstance(event, Found)]
        assert [(each.run.run, each.seconds) for each in found.backlogs] == [("run-1", 1.5)]
        assert [each.record.id for each in found.pending] == ["id-1"]
        assert bench.waiting("run-2") == Ranges([(0, 1600)])
        bench.close()


def test_memory_that_is_full_too_leaves_audio_out_and_asks_for_it_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 256) as small:
        bench = Bench(tmp_path, directory=str(small), runtime_max_mb=1)
        bench.begin()
        bench.do(segment(0))
        for start in range(0, 960_000, 1600):
            bench.do(audio(start, start + 1600))
            bench.chores(0.1)
        stored = bench.pair.runtime.held["run-1"]
        assert stored < 480_000, "a megabyte and little more"
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        retry(bench)
        bench.do(segment(0))
        bench.keeper.ask_again()
        [wanted] = [event for event in bench.events if isinstance(event, Wanted)]
        assert wanted.run == "run-1"
        for start, end in wanted.ranges:
            for at in range(start, end, 1600):
                bench.do(audio(at, min(at + 1600, end)))
        assert bench.waiting() == Ranges([(0, 960_000)])
        bench.close()


def test_no_memory_at_all_delays_nothing_and_everything_comes_later(tmp_path: Path) -> None:
    """Records are told as not durable; the queue is bounded; what still waits is asked for."""
    with small_disk(tmp_path / "small", 128) as small:
        bench = Bench(tmp_path, runtime_directory=str(small))
        bench.begin()
        bench.do(segment(0))
        for start in range(0, 80_000, 1600):
            bench.do(audio(start, start + 1600))
        assert any(isinstance(event, Failing) and event.where == "runtime" for event in bench.events)
        told = bench.do(commit(answer(1, 0, 4000)))
        assert [event.durable for event in told if isinstance(event, Committed)] == [False]
        for start in range(80_000, 80_000 + QUEUE_BYTES, 1600):
            bench.worker.put(audio(start, start + 1600))
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        bench.worker._compress()
        assert bench.worker._queued_bytes < 100_000
        bench.now_s += 100
        bench.do(*bench.worker._queue)
        bench.keeper.ask_again()
        assert [event for event in bench.events if isinstance(event, Working)] == [Working("runtime")]
        [wanted] = [event for event in bench.events if isinstance(event, Wanted)]
        assert wanted.ranges[-1][1] >= 80_000 + QUEUE_BYTES
        assert not bench.waiting().overlaps(0, 4000)
        bench.close()


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_beyond_max_mb_the_oldest_on_disk_goes_and_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_mb=1, runtime_max_mb=1)
    bench.begin()
    bench.do(segment(0))
    for start in range(0, 1_600_000, 16_000):
        bench.do(*(audio(at, at + 1600) for at in range(start, start + 16_000, 1600)))
        bench.chores(1)
    bench.chores()
    evicted = [event for event in bench.events if isinstance(event, Evicted)]
    waiting = bench.waiting()
    assert {event.bound for event in evicted} == {"max_mb"}
    assert round(sum(event.seconds for event in evicted) * 16_000) + waiting.total == 1_600_000
    assert waiting == Ranges([(waiting.first or 0, 1_600_000)])
    assert waiting.first
    assert bench.pair.disk is not None
    assert bench.pair.disk.used_bytes() <= MB
    assert bench.pair.runtime.used_bytes() <= MB
    bench.close()


def test_speech_older_than_max_age_goes_wherever_it_lies(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_age_h=1)
    bench.begin(run_of(started_s=bench.now_s))
    bench.do(segment(0), audio(0, 16_000))
    bench.move()
    bench.do(audio(16_000, 32_000))
    bench.chores(3000)
    assert bench.waiting() == Ranges([(0, 32_000)])
    bench.chores(1000)
    evicted = [event for event in bench.events if isinstance(event, Evicted)]
    assert sum(event.seconds for event in evicted) == 2
    assert {event.bound for event in evicted} == {"max_age_h"}
    assert not bench.waiting()
    bench.close()


def test_records_stay_for_an_hour_after_they_were_delivered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), audio(0, 32_000), commit(answer(1, 0, 8000)), commit(answer(2, 8000, 9000)))
    bench.do(*(Mark(sink, ("id-1",)) for sink in SINKS))
    bench.chores(3000)
    bench.close()
    bench = Bench(tmp_path)
    assert [each.id for each in bench.recovered.kept] == ["id-1"]
    assert [each.record.id for each in bench.recovered.pending] == ["id-2"]
    bench.now_s += 4000
    bench.do(Release("run-1", 0, 1))
    bench.chores(100)
    bench.close()
    bench = Bench(tmp_path)
    assert bench.recovered.kept == ()
    assert [each.record.id for each in bench.recovered.pending] == ["id-2"]
    bench.close()
