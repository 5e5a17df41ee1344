"""A process that dies between any two statements, or at any moment, loses nothing stored and doubles nothing."""

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edged.model.ranges import Ranges
from edged.spool.commands import Command, CommitRecord, MarkDelivered, PutAudio, ReleaseAudio
from edged.spool.model import RecordCommitted, SpoolEvent
from edged.spool.spool import Spool
from tests.spool.some import SINKS, Bench, answer, audio, commit, pcm, run_of, segment, settings

STEPS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    ("do", (segment(0), *(audio(at, at + 1600) for at in range(0, 9600, 1600)))),
    ("later", ()),
    ("do", tuple(audio(at, at + 1600) for at in range(9600, 16_000, 1600))),
    ("do", (commit(answer(1, 0, 4000)),)),
    ("do", (commit(answer(2, 8000, 12_000)), MarkDelivered("file", ("id-1",)))),
    ("soon", ()),
    ("do", (ReleaseAudio("run-1", 12_000, 12_800), segment(0, 16_000))),
    ("later", ()),
    ("do", (segment(16_000, chain=0), audio(16_000, 19_200), audio(19_200, 20_000))),
    ("do", (commit(answer(3, 16_000, 19_000)),)),
    ("do", (audio(20_000, 21_600), commit(answer(4, 13_000, 15_000)))),
    ("do", (MarkDelivered("journal", ("id-1", "id-3")), MarkDelivered("file", ("id-3",)))),
    ("stop", ()),
    ("do", (audio(21_600, 23_200), commit(answer(5, 20_000, 22_000)))),
)
"""A life: audio in memory and on disk, records of either and of both, moved in between."""


def live(base: Path, say: Callable[[str], None]) -> None:
    """Go through the steps; `say` before and after each, for somebody who outlives this process."""
    bench = Bench(base)
    bench.begin(run_of())
    for number, (what, commands) in enumerate(STEPS):
        say(f"begin {number}")
        if what == "do":
            told: list[SpoolEvent] = bench.do(*commands)
            assert all(event.durable for event in told if isinstance(event, RecordCommitted))
        elif what in ("soon", "later"):
            bench.run_maintenance(5 if what == "soon" else 100)
        else:
            bench.move()
        say(f"end {number}")


