"""Positions and stamps: literal histories, and generated ones against the truth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.positions import Positions

RATE = 16_000
BLOCK = 1600


def test_blocks_that_follow_each_other_have_no_gap() -> None:
    positions = Positions(RATE)
    assert positions.place(BLOCK, 100.0, broken=True, tolerance_s=0.15) == (0, 100.0, 0)
    assert positions.place(BLOCK, 100.1, broken=False, tolerance_s=0.15) == pytest.approx((1600, 100.1, 0))


def test_known_loss_moves_the_position_on_by_the_time_that_passed() -> None:
    positions = Positions(RATE)
    positions.place(BLOCK, 100.0, broken=True, tolerance_s=0.15)
    assert positions.place(BLOCK, 100.6, broken=True, tolerance_s=0.15) == pytest.approx((9600, 100.6, 8000))


def test_a_late_stamp_is_waiting_up_to_the_tolerance_and_missing_audio_beyond() -> None:
    positions = Positions(RATE)
    positions.place(BLOCK, 100.0, broken=True, tolerance_s=0.15)
    late = positions.place(BLOCK, 100.1 + 0.14, broken=False, tolerance_s=0.15)
    assert late.lost_samples == 0
    assert late.at_s == pytest.approx(100.1, abs=0.001)
    missing = positions.place(BLOCK, 100.2 + 0.16, broken=False, tolerance_s=0.15)
    assert missing.lost_samples == pytest.approx(0.16 * RATE, abs=2)


def test_a_day_of_sleep_is_a_hole_of_a_day() -> None:
    positions = Positions(RATE)
    positions.place(BLOCK, 100.0, broken=True, tolerance_s=0.15)
    assert positions.place(BLOCK, 86_500.1, broken=False, tolerance_s=0.15).position == pytest.approx(86_400.1 * RATE)


def test_a_first_stamp_that_was_late_is_corrected_by_the_next() -> None:
    positions = Positions(RATE)
    positions.place(BLOCK, 100.08, broken=True, tolerance_s=0.15)
    assert positions.place(BLOCK, 100.1, broken=False, tolerance_s=0.15).at_s == pytest.approx(100.1)


def test_an_estimate_never_goes_backwards() -> None:
    """Loss whose stamp says that no time passed: the position stands still."""
    positions = Positions(RATE)
    positions.place(BLOCK, 100.0, broken=True, tolerance_s=0.15)
    assert positions.place(BLOCK, 99.0, broken=True, tolerance_s=0.15).position == BLOCK


history = st.lists(
    st.tuples(
        st.floats(0, 0.14),  # how late it is read
        st.one_of(st.just(0.0), st.floats(0.2, 50)),  # seconds of audio lost before it, and known to be
    ),
    min_size=1,
    max_size=200,
)


@given(history, st.floats(-200e-6, 200e-6))
def test_with_drift_waiting_and_loss_positions_never_overlap_and_stamps_stay_near_the_truth(
    blocks: list[tuple[float, float]], drift: float
) -> None:
    positions = Positions(RATE)
    true_s = begun_s = 1000.0
    end = 0
    for number, (late_s, lost_s) in enumerate(blocks):
        true_s += lost_s if number else 0
        placed = positions.place(BLOCK, true_s + late_s, broken=lost_s > 0, tolerance_s=0.15)
        assert placed.position == end + placed.lost_samples
        assert -1e-6 <= placed.at_s - true_s <= 0.15, "never too early, and too late by no more than the waiting"
        end = placed.position + BLOCK
        true_s += BLOCK / RATE * (1 + drift)
    holes = sum(lost_s > 0 for _, lost_s in blocks)
    off_s = end / RATE - (true_s - begun_s)
    assert abs(off_s) <= 0.15 * (holes + 1) + 200e-6 * (true_s - begun_s), "each hole is known to within the waiting"


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_a_cards_drift_is_followed_for_hours_without_inventing_holes(drift: float) -> None:
    positions = Positions(RATE)
    true_s = 0.0
    for _ in range(36_000):  # an hour
        placed = positions.place(BLOCK, true_s, broken=False, tolerance_s=0.15)
        assert placed.lost_samples == 0
        assert abs(placed.at_s - true_s) < 1e-6
        true_s += BLOCK / RATE * (1 + drift)
