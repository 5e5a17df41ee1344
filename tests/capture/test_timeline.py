"""The times of positions."""

import random
from itertools import pairwise

import pytest

from edged.capture.timeline import MAX_ANCHORS, Timeline

RATE = 16_000
BLOCK = 1600


def hours_of(timeline: Timeline, ppm: float, *, hours: float, late_s: float = 0.0, seed: int = 0) -> list[float]:
    """A card whose seconds are `ppm` too long, stamped up to `late_s` too late; returns the errors, in seconds."""
    rng = random.Random(seed)
    errors = []
    for i in range(int(hours * 36_000)):
        true_s = 100 + i * 0.1 * (1 + ppm * 1e-6)
        timeline.observe(i * BLOCK, BLOCK, true_s + (rng.uniform(0, late_s) if i else 0))
        errors.append(timeline.at_s(i * BLOCK) - true_s)
    return errors


def test_positions_become_times_by_the_stamps() -> None:
    timeline = Timeline(RATE)
    timeline.observe(0, BLOCK, 100.0)
    assert timeline.at_s(800) == pytest.approx(100.05)


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-100, -20, 0, 20, 100])
def test_a_drifting_card_is_followed_within_10_ms_over_hours(ppm: float) -> None:
    """100 ppm are 8.6 s a day."""
    assert max(map(abs, hours_of(Timeline(RATE), ppm, hours=3))) < 0.010


@pytest.mark.parametrize("ppm", [-100, 100])
def test_late_stamps_do_not_delay_times(ppm: float) -> None:
    """Scheduling delays stamps, by up to 80 ms here; the least late ones count."""
    assert max(map(abs, hours_of(Timeline(RATE), ppm, hours=2, late_s=0.08))) < 0.012


@pytest.mark.parametrize("ppm", [-100, 100])
def test_times_never_run_backwards(ppm: float) -> None:
    timeline = Timeline(RATE)
    hours_of(timeline, ppm, hours=0.5, late_s=0.05)
    times = [timeline.at_s(position) for position in range(0, int(0.5 * 3600 * RATE), 997)]
    assert all(a < b for a, b in pairwise(times))


def test_a_new_line_begins_at_the_stamp_after_a_hole() -> None:
    """The length of the hole in positions is an estimate, so the stamp after it counts."""
    timeline = Timeline(RATE)
    timeline.observe(0, BLOCK, 100.0)
    timeline.observe(10 * BLOCK, BLOCK, 101.25)
    assert timeline.at_s(10 * BLOCK) == 101.25
    assert timeline.at_s(0) == 100.0


def test_a_stamp_after_a_hole_does_not_turn_time_back() -> None:
    timeline = Timeline(RATE)
    timeline.observe(0, BLOCK, 100.0)
    timeline.observe(10 * BLOCK, BLOCK, 100.5)
    before, after = timeline.at_s(10 * BLOCK - 1), timeline.at_s(10 * BLOCK)
    assert before <= after == pytest.approx(101.0, abs=0.001)


def test_before_the_first_block_there_is_no_time() -> None:
    with pytest.raises(ValueError, match="nothing was captured"):
        Timeline(RATE).at_s(0)


def test_the_line_remembers_hours_and_no_more() -> None:
    """Each hole begins a new line; the oldest one that is kept dates all positions before it."""
    timeline = Timeline(RATE)
    for i in range(MAX_ANCHORS + 100):
        timeline.observe(2 * i * BLOCK, BLOCK, i * 0.2)
    assert len(timeline._anchors) == MAX_ANCHORS
    assert timeline.at_s(0) == pytest.approx(0.0)


@pytest.mark.parametrize("pace", [0.67, 0.94, 1.06, 1.5])
def test_a_card_with_a_wrong_rate_is_followed_and_times_never_run_backwards(pace: float) -> None:
    timeline, true_s, told = Timeline(RATE), 100.0, [99.0]
    for number in range(36_000):
        timeline.observe(number * 1600, 1600, true_s)
        told.append(timeline.at_s(number * 1600))
        true_s += 0.1 * pace
    assert all(a < b for a, b in pairwise(told))
    assert abs(told[-1] - true_s) < 60 * abs(pace - 1) + 1, "by what the error comes to in a minute; an hour's is more"


def test_audio_after_a_hole_that_is_found_late_gets_later_times() -> None:
    timeline = Timeline(RATE)
    for number in range(20):
        timeline.observe(number * BLOCK, BLOCK, 100.0 + number / 10)
    assert dict(timeline.shift(5 * BLOCK, 0.7)) == pytest.approx({5 * BLOCK: 101.2})
    assert timeline.at_s(5 * BLOCK - 1) == pytest.approx(100.5, abs=0.001)
    assert timeline.at_s(19 * BLOCK) == pytest.approx(102.6)
    assert timeline.observe(20 * BLOCK, BLOCK, 102.7) is None
    assert timeline.at_s(21 * BLOCK) == pytest.approx(102.8)


def test_a_shift_moves_later_lines_too() -> None:
    timeline = Timeline(RATE)
    timeline.observe(0, BLOCK, 100.0)
    timeline.observe(10 * BLOCK, BLOCK, 105.0)
    assert dict(timeline.shift(BLOCK // 2, 0.5)) == pytest.approx({BLOCK // 2: 100.55, 10 * BLOCK: 105.5})
    times = [timeline.at_s(position) for position in range(0, 12 * BLOCK, 100) if not BLOCK <= position < 10 * BLOCK]
    assert all(a < b for a, b in pairwise(times))
