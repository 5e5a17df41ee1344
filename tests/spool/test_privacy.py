"""Answered audio is nowhere any more: not in the databases, not in their logs, not in the ring."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.model.ranges import Ranges
from edged.spool.commands import Command, PutAudio, ReleaseAudio
from edged.spool.model import RecoveredState, SpoolEvent
from edged.spool.spool import Spool
from tests.spool.some import Bench, answer, commit, noise, run_of, segment, with_spool

SPEECH = noise(64_000)
"""4 s that are found wherever they are."""


def copies(base: Path) -> int:
    """How many 32-byte pieces of the speech lie in any file."""
    found = 0
    for path in base.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += sum(SPEECH[i : i + 32] in data for i in range(0, len(SPEECH), 800))
    return found


def speak(bench: Bench) -> None:
    bench.begin()
    bench.do(segment(0))
    for start in range(0, 64_000, 1600):
        bench.do(PutAudio("run-1", start, SPEECH[2 * start : 2 * start + 3200], ()))


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    "command",
    [lambda: commit(answer(1, 0, 64_000)), lambda: ReleaseAudio("run-1", 0, 64_000)],
    ids=["recorded", "settled"],
)
def test_within_seconds_no_copy_remains(tmp_path: Path, on_disk: bool, command: Callable[[], Command]) -> None:
    bench = Bench(tmp_path)
    speak(bench)
    if on_disk:
        bench.move()
    assert copies(tmp_path)
    bench.do(command())
    assert copies(tmp_path), "in the log at least: that is what is looked at"
    bench.run_maintenance(10)
    assert copies(tmp_path) == 0
    assert bench.tiers.runtime.database.log_bytes() == 0
    bench.close()


def test_what_was_moved_leaves_no_copy_in_memory(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    speak(bench)
    bench.run_maintenance(60)
    assert copies(tmp_path / "disk")
    assert copies(tmp_path / "runtime") == 0
    bench.close()


def test_a_part_that_goes_leaves_the_rest_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    speak(bench)
    bench.move()
    bench.do(commit(answer(1, 100, 63_900)))
    bench.run_maintenance(10)
    assert Ranges(bench.tiers.stores[-1].audio.ranges("run-1")) == Ranges([(0, 100), (63_900, 64_000)])
    assert copies(tmp_path) == 1, "the first piece"
    bench.close()


@pytest.mark.slow
def test_a_reader_in_the_way_only_delays_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    speak(bench)
    reader = sqlite3.connect(tmp_path / "runtime/spool.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM audio").fetchall()
    bench.do(ReleaseAudio("run-1", 0, 64_000))
    bench.run_maintenance(2.5)
    assert copies(tmp_path)
    reader.close()
    bench.run_maintenance(2.5)
    assert copies(tmp_path) == 0
    bench.close()


@pytest.mark.slow
def test_the_thread_does_it_by_itself(tmp_path: Path) -> None:
    async def body(spool: Spool, events: list[SpoolEvent], _: RecoveredState) -> None:
        spool.begin_run(run_of())
        spool.open_segment("run-1", 0)
        spool.put_audio("run-1", 0, SPEECH)
        await spool.load("run-1", 0, 1)
        spool.release("run-1", 0, 64_000)
        for _try in range(50):
            await asyncio.sleep(0.1)
            if not copies(tmp_path):
                return
        raise AssertionError("copies remain after five seconds")

    with_spool(tmp_path, body)
