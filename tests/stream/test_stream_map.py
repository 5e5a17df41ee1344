"""Where and when: stream time to positions, positions to capture time."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.stream.stream_map import KEPT_ANCHORS, SentPiece, StreamMap, Timeline

RATE = 16_000
BLOCK = 1600


def sent(*pieces: tuple[int, int], rate: int = 1000) -> StreamMap:
    """A connection on which `(position, length)` were sent."""
    stream = StreamMap(rate)
    for position, length in pieces:
        stream.append(position, length)
    return stream


def test_what_was_sent_in_one_go_is_one_piece() -> None:
    stream = sent((500, 100), (600, 100), (9000, 50))
    assert stream.pieces(0, 1000) == [SentPiece(0, 500, 200), SentPiece(200, 9000, 50)]
    assert stream.sent == 250


def test_no_sample_is_sent_twice_on_a_connection() -> None:
    stream = sent((500, 100))
    with pytest.raises(ValueError, match="position 599 was sent before"):
        stream.append(599, 1)


def test_pieces_are_cut_to_what_is_asked_for() -> None:
    assert sent((500, 100), (9000, 50)).pieces(90, 110) == [SentPiece(90, 590, 10), SentPiece(100, 9000, 10)]


def test_a_stream_time_lies_where_its_sample_was_captured() -> None:
    stream = sent((500, 100), (9000, 50))
    assert [stream.position(t) for t in (0, 99, 100, 149)] == [500, 599, 9000, 9049]


def test_what_was_reached_ends_on_the_near_side_of_a_skip() -> None:
    """`[0, 100)` reaches to 600, not to 9000, though sample 100 lies there."""
    stream = sent((500, 100), (9000, 50))
    assert [stream.reached(t) for t in (0, 100, 101)] == [500, 600, 9001]


def test_a_time_beyond_what_was_sent_lies_a_little_beyond_its_last_position() -> None:
    """A word's end can lie a little beyond its window."""
    assert sent((500, 100)).position(103) == 603


def test_rounding_on_the_wire_is_undone_where_audio_was_skipped_and_at_its_end() -> None:
    stream = sent((500, 100), (9000, 50))
    assert [stream.snap(t) for t in (99, 100, 101, 149, 151)] == [100, 100, 100, 150, 150]
    assert stream.snap(60) == 60


def test_after_hours_a_32_bit_float_is_wrong_by_more_than_a_millisecond() -> None:
    hours = 8 * 3600 * RATE
    stream = sent((0, hours), (2 * hours, BLOCK), rate=RATE)
    assert stream.snap(hours - hours // (1 << 22)) == hours


def test_forgetting_keeps_the_piece_that_is_still_needed() -> None:
    stream = sent((0, 100), (1000, 100), (5000, 100))
    stream.forget(150)
    assert stream.pieces(0, 300) == [SentPiece(100, 1000, 100), SentPiece(200, 5000, 100)]


def test_nothing_sent_has_no_position() -> None:
    with pytest.raises(ValueError, match="nothing was sent"):
        StreamMap(RATE).position(0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=20), st.data())
def test_each_sample_that_was_sent_has_its_own_position(pieces: list[tuple[int, int]], data: st.DataObject) -> None:
    stream, at = StreamMap(1000), 0
    positions: list[int] = []
    for skip, length in pieces:
        at += skip
        stream.append(at, length)
        positions += range(at, at + length)
        at += length
    assert [stream.position(t) for t in range(stream.sent)] == positions
    start = data.draw(st.integers(0, stream.sent))
    end = data.draw(st.integers(start, stream.sent))
    found = [p for piece in stream.pieces(start, end) for p in range(piece.position, piece.position + piece.length)]
    assert found == positions[start:end]


# -- capture time -----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("ppm", [-100, -20, 0, 20, 100])
def test_a_drifting_card_is_followed_within_10_ms_over_hours(ppm: float) -> None:
    """100 ppm are 8.6 s a day."""
    assert max(map(abs, hours_of(Timeline(RATE), ppm, hours=3))) < 0.010


@pytest.mark.parametrize("ppm", [-100, 100])
def test_late_stamps_do_not_make_times_late(ppm: float) -> None:
    """Scheduling makes stamps late, by up to 80 ms here; the least late ones are believed."""
    assert max(map(abs, hours_of(Timeline(RATE), ppm, hours=2, late_s=0.08))) < 0.012


@pytest.mark.parametrize("ppm", [-100, 100])
def test_times_never_run_backwards(ppm: float) -> None:
    timeline = Timeline(RATE)
    hours_of(timeline, ppm, hours=0.5, late_s=0.05)
    times = [timeline.at_s(position) for position in range(0, int(0.5 * 3600 * RATE), 997)]
    assert all(a < b for a, b in pairwise(times))


def test_a_hole_begins_a_new_line_from_the_stamp_behind_it() -> None:
    """The hole's length in positions is an estimate: the stamp behind it counts."""
    timeline = Timeline(RATE)
    timeline.observe(0, BLOCK, 100.0)
    timeline.observe(10 * BLOCK, BLOCK, 101.25)
    assert timeline.at_s(10 * BLOCK) == 101.25
    assert timeline.at_s(0) == 100.0


def test_a_stamp_behind_a_hole_does_not_turn_time_back() -> None:
    timeline = Timeline(RATE)
    timeline.observe(0, BLOCK, 100.0)
    timeline.observe(10 * BLOCK, BLOCK, 100.5)
    before, after = timeline.at_s(10 * BLOCK - 1), timeline.at_s(10 * BLOCK)
    assert before <= after == pytest.approx(101.0, abs=0.001)


def test_before_the_first_block_there_is_no_time() -> None:
    with pytest.raises(ValueError, match="nothing was captured"):
        Timeline(RATE).at_s(0)


def test_it_remembers_hours_and_no_more() -> None:
    """Each hole is a new line; very old positions are dated by the oldest one kept."""
    timeline = Timeline(RATE)
    for i in range(KEPT_ANCHORS + 100):
        timeline.observe(2 * i * BLOCK, BLOCK, i * 0.2)
    assert len(timeline._anchors) == KEPT_ANCHORS
    assert timeline.at_s(0) == pytest.approx(0.0)


@pytest.mark.parametrize("pace", [0.67, 0.94, 1.06, 1.5])
def test_a_card_that_does_not_keep_its_rate_is_followed_and_times_never_run_backwards(pace: float) -> None:
    timeline, true_s, told = Timeline(RATE), 100.0, [99.0]
    for number in range(36_000):
        timeline.observe(number * 1600, 1600, true_s)
        told.append(timeline.at_s(number * 1600))
        true_s += 0.1 * pace
    assert all(a < b for a, b in pairwise(told))
    assert abs(told[-1] - true_s) < 60 * abs(pace - 1) + 1, "by what the error comes to in a minute; an hour's is more"
