"""Positions and stamps: literal histories, and generated ones against the truth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.capture_clock import CaptureClock, Tolerance

RATE = 16_000
BLOCK = 1600
TOLERANCE = Tolerance(usual_s=0.15, max_s=1.05)


def test_blocks_that_follow_each_other_have_no_gap() -> None:
    clock = CaptureClock(RATE)
    assert clock.place(BLOCK, 100.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0) == (
        0,
        100.0,
        0,
        None,
    )
    assert clock.place(BLOCK, 100.1, after_hole=False, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)[
        :3
    ] == pytest.approx((1600, 100.1, 0))


def test_known_loss_advances_the_position_by_the_time_that_passed() -> None:
    clock = CaptureClock(RATE)
    clock.place(BLOCK, 100.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)
    placed = clock.place(BLOCK, 100.6, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)
    assert placed[:3] == pytest.approx((9600, 100.6, 8000))
    assert placed.late_from is None


def lost(clock: CaptureClock, late: list[float], clock_s_per_audio_s: float | None = 1.0) -> list[float]:
    """Return the seconds missing before each block after the first, by the lateness of the stamps."""
    clock.place(BLOCK, 100.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=clock_s_per_audio_s)
    return [
        clock.place(
            BLOCK,
            100.1 + 0.1 * number + late_s,
            after_hole=False,
            tolerance=TOLERANCE,
            clock_s_per_audio_s=clock_s_per_audio_s,
        ).lost_samples
        / RATE
        for number, late_s in enumerate(late)
    ]


def test_a_stamp_later_than_full_buffers_proves_a_hole_at_once() -> None:
    assert lost(CaptureClock(RATE), [0.0, 1.04]) == [0.0, 0.0]
    assert lost(CaptureClock(RATE), [0.0, 1.06]) == pytest.approx([0.0, 1.06], abs=0.001)


@pytest.mark.parametrize("pace", [None, 1.0])
@pytest.mark.parametrize("first_late", [1, 7, 12, 25])
def test_a_hole_proven_by_time_lies_before_the_first_late_block_and_changes_no_position(
    first_late: int, pace: float | None
) -> None:
    clock = CaptureClock(RATE)
    stamps = [100.0 + 0.1 * number + (0.7 if number >= first_late else 0.0) for number in range(50)]
    placed = [
        clock.place(BLOCK, stamp_s, after_hole=not number, tolerance=TOLERANCE, clock_s_per_audio_s=pace)
        for number, stamp_s in enumerate(stamps)
    ]
    (found,) = [block for block in placed if block.lost_samples]
    assert found.late_from == first_late * BLOCK
    assert found.lost_samples == pytest.approx(0.7 * RATE, abs=0.02 * RATE)
    assert placed.index(found) <= first_late + 10, "within a second"
    assert [block.position for block in placed] == [number * BLOCK for number in range(50)]
    assert placed[-1].at_s == pytest.approx(stamps[-1], abs=0.02)


def test_a_block_that_waited_in_a_plug_in_is_no_hole() -> None:
    """Blocks wait for up to a buffer, again and again."""
    assert set(lost(CaptureClock(RATE), [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0] * 20)) == {0.0}


def test_time_proves_a_hole_that_was_not_reported() -> None:
    """The lateness that all blocks of a second share is one hole within two seconds."""
    found = lost(CaptureClock(RATE), [0.0] * 20 + [0.4, 0.3, 0.35] * 20)
    assert sum(found) == pytest.approx(0.3, abs=0.01)
    [at] = [number for number, lost_s in enumerate(found) if lost_s]
    assert 20 + 9 <= at <= 20 + 22


def test_before_the_rate_is_measured_constant_lateness_is_a_hole_and_growing_lateness_is_not() -> None:
    stays, grows = [0.0] * 5 + [0.3] * 30, [0.03 * number for number in range(40)]
    assert sum(lost(CaptureClock(RATE), stays, clock_s_per_audio_s=None)) == pytest.approx(0.3, abs=0.01)
    clock = CaptureClock(RATE)
    assert set(lost(clock, grows, clock_s_per_audio_s=None)) == {0.0}
    at = clock.place(BLOCK, 104.1 + 1.2, after_hole=False, tolerance=TOLERANCE, clock_s_per_audio_s=None).at_s
    assert at == pytest.approx(105.3, abs=0.4)


@pytest.mark.parametrize("pace", [1.07, 0.67, 1.5])
def test_a_card_with_a_wrong_rate_has_no_holes_and_right_times(pace: float) -> None:
    clock, true_s = CaptureClock(RATE), 100.0
    for number in range(600):
        known = pace if number > 60 else None
        placed = clock.place(BLOCK, true_s, after_hole=False, tolerance=TOLERANCE, clock_s_per_audio_s=known)
        assert placed.lost_samples == 0
        assert abs(placed.at_s - true_s) < (1.1 if number < 80 else 0.02)
        true_s += 0.1 * pace


def test_the_lateness_of_a_slow_card_when_its_rate_becomes_known_is_no_hole() -> None:
    clock = CaptureClock(RATE)
    clock.place(BLOCK, 100.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=None)
    placed = [
        clock.place(
            BLOCK,
            100.0 + 0.2 * number,
            after_hole=False,
            tolerance=TOLERANCE,
            clock_s_per_audio_s=None if number < 75 else 2.0,
        )
        for number in range(1, 200)
    ]
    assert sum(one.lost_samples for one in placed) == 0
    assert placed[-1].at_s == pytest.approx(100.0 + 0.2 * 199, abs=0.05)


def test_a_suspend_of_a_day_is_a_hole_of_a_day() -> None:
    clock = CaptureClock(RATE)
    clock.place(BLOCK, 100.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)
    assert clock.place(
        BLOCK, 86_500.1, after_hole=False, tolerance=TOLERANCE, clock_s_per_audio_s=1.0
    ).position == pytest.approx(86_400.1 * RATE)


def test_the_next_stamp_corrects_a_first_one_that_was_late() -> None:
    clock = CaptureClock(RATE)
    clock.place(BLOCK, 100.08, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)
    assert clock.place(
        BLOCK, 100.1, after_hole=False, tolerance=TOLERANCE, clock_s_per_audio_s=1.0
    ).at_s == pytest.approx(100.1)


def test_a_position_never_goes_backwards() -> None:
    """Known loss without any time between the stamps does not advance the position."""
    clock = CaptureClock(RATE)
    clock.place(BLOCK, 100.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)
    assert clock.place(BLOCK, 99.0, after_hole=True, tolerance=TOLERANCE, clock_s_per_audio_s=1.0).position == BLOCK


history = st.lists(
    st.tuples(
        st.floats(0, 0.14),  # how late it is read
        st.one_of(st.just(0.0), st.floats(0.2, 50)),  # seconds of audio lost before it, and known to be
    ),
    min_size=1,
    max_size=200,
)


@given(history, st.floats(-200e-6, 200e-6))
def test_with_drift_waiting_and_loss_positions_never_overlap_and_times_stay_near_the_truth(
    blocks: list[tuple[float, float]], drift: float
) -> None:
    clock = CaptureClock(RATE)
    true_s = begun_s = 1000.0
    end = 0
    for number, (late_s, lost_s) in enumerate(blocks):
        true_s += lost_s if number else 0
        placed = clock.place(
            BLOCK, true_s + late_s, after_hole=lost_s > 0, tolerance=TOLERANCE, clock_s_per_audio_s=1.0
        )
        assert placed.position == end + placed.lost_samples
        assert -1e-6 <= placed.at_s - true_s <= 0.15, "never too early, and too late by no more than the waiting"
        end = placed.position + BLOCK
        true_s += BLOCK / RATE * (1 + drift)
    holes = sum(lost_s > 0 for _, lost_s in blocks)
    off_s = end / RATE - (true_s - begun_s)
    assert abs(off_s) <= 0.15 * (holes + 1) + 200e-6 * (true_s - begun_s), "each hole is known to within the waiting"


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_the_drift_of_a_card_is_followed_for_hours_without_a_hole(drift: float) -> None:
    clock = CaptureClock(RATE)
    true_s = 0.0
    for _ in range(36_000):  # an hour
        placed = clock.place(BLOCK, true_s, after_hole=False, tolerance=TOLERANCE, clock_s_per_audio_s=1.0)
        assert placed.lost_samples == 0
        assert abs(placed.at_s - true_s) < 1e-6
        true_s += BLOCK / RATE * (1 + drift)