def dies(what: Callable[[], None], at_statement: int | None = None) -> bool:
    """Do it in a process of its own, which ends at that statement as if it was killed. Returns whether it got there."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if at_statement is not None:
                _die_at(at_statement)
            what()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def _die_at(statement: int) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os._exit(9)

    def counting(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = counting  # type: ignore[assignment]


def journal(path: Path) -> Callable[[str], None]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda line: void(os.write(fd, f"{line}\n".encode()))


def void(_: object) -> None:
    return


def check(base: Path, journal: Path) -> None:
    """What must be there, by what was said."""
    lines = journal.read_text().split("\n") if journal.exists() else []
    begun = {int(line.split()[1]) for line in lines if line.startswith("begin")}
    ended = {int(line.split()[1]) for line in lines if line.startswith("end")}
    certain, possible = Ranges(), Ranges()
    records: dict[str, bool] = {}
    answered, maybe = Ranges(), Ranges()
    marks: set[tuple[str, str]] = set()
    for number in sorted(begun):
        for command in STEPS[number][1]:
            match command:
                case ReleaseAudio(_, start, end):
                    (answered if number in ended else maybe).add(start, end)
                case MarkDelivered(sink, ids):
                    marks |= {(id_, sink) for id_ in ids if number in ended}
                case PutAudio():
                    possible.add(command.position, command.end)
                    if number in ended:
                        certain.add(command.position, command.end)
                case CommitRecord():
                    records[command.record.id] = number in ended
    bench = Bench(base)
    try:
        known = {each.record.id: each.record for each in bench.recovered.undelivered}
        lacking = {each.record.id: set(each.missing_sinks) for each in bench.recovered.undelivered}
        known |= {each.id: each for each in bench.recovered.delivered}
        assert len(known) == len(bench.recovered.undelivered) + len(bench.recovered.delivered), (
            "no record is there twice"
        )
        assert {id_ for id_, sure in records.items() if sure} <= known.keys() <= records.keys()
        for id_, sink in marks & {(id_, sink) for id_ in known for sink in ("file", "journal")}:
            assert sink not in lacking.get(id_, set())
        waiting = bench.waiting()
        for each in known.values():
            assert not waiting.overlaps(each.from_, each.to), "what is recorded does not wait"
            answered.add(each.from_, each.to)
        assert all(possible.within(*piece) == [piece] for piece in waiting)
        for start, end in certain:
            for missing in waiting.gaps(start, end):
                left = Ranges([missing])
                for a, b in [*answered, *maybe]:
                    left.remove(a, b)
                assert not left, f"{left} was stored and is gone"
        for start, end in answered:
            assert not waiting.overlaps(start, end) or maybe_released_only(answered, waiting, known.values())
        stretches = [s for backlog in bench.recovered.backlogs for s in backlog.ranges]
        assert Ranges((s.start, s.end) for s in stretches) == waiting, "all that waits has a segment"
        assert all(s.chain == 0 for s in stretches), "and the right one"
    finally:
        bench.close()


def maybe_released_only(answered: Ranges, waiting: Ranges, known: Any) -> bool:
    """Released silence may wait again: its release on disk comes with the next write there."""
    recorded = Ranges((each.from_, each.to) for each in known)
    again = [piece for a, b in answered for piece in waiting.within(a, b)]
    return all(not recorded.overlaps(a, b) for a, b in again)


def statements(base: Path) -> int:
    """How many a whole life has."""
    low, high = 1, 1024
    while high - low > 1:
        middle = (low + high) // 2
        if dies(partial(live, base / f"{middle}", void), middle):
            low = middle
        else:
            high = middle
    return low


def crash_at(base: Path, statement: int, again: int) -> None:
    """Die there, die once more while recovering, and look."""
    said = base / "said"
    base.mkdir()
    assert dies(lambda: live(base, journal(said)), statement)
    dies(lambda: Bench(base).close(), again)
    check(base, said)


def test_a_life_without_a_crash_is_as_expected(tmp_path: Path) -> None:
    said = tmp_path / "said"
    assert not dies(lambda: live(tmp_path, journal(said)))
    check(tmp_path, said)


@pytest.mark.slow
def test_a_crash_at_some_statements_loses_and_doubles_nothing(tmp_path: Path) -> None:
    for number in range(0, 240, 17):
        crash_at(tmp_path / f"{number}", 40 + number, 10 + number % 60)


@pytest.mark.slow
def test_a_crash_at_every_statement_loses_and_doubles_nothing(tmp_path: Path) -> None:
    every = statements(tmp_path)
    assert every > 200
    for number in range(1, every + 1):
        crash_at(tmp_path / f"at-{number}", number, 1 + number * 7 % 110)


@pytest.mark.slow
def test_sigkill_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(3)
    started = time.monotonic()
    assert not dies(lambda: live(tmp_path / "whole", void))
    whole_s = time.monotonic() - started
    for number in range(150):
        base = tmp_path / f"{number}"
        base.mkdir()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                live(base, journal(base / "said"))
            os._exit(0)
        time.sleep(chance.uniform(0, whole_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check(base, base / "said")


def check_after_power_cut(base: Path, journal: Path) -> None:
    """The memory is gone; what had come to the disk is there still, as audio or as a record."""
    shutil.rmtree(base / "runtime", ignore_errors=True)
    ended = [int(line.split()[1]) for line in journal.read_text().split("\n") if line.startswith("end")]
    bench = Bench(base)
    try:
        waiting = bench.waiting()
        for each in [*(pending.record for pending in bench.recovered.undelivered), *bench.recovered.delivered]:
            assert not waiting.overlaps(each.from_, each.to)
            waiting.add(each.from_, each.to)
        moved = Ranges([(0, 9600)] if 1 in ended else []) if 7 not in ended else Ranges([(0, 12_000), (12_800, 16_000)])
        if 12 in ended:
            moved = Ranges([(0, 12_000), (12_800, 21_600)])
        assert all(waiting.within(*piece) == [piece] for piece in moved), f"{moved} was on disk: {waiting}"
    finally:
        bench.close()


@pytest.mark.slow
def test_a_power_cut_takes_nothing_that_was_on_disk(tmp_path: Path) -> None:
    """Every record of audio that was on disk is itself on disk before that audio is deleted."""
    for number in range(100, statements(tmp_path), 3):
        base = tmp_path / f"at-{number}"
        base.mkdir()
        assert dies(partial(live, base, journal(base / "said")), number)
        check_after_power_cut(base, base / "said")


async def speak_for_ever(base: Path, say: Callable[[str], None]) -> None:
    """With the thread, in real time (only faster): speech, moves to the disk, records of it all."""
    spool = Spool(
        settings(base, to_disk_s=1, sync_s=0.1), asyncio.get_running_loop().call_soon_threadsafe, lambda event: None
    )
    await asyncio.to_thread(spool.open, SINKS)
    spool.begin_run(run_of(boot_id=spool.boot_id))
    answered = 0
    for number in itertools.count():
        at = number * 1600
        if number % 50 == 0:
            spool.close_segment("run-1", at, continues=True)
            spool.open_segment("run-1", at, chain=0)
        spool.put_audio("run-1", at, pcm(at, at + 1600))
        if number % 7 == 0:
            upto = max(0, at - 16_000 * (number % 5)) - number % 1000
            if upto > answered:
                say(f"order {answered} {upto}")
                spool.commit(answer(number, answered, upto))
                answered = upto
        if number % 10 == 0:
            await spool.load("run-1", 0, 1)
            say(f"stored {at + 1600}")
        await asyncio.sleep(0.002)


@pytest.mark.slow
def test_sigkill_of_the_thread_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(5)
    for batch in range(6):
        children = []
        for number in range(9):
            base = tmp_path / f"{batch}-{number}"
            base.mkdir()
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    asyncio.run(speak_for_ever(base, journal(base / "said")))
                os._exit(1)
            children.append((child, base))
        for child, _ in children:
            time.sleep(chance.uniform(0, 0.5))
            os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        for _, base in children:
            check_speech(base)


def check_speech(base: Path) -> None:
    said = (base / "said").read_text().splitlines() if (base / "said").exists() else []
    stored = max([0, *(int(line.split()[1]) for line in said if line.startswith("stored"))])
    bench = Bench(base)
    waiting = bench.waiting()
    for each in bench.recovered.undelivered:
        assert f"order {each.record.from_} {each.record.to}" in said
        assert not waiting.overlaps(each.record.from_, each.record.to)
        waiting.add(each.record.from_, each.record.to)
    assert not waiting.gaps(0, stored)
    bench.close()
