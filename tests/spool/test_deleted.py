"""Directories that are deleted while edged runs are made again, with what was in them, and a stop tells the truth."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.model.ranges import Ranges
from edged.spool.commands import MarkDelivered
from edged.spool.model import DatabaseFailing, DatabaseReplaced, DatabaseWorking, FilesRecreated
from tests.life import Life, live
from tests.spool.some import SINKS, Bench, answer, audio, commit, segment
from tests.transcripts.some import small_disk

SECOND = 16_000


def filled(base: Path) -> Bench:
    """Two seconds on disk, two in memory."""
    bench = Bench(base)
    bench.begin()
    bench.do(segment(0), audio(0, SECOND), audio(SECOND, 2 * SECOND))
    bench.move()
    bench.do(audio(2 * SECOND, 3 * SECOND), audio(3 * SECOND, 4 * SECOND))
    return bench


@pytest.mark.parametrize("deleted", [("runtime",), ("disk",), ("runtime", "disk")])
def test_what_was_in_a_deleted_directory_is_there_again(tmp_path: Path, deleted: tuple[str, ...]) -> None:
    bench = filled(tmp_path)
    for tier in deleted:
        shutil.rmtree(tmp_path / tier)
    bench.do(audio(4 * SECOND, 5 * SECOND))
    bench.move()
    assert {event.tier for event in bench.events_of(FilesRecreated)} == set(deleted)
    assert not bench.events_of(DatabaseFailing)
    bench.close()
    again = Bench(tmp_path)
    assert again.events == []
    assert again.waiting() == Ranges([(0, 5 * SECOND)])
    again.close()


def test_a_deleted_file_is_made_again_too_and_one_in_its_place_is_set_aside(tmp_path: Path) -> None:
    bench = filled(tmp_path)
    path = tmp_path / "disk/spool.db"
    path.unlink()
    path.write_bytes(b"somebody else's")
    bench.do(commit(answer(1, 0, SECOND)), *(MarkDelivered(sink, ("id-1",)) for sink in SINKS))
    bench.move()
    [event] = bench.events_of(DatabaseReplaced)
    assert event.path.read_bytes() == b"somebody else's"
    bench.close()
    again = Bench(tmp_path)
    assert again.waiting() == Ranges([(SECOND, 4 * SECOND)])
    assert again.recovered.undelivered == ()
    again.close()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory in which nothing can be made while it is immutable."""
    base = tmp_path / "closed"
    base.mkdir()
    yield base
    subprocess.run(["chattr", "-i", base], check=False, capture_output=True)


def close(base: Path) -> None:
    if os.geteuid() or subprocess.run(["chattr", "+i", base], check=False, capture_output=True).returncode:
        pytest.skip("chattr +i needs root and a file system that knows it")


@pytest.mark.parametrize("tier", ["runtime", "disk"])
def test_what_can_not_be_made_again_is_told_of_once_and_tried_again(tmp_path: Path, closed: Path, tier: str) -> None:
    """Until then memory is used on, and a stop moves it to the disk; a disk is not used."""
    directories: dict[str, Any] = (
        {"runtime_directory": str(closed / "runtime")} if tier == "runtime" else {"directory": str(closed / "disk")}
    )
    bench = Bench(tmp_path, **directories)
    bench.begin()
    bench.do(segment(0), audio(0, SECOND))
    shutil.rmtree(closed / tier)
    close(closed)
    for at in range(1, 4):
        bench.do(audio(at * SECOND, (at + 1) * SECOND))
    moved = bench.worker.maintenance.move_all(bench.now_s + 60)
    assert {event.tier for event in bench.events_of(DatabaseFailing)} == {tier}
    assert "was deleted, and can't be made again" in bench.events_of(DatabaseFailing)[0].text
    assert not bench.events_of(DatabaseWorking)
    assert moved is (tier == "runtime")
    subprocess.run(["chattr", "-i", closed], check=True)
    bench.now_s += 100
    bench.do(audio(4 * SECOND, 5 * SECOND))
    bench.move()
    assert [event.tier for event in bench.events_of(DatabaseWorking)] == [tier]
    assert bench.waiting() == Ranges([(0, 5 * SECOND)])
    bench.close()


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """A file that is cut short would be set aside at each try."""
    with small_disk(tmp_path / "small", 256) as small:
        bench = Bench(tmp_path)
        bench.begin()
        bench.do(segment(0), *(audio(at * SECOND, (at + 1) * SECOND) for at in range(20)))
        copy = small / "spool.db"
        with pytest.raises(sqlite3.Error):
            bench.tiers.runtime.database.copy_to(copy)
        assert not list(small.iterdir())
        bench.close()


def test_the_ring_is_made_again_with_its_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(life: Life) -> None:
        shutil.rmtree(tmp_path / "runtime")
        life.hear(0, 3200)
        assert await life.waiting() == [(0, 1600), (1600, 3200)]
        life.persistence.tick()
        while not (tmp_path / "runtime/ring").exists():
            await life.waiting()

    live(tmp_path, body)
    assert f"{tmp_path}/runtime/spool.db was deleted: it is made again, with all that was in it" in caplog.text
