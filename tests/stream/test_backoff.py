"""Backoff: the delay before the next connection, and whether to hold a connection in silence."""

import pytest

from edged.config.settings import ReconnectSettings
from edged.model.errors import RefusedError, UnreachableError
from edged.stream.backoff import Backoff, End, Hold

SETTINGS = ReconnectSettings(initial_s=0.5, max_s=30, refused_s=300)
LOST = UnreachableError("lost")


def test_the_limit_doubles_up_to_the_longest() -> None:
    backoff = Backoff(SETTINGS)
    assert [backoff.wait_s(LOST, 1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_jitter_is_full() -> None:
    """A wait is drawn between 0 and the limit: a hundred devices of one building don't come back in step."""
    assert [Backoff(SETTINGS).wait_s(LOST, chance) for chance in (0.0, 0.5, 1.0)] == [0.0, 0.25, 0.5]


def ended(held_s: float = 10, *, ours: bool = False, in_order: bool = False, progress: bool = False) -> End:
    """A connection's end; the server had given results, and nothing is left."""
    return End(ours, in_order, progress, left=False, results=True, held_s=held_s)


def waits(end: End, times: int = 8) -> list[float]:
    """The longest waits behind connections that end so."""
    backoff = Backoff(SETTINGS)
    found = []
    for _ in range(times):
        backoff.ended(end)
        found.append(backoff.wait_s(LOST, 1.0))
    return found


def test_progress_starts_it_anew() -> None:
    assert waits(ended(progress=True)) == [0.5] * 8


def test_a_result_without_progress_does_not_start_it_anew() -> None:
    """A server that says something and closes is no use: it got 250 connections a minute."""
    assert waits(ended()) == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_connection_that_gave_results_and_held_starts_it_anew() -> None:
    """Nobody spoke on the connection."""
    assert waits(ended(31)) == [0.5] * 8
    assert waits(ended(31)._replace(results=False))[-1] == 30


def test_connections_that_make_progress_and_end_at_once_are_a_second_apart() -> None:
    """Twice the first wait: a server that closes after each word gets 60 a minute at most."""
    assert waits(ended(0.2, progress=True), 3) == [0.8] * 3
    assert waits(ended(0.9, progress=True), 3) == [0.5] * 3


def test_only_the_wait_behind_a_connection_counts_it() -> None:
    backoff = Backoff(SETTINGS)
    backoff.ended(ended(0.2, progress=True))
    assert [backoff.wait_s(LOST, 0.0) for _ in range(2)] == [0.8, 0.0]


def test_an_orderly_end_is_done_if_it_made_progress_or_nothing_is_left() -> None:
    """One that left something without progress would be repeated as it was: it waits like a loss."""
    assert ended(in_order=True).is_done
    assert ended(in_order=True, progress=True)._replace(left=True).is_done
    assert not ended(in_order=True)._replace(left=True).is_done
    assert not ended(progress=True).is_done


def test_three_connections_that_a_server_ends_in_silence_are_enough() -> None:
    """The next is made when somebody speaks. What was said meanwhile makes no difference to that."""
    hold = Hold()
    assert [hold.after(ended(4)) for _ in range(2)] == [True, True]
    assert hold.after(ended(4, progress=True))
    assert not hold.after(ended(4))
    assert not hold.after(ended(4))
    assert hold.after(ended(60)), "it held one after all"
    assert hold.after(ended(4))


@pytest.mark.parametrize("end", [ended(4, ours=True), ended(4, in_order=True), ended(4)._replace(left=True)])
def test_connections_that_end_for_another_reason_tell_nothing_of_silence(end: End) -> None:
    hold = Hold()
    assert all(hold.after(end) for _ in range(9))


def test_a_refusal_waits_long_with_a_little_jitter_and_is_no_failure_of_the_network() -> None:
    backoff = Backoff(SETTINGS)
    assert backoff.wait_s(RefusedError("no"), 0.0) == pytest.approx(270)
    assert backoff.wait_s(RefusedError("no"), 1.0) == pytest.approx(300)
    assert backoff.wait_s(LOST, 1.0) == 0.5


def test_retry_after_is_honoured() -> None:
    assert Backoff(SETTINGS).wait_s(UnreachableError("busy", retry_after_s=17), 1.0) == 17
    assert Backoff(SETTINGS).wait_s(UnreachableError("busy", retry_after_s=0.1), 1.0) == 0.5


def test_but_not_for_a_year() -> None:
    assert Backoff(SETTINGS).wait_s(UnreachableError("busy", retry_after_s=3e7), 1.0) == 3600


def test_years_of_failures_are_counted_without_harm() -> None:
    backoff = Backoff(SETTINGS)
    assert [backoff.wait_s(LOST, 1.0) for _ in range(5000)][-1] == 30
