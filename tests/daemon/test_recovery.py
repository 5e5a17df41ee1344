"""Recovery of what an earlier process left: facts about its run, waiting audio, and audio that is already settled."""

import pytest

from edged.config.settings import CaptureSettings, GateSettings
from edged.daemon.recovery import untranscribed
from edged.daemon.ring_recovery import judge_ring, known_until, merge_backlog, ring_backlog
from edged.model.ranges import Ranges
from edged.spool.capture_time import Anchor, Boot
from edged.spool.model import RecoveredState, RunBacklog, RunInfo, StoredRange, UndeliveredRecord
from edged.spool.ring import RingContents
from tests.life import RATE, SPOKEN
from tests.spool.some import BOOT, answer, run_of

HERE = Boot("boot-2", 1_700_000_500.0, True)
KEPT = RingContents("run-1", RATE, 0, SPOKEN.pcm, 0, 100.0, "boot-1")
"""A word, at 0.54 s to 0.9 s."""


def waits(*stretches: tuple[int, int], run: str = "run-1") -> RunBacklog:
    """All of it voiced."""
    cut = tuple(StoredRange(start, end, start, False, ((start, end),)) for start, end in stretches)
    return RunBacklog(run_of(run), cut, (Anchor(0, 0.0),), BOOT, 0.0)


def recovered(*backlogs: RunBacklog, **changes: object) -> RecoveredState:
    known = {backlog.run.run: backlog.run for backlog in backlogs}
    none = RecoveredState(HERE.boot_id, (), (), backlogs, 0, known, {HERE.boot_id: HERE, BOOT.boot_id: BOOT})
    return none._replace(**changes)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("known", "to"),
    [
        pytest.param(recovered(), 0, id="nothing"),
        pytest.param(recovered(waits((0, 100), (200, 300))), 300, id="what waits"),
        pytest.param(recovered(waits((0, 900), run="run-2"), waits((0, 300))), 300, id="of this run only"),
        pytest.param(
            recovered(undelivered=(UndeliveredRecord(answer(1, 0, 500), ("file",)),)), 500, id="what is to be delivered"
        ),
        pytest.param(
            recovered(delivered=(answer(1, 0, 500), answer(2, 0, 900, "run-2"))), 500, id="what was delivered"
        ),
        pytest.param(recovered(waits((0, 300)), delivered=(answer(1, 400, 500),)), 500, id="the furthest of them"),
        pytest.param(recovered(waits((400, 600)), delivered=(answer(1, 0, 400),)), 600, id="whichever it is"),
    ],
)
def test_audio_comes_in_order_so_that_what_lies_before_the_last_known_was_dealt_with(
    known: RecoveredState, to: int
) -> None:
    assert known_until(known, "run-1") == to


def word(let_to: int = 0, after: int = 0) -> RunBacklog | None:
    kept = KEPT._replace(passed_to=let_to)
    return ring_backlog(kept, judge_ring(kept, GateSettings(), after), recovered(), CaptureSettings(channel=3))


def test_a_voice_in_a_ring_waits_from_before_its_beginning_to_behind_its_end() -> None:
    rest = word()
    assert rest is not None
    [stretch] = rest.ranges
    assert stretch.start < SPOKEN.words[0].start < SPOKEN.words[0].end < stretch.end
    assert stretch.voiced
    assert rest.run == RunInfo("run-1", "boot-1", RATE, 3, "auto", 100.0)
    assert rest.anchors == (Anchor(stretch.start, 100.0 + stretch.start / RATE),)
    assert rest.boot == BOOT
    assert rest.age_s > 0


@pytest.mark.parametrize("known", [{"let_to": 20_000}, {"after": 20_000}])
def test_what_is_known_of_a_ring_does_not_wait_again(known: dict[str, int]) -> None:
    assert word(**known) is None


def test_what_lies_in_a_hole_of_a_ring_is_not_heard() -> None:
    length = len(SPOKEN.pcm) // 2
    kept = KEPT._replace(pcm=SPOKEN.pcm * 2, holes=((length, 2 * length),))
    assert judge_ring(kept, GateSettings()) == judge_ring(KEPT, GateSettings())


def test_what_is_known_of_a_run_counts_more_than_the_settings() -> None:
    run = run_of()
    rest = ring_backlog(KEPT, judge_ring(KEPT, GateSettings()), recovered(runs={"run-1": run}), CaptureSettings())
    assert rest is not None
    assert rest.run == run


def test_what_a_ring_holds_comes_behind_what_the_spool_holds_of_its_run() -> None:
    one, two, more = waits((0, 100)), waits((0, 50), run="run-2"), waits((100, 300))
    both = merge_backlog(recovered(one, two), more).backlogs
    assert [(each.run.run, [(s.start, s.end) for s in each.ranges]) for each in both] == [
        ("run-1", [(0, 100), (100, 300)]),
        ("run-2", [(0, 50)]),
    ]
    assert merge_backlog(recovered(two), more).backlogs == (two, more)


@pytest.mark.parametrize(
    ("answered", "left"),
    [
        ([], [(0, 300), (400, 500)]),
        ([(0, 300)], [(400, 500)]),
        ([(50, 150), (450, 900)], [(0, 50), (150, 300), (400, 450)]),
        ([(0, 500)], []),
    ],
)
def test_what_waits_is_what_nobody_has_answered_and_neighbours_are_one(
    answered: list[tuple[int, int]], left: list[tuple[int, int]]
) -> None:
    """A word may lie across the border of two pieces of a segment."""
    found = untranscribed(waits((0, 100), (100, 300), (400, 500)), Ranges(answered))
    assert [(start, end) for start, end, _ in found] == left
    assert [Ranges(voiced) for _, _, voiced in found] == [Ranges([each]) for each in left]
