"""The quota of connections: learned from those that end, or that cannot be opened, beside another."""

import pytest

from edged.stream.connection_quota import ConnectionQuota


def two(opened_s: float = 100) -> ConnectionQuota:
    """Live speech since 0, and a backlog since then."""
    one = ConnectionQuota(2)
    one.opened("live", 0)
    one.opened("backlog", opened_s)
    return one


def limited(one: ConnectionQuota, now: float) -> bool:
    return one.allowed(now, speaks=False) == 1


@pytest.mark.parametrize("who", ["live", "backlog"])
def test_one_that_ends_as_the_other_was_opened_shows_that_there_may_be_one(who: str) -> None:
    """Some servers end the older one, some the newer."""
    one = two(100)
    assert one.ended(who, 101, ours=False)
    assert limited(one, 102)


def test_one_that_we_end_shows_nothing() -> None:
    one = two(100)
    assert not one.ended("live", 101, ours=True)
    assert not limited(one, 102)


def test_two_that_are_lost_together_show_nothing() -> None:
    """Networks that come and go lose both connections together, however often."""
    one = ConnectionQuota(2)
    for now in range(0, 900, 4):
        one.opened("live", now)
        one.opened("backlog", now + 1)
        assert one.lost("live")
        assert not one.lost("backlog")
        assert not one.ended("live", now + 2, ours=False)
        assert not one.ended("backlog", now + 2, ours=False)
    assert not limited(one, 900)


def test_one_that_ends_alone_shows_nothing() -> None:
    one = ConnectionQuota(2)
    for now in range(0, 900, 2):
        one.opened("live", now)
        assert not one.ended("live", now + 1, ours=False)
    assert not limited(one, 900)


def test_one_that_ends_later_shows_it_at_the_third_time() -> None:
    """Once may be the network."""
    one = two(100)
    assert not one.ended("backlog", 120, ours=False)
    one.opened("backlog", 121)
    assert not one.ended("backlog", 140, ours=False)
    one.opened("backlog", 141)
    assert one.ended("backlog", 160, ours=False)
    assert limited(one, 161)


def test_two_that_stand_together_for_a_minute_are_allowed() -> None:
    """Whatever ended beside another before that."""
    one = two(100)
    for now in range(100, 2000, 150):
        assert not one.ended("backlog", now + 30, ours=False)
        one.opened("backlog", now + 31)
        assert not one.ended("backlog", now + 100, ours=False)
        one.opened("backlog", now + 101)
    assert not limited(one, 2100)


@pytest.mark.parametrize("status", [403, 409, 429, 503])
def test_a_second_that_is_refused_shows_it(status: int) -> None:
    one = ConnectionQuota(2)
    one.opened("live", 0)
    assert one.failed("backlog", 1000, status)
    assert limited(one, 1001)


@pytest.mark.parametrize("status", [None, 400, 401, 402, 500])
def test_a_second_that_can_not_be_opened_for_another_reason_shows_it_after_a_minute(status: int | None) -> None:
    """A server that lets it wait until the first ends. In an outage the first would have ended by then."""
    one = ConnectionQuota(2)
    one.opened("live", 0)
    assert [one.failed("backlog", now, status) for now in (1000, 1030, 1059, 1060)] == [False, False, False, True]


def test_a_refusal_where_no_other_stands_is_what_it_says() -> None:
    one = ConnectionQuota(2)
    assert not one.failed("live", 0, 403)
    assert not limited(one, 1)
    assert not one.failed("live", 2, 429)
    assert limited(one, 3), "the others may be other programs'"


def test_a_server_that_has_not_yet_noticed_that_the_other_ended_has_one_too_many() -> None:
    """The refusal says nothing about the key, so the wait is not one of minutes."""
    one = two(100)
    one.ended("live", 101, ours=False)
    one.ended("backlog", 110, ours=True)
    assert one.failed("live", 111, 403)
    assert not one.failed("live", 116, 403)


def test_a_refusal_that_passes_is_logged_where_no_other_connection_stands() -> None:
    """Just after one has ended, too: the network broke it, and now the server says that there are too many."""
    one = two(100)
    assert one.ended("backlog", 101, ours=False)
    one.gone("live")
    assert [one.failed("live", 102, status) for status in (429, 503)] == [False, False]


def test_after_ten_minutes_a_second_is_tried_where_nobody_speaks() -> None:
    """The server may end the first for it."""
    one = two(100)
    one.ended("live", 100, ours=False)
    assert one.allowed(699, speaks=False) == 1
    assert one.allowed(700, speaks=True) == 1
    assert one.allowed(700, speaks=False) == 2


def test_each_time_that_it_shows_again_it_lasts_twice_as_long_up_to_a_day() -> None:
    one = ConnectionQuota(2)
    one.opened("live", 0)
    now, lasted = 0.0, list[float]()
    for _ in range(10):
        one.opened("backlog", now)
        assert one.ended("backlog", now + 20, ours=False) or not lasted
        assert one.failed("backlog", now + 20, 429) or lasted
        lasted.append(one.lasts_s)
        now += 20 + one.lasts_s
    assert lasted == [600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 86_400, 86_400]


def test_the_quota_is_forgotten_when_two_have_stood_together_for_a_minute() -> None:
    one = two(100)
    one.ended("backlog", 100, ours=False)
    one.opened("backlog", 701)
    assert one.allowed(760, speaks=True) == 1
    assert one.allowed(761, speaks=True) == 2
    assert not one.ended("backlog", 800, ours=False)
    one.opened("backlog", 900)
    assert one.ended("backlog", 901, ours=False)
    assert one.lasts_s == 600


def test_a_server_where_one_is_set_has_one() -> None:
    assert ConnectionQuota(1).allowed(0, speaks=False) == 1


def test_the_quota_is_news_once() -> None:
    """The quota is news again only after two connections have stood together."""
    one = two(100)
    one.ended("live", 101, ours=False)
    assert one.news()
    one.ended("backlog", 110, ours=True)
    assert one.failed("live", 111, 403)
    assert not one.news()


def test_one_that_is_gone_without_an_end_stands_no_more() -> None:
    """The client of that connection was cancelled."""
    one = two(100)
    one.gone("backlog")
    assert not one.ended("live", 101, ours=False)
    one.gone("live")
    assert not limited(one, 102)
