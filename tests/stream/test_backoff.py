"""How long to wait before connecting again."""

import pytest

from edged.errors import Refused, Unreachable
from edged.settings import Reconnect
from edged.stream.backoff import Backoff

SETTINGS = Reconnect(initial_s=0.5, max_s=30, refused_s=300)
LOST = Unreachable("lost")


def test_the_limit_doubles_up_to_the_longest() -> None:
    backoff = Backoff(SETTINGS)
    assert [backoff.wait_s(LOST, 1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_jitter_is_full() -> None:
    """A wait is drawn between 0 and the limit: a hundred devices of one building don't come back in step."""
    assert [Backoff(SETTINGS).wait_s(LOST, chance) for chance in (0.0, 0.5, 1.0)] == [0.0, 0.25, 0.5]


def test_a_result_starts_it_anew() -> None:
    backoff = Backoff(SETTINGS)
    for _ in range(5):
        backoff.wait_s(LOST, 1.0)
    backoff.proved()
    assert backoff.wait_s(LOST, 1.0) == 0.5


def test_a_refusal_waits_long_with_a_little_jitter_and_is_no_failure_of_the_network() -> None:
    backoff = Backoff(SETTINGS)
    assert backoff.wait_s(Refused("no"), 0.0) == pytest.approx(270)
    assert backoff.wait_s(Refused("no"), 1.0) == pytest.approx(300)
    assert backoff.wait_s(LOST, 1.0) == 0.5


def test_retry_after_is_honoured() -> None:
    assert Backoff(SETTINGS).wait_s(Unreachable("busy", retry_after_s=17), 1.0) == 17
    assert Backoff(SETTINGS).wait_s(Unreachable("busy", retry_after_s=0.1), 1.0) == 0.5


def test_but_not_for_a_year() -> None:
    assert Backoff(SETTINGS).wait_s(Unreachable("busy", retry_after_s=3e7), 1.0) == 3600


def test_years_of_failures_are_counted_without_harm() -> None:
    backoff = Backoff(SETTINGS)
    assert [backoff.wait_s(LOST, 1.0) for _ in range(5000)][-1] == 30
