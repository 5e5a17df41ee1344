"""Damaged files, other versions, other processes: states, not deaths."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.model.errors import ConfigurationError
from edged.model.ranges import Ranges
from edged.spool import schema
from edged.spool.model import AudioRequested, DatabaseReplaced
from edged.spool.worker import SpoolUnreadableError
from tests.spool.some import Bench, audio, run_of, segment


def filled(base: Path, seconds: int = 4) -> Bench:
    """Some on disk, some in memory."""
    bench = Bench(base)
    bench.begin()
    bench.do(segment(0))
    bench.speak(0, seconds * 8000)
    bench.move()
    bench.speak(seconds * 8000, seconds * 16_000)
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
@pytest.mark.parametrize("tier", ["runtime", "disk"])
def test_a_damaged_database_is_set_aside_and_a_new_one_takes_its_place(
    tmp_path: Path, tier: str, damage: Callable[[bytes], bytes]
) -> None:
    filled(tmp_path).close()
    path = tmp_path / tier / "spool.db"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    bench = Bench(tmp_path)
    [event] = bench.events_of(DatabaseReplaced)
    assert event.tier == tier
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


@pytest.mark.slow
def test_damage_that_shows_while_it_is_used_is_dealt_with_too(tmp_path: Path) -> None:
    """A large file is not read whole at the start."""
    bench = filled(tmp_path, seconds=60)
    path = tmp_path / "runtime/spool.db"
    bench.tiers.runtime.database.truncate_log()
    path.write_bytes(overwritten(path.read_bytes()))  # under its hands; a part of it is in its cache
    with pytest.raises(SpoolUnreadableError, match="malformed"):
        bench.load()
    assert [event.tier for event in bench.events_of(DatabaseReplaced)] == ["runtime"]
    bench.health.request_dropped_audio()
    assert [event.run for event in bench.events_of(AudioRequested)] == ["run-1"]
    bench.do(audio(960_000, 961_600))
    assert bench.waiting().within(900_000, 961_600) == [(960_000, 961_600)]
    bench.move()
    bench.close()
    bench = Bench(tmp_path)
    [backlog] = bench.recovered.backlogs
    assert backlog.ranges[-1][:3] == (960_000, 961_600, 0), "the new one was told of the run and the open segment"
    bench.close()


def test_three_damaged_files_are_kept_not_more(tmp_path: Path) -> None:
    for _ in range(5):
        (tmp_path / "disk").mkdir(exist_ok=True)
        (tmp_path / "disk/spool.db").write_bytes(garbage(b""))
        Bench(tmp_path).close()
    assert len(list((tmp_path / "disk").glob("spool.db.bad-*"))) == schema.MAX_DAMAGED_FILES


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
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (a INTEGER) STRICT; -- a comment; with it")
    )
    bench = Bench(tmp_path)
    assert [schema.user_version(store.database._connection) for store in bench.tiers.stores] == [2, 2]
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


@pytest.mark.slow
def test_a_second_process_is_told_who_has_the_spool(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tests.spool.some import Bench\n"
        "from edged.model.errors import ConfigurationError\n"
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
