"""The map from the stream time of one connection to positions in the capture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.stream.stream_map import SentPiece, StreamMap

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
    assert stream.sent_samples == 250


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
    assert [stream.position_reached(t) for t in (0, 100, 101)] == [500, 600, 9001]


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
    stream.discard_before(150)
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
    assert [stream.position(t) for t in range(stream.sent_samples)] == positions
    start = data.draw(st.integers(0, stream.sent_samples))
    end = data.draw(st.integers(start, stream.sent_samples))
    found = [p for piece in stream.pieces(start, end) for p in range(piece.position, piece.position + piece.length)]
    assert found == positions[start:end]
