"""The hand-over: in order, bounded, and one wake-up for many items."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.capture_queue import MAX_QUEUED_S, CaptureQueue
from edged.model.audio import Block, SourceEvent, SourceLost, SourceOpened


def block(position: int, samples: int = 10) -> Block:
    return Block(position, bytes(2 * samples), 0.0)


def holding(blocks: int) -> int:
    """The rate at which so many of them are the bound."""
    return round(blocks * 10 / MAX_QUEUED_S)


@given(st.lists(st.sampled_from(["block", "news", "take"])), st.integers(1, 5))
def test_news_is_never_dropped_blocks_only_at_the_bound_and_the_oldest_first(steps: list[str], bound: int) -> None:
    waiting: list[SourceEvent] = []
    dropped = wakes = 0
    woken: list[None] = []
    hand_over = CaptureQueue(lambda: woken.append(None), holding(bound))
    for number, step in enumerate(steps):
        if step == "take":
            assert hand_over.take() == waiting
            waiting.clear()
            continue
        item: SourceEvent = block(number * 10) if step == "block" else SourceLost(str(number))
        wakes += not waiting
        hand_over.put(item)
        waiting.append(item)
        blocks = [one for one in waiting if isinstance(one, Block)]
        if len(blocks) > bound:
            waiting.remove(blocks[0])
            dropped += 1
    assert hand_over.take() == waiting
    assert hand_over.dropped_samples == 10 * dropped
    assert len(woken) == wakes, "one wake-up until the items are taken"


def test_what_was_dropped_shows_as_a_gap_between_positions() -> None:
    hand_over = CaptureQueue(lambda: None, holding(2))
    for position in (0, 10, 20, 30):
        hand_over.put(block(position))
    first, second = hand_over.take()
    assert isinstance(first, Block)
    assert isinstance(second, Block)
    assert (first.position, second.position) == (20, 30)
    hand_over.put(block(40))
    assert hand_over.take() == [block(40)]


@pytest.mark.parametrize("period_ms", [10, 30, 100, 500])
def test_the_bound_is_seconds_whatever_the_period(period_ms: int) -> None:
    samples = 16 * period_ms
    hand_over = CaptureQueue(lambda: None, 16_000)
    for number in range(20_000 // period_ms):
        hand_over.put(block(number * samples, samples))
    held_s = sum(len(one.pcm) // 2 for one in hand_over.take() if isinstance(one, Block)) / 16_000
    assert MAX_QUEUED_S - period_ms / 1000 < held_s <= MAX_QUEUED_S
    assert held_s + hand_over.dropped_samples / 16_000 == pytest.approx(20_000 // period_ms * period_ms / 1000)


def test_nothing_is_lost_or_reordered_between_two_threads() -> None:
    wake = threading.Event()
    hand_over = CaptureQueue(wake.set, holding(10_000))

    def put() -> None:
        for i in range(5000):
            hand_over.put(block(10 * i))

    thread = threading.Thread(target=put)
    thread.start()
    taken: list[SourceEvent] = []
    while len(taken) < 5000:
        assert wake.wait(5)
        wake.clear()
        taken += hand_over.take()
    thread.join()
    assert taken == [block(10 * i) for i in range(5000)]


def test_a_wake_up_may_take_at_once() -> None:
    """The wake-up is called without the lock."""
    taken: list[SourceEvent] = []
    hand_over = CaptureQueue(lambda: taken.extend(hand_over.take()), 16_000)
    hand_over.put(SourceOpened("a", "b"))
    hand_over.put(block(0))
    assert taken == [SourceOpened("a", "b"), block(0)]
