"""Any history of orders, moves and crashes, against a model that is a set of positions and a dictionary."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edged.model.ranges import Ranges
from edged.spool.commands import MarkDelivered, ReleaseAudio
from tests.spool.some import SINKS, Bench, answer, audio, commit, run_of, segment

UNIT = 800
"""Samples: ranges of records and audio share no edges, but do so often."""

SPAN = st.tuples(st.integers(0, 40), st.integers(1, 12))


class History(RuleBasedStateMachine):
    """What the spool holds, beside what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.base = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.bench = self.opened()
        self.runs = 0
        self.number = 0
        self.records: dict[str, tuple[str, int, int]] = {}
        self.marks: set[tuple[str, str]] = set()
        self.waiting: dict[str, Ranges] = {}
        self.ends: dict[str, int] = {}
        self.silence: dict[str, Ranges] = {}
        self.voiced: dict[str, Ranges] = {}

    def opened(self) -> Bench:
        return Bench(Path(self.base.name), runtime_max_mb=1)

    @initialize()
    def first_run(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.runs += 1
        self.run = f"run-{self.runs}"
        self.end, self.is_open = 0, False
        self.ends[self.run] = 0
        self.waiting[self.run], self.silence[self.run], self.voiced[self.run] = Ranges(), Ranges(), Ranges()
        self.bench.begin(run_of(self.run))

    @rule(hole=st.integers(0, 2000), length=st.integers(1, 4000), voiced=st.booleans())
    def speak(self, hole: int, length: int, voiced: bool) -> None:
        if not self.is_open:
            self.end += hole
            self.bench.do(segment(self.end, run=self.run))
            self.start, self.is_open = self.end, True
        start, self.end = self.end, self.end + length
        heard = ((start, start + length // 2),) if voiced and length > 1 else ()
        self.bench.do(audio(start, self.end, heard, run=self.run))
        self.ends[self.run] = self.end
        self.waiting[self.run].add(start, self.end)
        for low, high in heard:
            self.voiced[self.run].add(low, high)

    @precondition(lambda self: self.is_open)
    @rule()
    def fall_silent(self) -> None:
        self.bench.do(segment(self.start, self.end, run=self.run))
        self.is_open = False

    @rule(at=SPAN, which=st.integers(1, 9))
    def record(self, at: tuple[int, int], which: int) -> None:
        run = f"run-{1 + which % self.runs}"
        start, end = at[0] * UNIT, min((at[0] + at[1]) * UNIT, self.ends[run])  # nothing is answered before it is said
        if start >= end:
            return
        self.number += 1
        told = self.bench.do(commit(answer(self.number, start, end, run)))
        assert [event for event in told if getattr(event, "durable", False)]
        self.records[f"id-{self.number}"] = run, start, end
        self.waiting[run].remove(start, end)

    @rule(at=SPAN, which=st.integers(1, 9))
    def settle(self, at: tuple[int, int], which: int) -> None:
        run = f"run-{1 + which % self.runs}"
        start, end = at[0] * UNIT + 100, (at[0] + at[1]) * UNIT
        self.bench.do(ReleaseAudio(run, start, end))
        for low, high in self.waiting[run].within(start, end):
            self.silence[run].add(low, high)
        self.waiting[run].remove(start, end)

    @rule(number=st.integers(1, 20), sink=st.sampled_from(SINKS))
    def deliver(self, number: int, sink: str) -> None:
        if f"id-{number}" in self.records:
            self.bench.do(MarkDelivered(sink, (f"id-{number}",)))
            self.marks.add((f"id-{number}", sink))

    @rule(later_s=st.sampled_from([3.0, 12.0, 70.0]))
    def wait(self, later_s: float) -> None:
        self.bench.run_maintenance(later_s)

    @rule()
    def stop_and_start(self) -> None:
        self.bench.move()
        self.crash()

    @rule()
    def crash(self) -> None:
        now_s = self.bench.now_s
        self.bench.close()
        self.bench = self.opened()
        self.bench.now_s = now_s
        found = self.bench.recovered
        lacking = {each.record.id: set(each.missing_sinks) for each in found.undelivered}
        assert lacking.keys() | {each.id for each in found.delivered} == self.records.keys()
        for id_ in self.records:
            assert lacking.get(id_, set()) == {sink for sink in SINKS if (id_, sink) not in self.marks}
        stretches = {backlog.run.run: backlog.ranges for backlog in found.backlogs}
        for run, model in self.waiting.items():
            waiting = self.bench.waiting(run)
            for start, end in self.silence[run]:  # may wait again, unless a record covers it
                for low, high in waiting.within(start, end):
                    model.add(low, high)
            assert waiting == model
            assert Ranges((each.start, each.end) for each in stretches.get(run, ())) == waiting
            heard = Ranges(range_ for each in stretches.get(run, ()) for range_ in each.voiced)
            assert heard == Ranges(r for a, b in waiting for r in self.voiced[run].within(a, b))
        self.begin()

    @invariant()
    def what_waits_is_what_should(self) -> None:
        for run, model in self.waiting.items():
            assert self.bench.waiting(run) == model

    def teardown(self) -> None:
        self.bench.close()
        self.base.cleanup()


def play(histories: int, steps: int) -> None:
    how = settings(
        max_examples=histories, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(History, settings=how)


@pytest.mark.slow
def test_any_history() -> None:
    play(40, 25)


@pytest.mark.slow
def test_any_long_history() -> None:
    play(300, 50)
