"""Words are placed in or near their window, in order, whatever times the server gives them."""

import pytest

from tests.stream.test_messages import read, wire


def test_words_that_count_from_their_windows_start_are_placed_there() -> None:
    words = ({"word": "ah", "start": 0.2, "end": 0.4}, {"word": "oh", "start": 1.5, "end": 1.7})
    result = read(wire(words, start=60.0))
    assert [(w.start, w.end) for w in result.words] == [(60_200, 60_400), (61_500, 61_700)]


def test_words_far_outside_their_window_are_placed_near_it() -> None:
    words = ({"word": "ah", "start": 10.0, "end": 10.4}, {"word": "oh", "start": 900.0, "end": 901.0})
    result = read(wire(words, start=60.0))
    assert [(w.start, w.end) for w in result.words] == [(59_000, 59_500), (63_000, 63_000)]


def test_a_window_without_width_says_nothing_of_where_its_words_were() -> None:
    """Some servers flush all that they have at the end."""
    words = ({"word": "ah", "start": 10.0, "end": 10.4},)
    assert [(w.start, w.end) for w in read(wire(words, start=60.0, duration=0)).words] == [(10_000, 10_400)]


def test_words_are_in_order() -> None:
    """Words keep the order of their text; a time that would change the order is wrong."""
    words = [
        {"word": "a", "start": 1.5, "end": 1.9},
        {"word": "b", "start": 1.2, "end": 1.4},
        {"word": "c", "end": 2.4},
        {"word": "d", "start": 2.0, "end": 2.6},
    ]
    result = read(wire(tuple(words)))
    assert [(w.word, w.start, w.end) for w in result.words] == [
        ("a", 1500, 1500),
        ("b", 1500, 1500),
        ("c", 1500, 2000),
        ("d", 2000, 2600),
    ]


@pytest.mark.parametrize("times", [{}, {"start": 0, "end": 0.0}])
def test_words_without_any_time_share_their_window(times: dict[str, float]) -> None:
    result = read(wire(({"word": "ah", **times}, {"word": "oh", **times})))
    assert [(w.start, w.end) for w in result.words] == [(1000, 2000), (2000, 3000)]
    assert not result.has_word_times
