"""Ranges are a set of positions: after any operation they hold what a set of numbers would hold."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.model.ranges import Ranges

BOUND = st.integers(0, 40)
SPAN = st.tuples(BOUND, BOUND)
STEP = st.tuples(st.sampled_from(["add", "remove"]), SPAN)


def built(steps: list[tuple[str, tuple[int, int]]]) -> tuple[Ranges, set[int]]:
    """The same history in both."""
    ranges, numbers = Ranges(), set[int]()
    for verb, (start, end) in steps:
        if verb == "add":
            ranges.add(start, end)
            numbers |= set(range(start, end))
        else:
            had = numbers & set(range(start, end))
            assert ranges.remove(start, end) == len(had)
            numbers -= had
    return ranges, numbers


@given(st.lists(STEP, max_size=30))
def test_ranges_hold_what_a_set_of_numbers_would_hold(steps: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, numbers = built(steps)
    assert {n for start, end in ranges for n in range(start, end)} == numbers
    assert ranges.total == len(numbers)
    assert ranges.first == min(numbers, default=None)
    assert ranges.end == (max(numbers) + 1 if numbers else None)


@given(st.lists(STEP, max_size=30))
def test_ranges_are_sorted_disjoint_and_joined(steps: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, _ = built(steps)
    assert all(start < end for start, end in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    assert len(ranges) == len(list(ranges))


@given(st.lists(STEP, max_size=30), SPAN)
def test_a_span_consists_of_what_is_within_and_the_gaps(
    steps: list[tuple[str, tuple[int, int]]], span: tuple[int, int]
) -> None:
    ranges, numbers = built(steps)
    inside = set(range(*span))
    assert {n for start, end in ranges.within(*span) for n in range(start, end)} == numbers & inside
    assert {n for start, end in ranges.gaps(*span) for n in range(start, end)} == inside - numbers
    assert ranges.overlaps(*span) == bool(numbers & inside)


@given(st.lists(STEP, max_size=30), BOUND)
def test_following_is_the_rest_of_the_first_range_that_reaches_beyond(
    steps: list[tuple[str, tuple[int, int]]], position: int
) -> None:
    ranges, numbers = built(steps)
    later = {n for n in numbers if n >= position}
    if not later:
        assert ranges.following(position) is None
        return
    start = end = min(later)
    while end in numbers:
        end += 1
    assert ranges.following(position) == (start, end)


@given(st.lists(SPAN, max_size=10))
def test_the_order_of_adding_makes_no_difference(spans: list[tuple[int, int]]) -> None:
    assert Ranges(spans) == Ranges(reversed(spans))


def test_adjacent_ranges_are_joined() -> None:
    assert list(Ranges([(0, 10), (10, 20)])) == [(0, 20)]


def test_an_empty_span_contains_nothing() -> None:
    assert Ranges([(0, 10)]).within(5, 5) == []
    assert Ranges([(0, 10)]).within(7, 3) == []


def test_the_middle_of_a_range_can_be_removed() -> None:
    ranges = Ranges([(0, 30)])
    assert ranges.remove(10, 20) == 10
    assert list(ranges) == [(0, 10), (20, 30)]


def test_a_loop_may_change_what_it_loops_over() -> None:
    """Iterating goes over a copy."""
    ranges = Ranges([(0, 1), (5, 6)])
    for start, end in ranges:
        ranges.remove(start, end)
    assert ranges.total == 0


def test_ranges_have_a_readable_repr_and_no_hash() -> None:
    assert repr(Ranges([(1, 2)])) == "Ranges([(1, 2)])"
    with pytest.raises(TypeError):
        hash(Ranges())
