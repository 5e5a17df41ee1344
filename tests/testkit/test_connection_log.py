"""What the server saw of a connection."""

from collections import deque

from edged.testkit.connection_log import ConnectionLog


def account() -> ConnectionLog:
    return ConnectionLog(0, "id", {}, {}, 10.0, deque(), deque())


def test_the_rate_is_the_fastest_in_any_window() -> None:
    seen = account()
    for at_s in (11.0, 12.0, 13.0, 14.0):  # real time
        seen.add_received(at_s, "audio", 1000)
    seen.add_received(20.0, "audio", 3000)
    seen.add_received(20.5, "audio", 3000)
    assert seen.max_rate(1000, window_s=2.0) == 3.0
    assert seen.max_rate(1000, window_s=20.0) == 0.5


def test_the_longest_gap_counts_the_opening_and_the_end() -> None:
    seen = account()
    seen.add_received(14.0, "KeepAlive", 0)
    assert seen.longest_gap_s == 4.0
    seen.add_received(15.0, "KeepAlive", 0)
    seen.add_close(21.0, 1000, "")
    assert seen.longest_gap_s == 6.0
    assert seen.message_counts == {"KeepAlive": 2}


def test_a_short_history_still_counts_everything() -> None:
    seen = ConnectionLog(0, "id", {}, {}, 0.0, deque(maxlen=1), deque(maxlen=0))
    for at_s in range(5):
        seen.add_received(at_s, "audio", 100)
    assert (len(seen.arrivals), seen.samples, seen.message_counts) == (1, 500, {"audio": 5})
