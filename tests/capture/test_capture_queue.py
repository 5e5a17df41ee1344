"""The queue keeps the order, is bounded, and wakes the loop once for many events."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.capture_queue import MAX_QUEUED_S, CaptureQueue
from edged.model.audio import Block, SourceEvent, SourceLost, SourceOpened


def block(position: int, samples: int = 10) -> Block:
    return Block(position, bytes(2 * samples), 0.0)


def holding(blocks: int) -> int:
    """Return the rate at which so many blocks are the bound."""
    return round(blocks * 10 / MAX_QUEUED_S)


@given(st.lists(st.sampled_from(["block", "news", "take"])), st.integers(1, 5))
def test_only_blocks_are_dropped_at_the_bound_and_the_oldest_first(steps: list[str], bound: int) -> None:
    taken: list[SourceEvent] = []
    dropped = wakes = 0
    woken: list[None] = []
    queue = CaptureQueue(lambda: woken.append(None), holding(bound))
    for number, step in enumerate(steps):
        if step == "take":
            assert queue.take() == taken
            taken.clear()
            continue
        item: SourceEvent = block(number * 10) if step == "block" else SourceLost(str(number))
        wakes += not taken
        queue.put(item)
        taken.append(item)
        blocks = [event for event in taken if isinstance(event, Block)]
        if len(blocks) > bound:
            taken.remove(blocks[0])
            dropped += 1
    assert queue.take() == taken
    assert queue.dropped_samples == 10 * dropped
    assert len(woken) == wakes, "one wake-up until the items are taken"


def test_a_drop_shows_as_a_hole_between_positions() -> None:
    queue = CaptureQueue(lambda: None, holding(2))
    for position in (0, 10, 20, 30):
        queue.put(block(position))
    first, second = queue.take()
    assert isinstance(first, Block)
    assert isinstance(second, Block)
    assert (first.position, second.position) == (20, 30)
    queue.put(block(40))
    assert queue.take() == [block(40)]


@pytest.mark.parametrize("period_ms", [10, 30, 100, 500])
def test_the_bound_is_a_time_whatever_the_period(period_ms: int) -> None:
    samples = 16 * period_ms
    queue = CaptureQueue(lambda: None, 16_000)
    for number in range(20_000 // period_ms):
        queue.put(block(number * samples, samples))
    held_s = sum(len(event.pcm) // 2 for event in queue.take() if isinstance(event, Block)) / 16_000
    assert MAX_QUEUED_S - period_ms / 1000 < held_s <= MAX_QUEUED_S
    assert held_s + queue.dropped_samples / 16_000 == pytest.approx(20_000 // period_ms * period_ms / 1000)


def test_two_threads_lose_and_reorder_nothing() -> None:
    wake = threading.Event()
    queue = CaptureQueue(wake.set, holding(10_000))

    def put() -> None:
        for i in range(5000):
            queue.put(block(10 * i))

    thread = threading.Thread(target=put)
    thread.start()
    taken: list[SourceEvent] = []
    while len(taken) < 5000:
        assert wake.wait(5)
        wake.clear()
        taken += queue.take()
    thread.join()
    assert taken == [block(10 * i) for i in range(5000)]


def test_the_wake_up_may_take_at_once() -> None:
    """The queue calls the wake-up without holding its lock."""
    taken: list[SourceEvent] = []
    queue = CaptureQueue(lambda: taken.extend(queue.take()), 16_000)
    queue.put(SourceOpened("a", "b"))
    queue.put(block(0))
    assert taken == [SourceOpened("a", "b"), block(0)]
