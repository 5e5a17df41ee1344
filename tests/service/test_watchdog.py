"""The watchdog is fed by progress: which histories feed it, and which let it fire. Times are literal; timeout 30 s."""

from collections.abc import Iterable

import pytest

from edged.service.watchdog import Watchdog


def fed(
    watchdog: Watchdog, blocks: Iterable[float] = (), turns: Iterable[tuple[float, float | None, bool]] = ()
) -> list[float]:
    """When systemd was told; `turns` are (time of the look, when the thread last did something, is the source open)."""
    events: list[tuple[float, float | None, bool | None]] = [(at, None, None) for at in blocks]
    events += turns
    told = []
    for at, thread_s, is_open in sorted(events, key=lambda event: event[0]):
        if is_open is None:
            watchdog.block(at)
        else:
            watchdog.turn(thread_s, open=is_open)
        if watchdog.due(at):
            told.append(at)
    return told


def gaps(times: list[float], end: float) -> float:
    return max(b - a for a, b in zip(times, [*times[1:], end], strict=True))


def test_blocks_feed_it_a_few_times_in_each_timeout() -> None:
    told = fed(Watchdog(30.0, 0.0), blocks=[i / 10 for i in range(3000)])
    assert gaps(told, 300.0) <= 7.6
    assert len(told) == 40


def test_a_capture_that_hangs_starves_it_although_the_loop_turns() -> None:
    """Open, last block at 20 s: the loop looks every 2 s, and nothing is told from half a timeout later on."""
    told = fed(
        Watchdog(30.0, 0.0),
        blocks=[i / 10 for i in range(200)],
        turns=[(float(at), 20.0, True) for at in range(0, 100, 2)],
    )
    assert 20.0 < max(told) <= 19.9 + 15.0


def test_a_loop_that_stands_still_starves_it() -> None:
    """Nobody asks, so nobody tells; that is all there is to it."""
    assert max(fed(Watchdog(30.0, 0.0), blocks=[i / 10 for i in range(100)])) < 10.0


def test_an_absent_microphone_that_is_looked_for_feeds_it_for_ever() -> None:
    told = fed(Watchdog(30.0, 0.0), turns=[(float(at), at - 0.7, False) for at in range(2, 1000, 2)])
    assert gaps(told, 1000.0) <= 10.0


@pytest.mark.parametrize("last", [None, 10.0])
def test_a_thread_that_no_longer_looks_starves_it(last: float | None) -> None:
    """Dead, or hanging while it opens the device: absent, but nobody looks."""
    turns = [(float(at), None if last is None else min(at - 0.5, last), False) for at in range(2, 200, 2)]
    assert max(fed(Watchdog(30.0, 0.0), turns=turns)) <= (last or 0.0) + 15.0


def test_a_hand_over_that_nobody_empties_starves_it() -> None:
    """The thread reads on and the source is open, but no block comes through the loop."""
    turns = [(float(at), float(at), True) for at in range(2, 200, 2)]
    assert max(fed(Watchdog(30.0, 0.0), turns=turns)) <= 15.0


def test_a_slow_card_does_not_starve_it() -> None:
    """Ten seconds between blocks is slow, not dead."""
    told = fed(
        Watchdog(30.0, 0.0),
        blocks=[float(at) for at in range(0, 600, 10)],
        turns=[(float(at), None, True) for at in range(1, 600, 2)],
    )
    assert gaps(told, 600.0) <= 15.0


def test_it_is_fed_again_after_a_stall_that_ended_in_time() -> None:
    told = fed(Watchdog(30.0, 0.0), blocks=[*map(float, range(10)), *map(float, range(34, 60))])
    assert 34.0 in told


def test_nothing_is_sent_where_nobody_watches() -> None:
    assert fed(Watchdog(None, 0.0), blocks=[1.0, 2.0, 3.0]) == []
