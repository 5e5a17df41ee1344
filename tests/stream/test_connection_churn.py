"""Connections that come and go are told one by one as long as they are few, then in sum."""

from edged.stream.connection_churn import ConnectionChurn


def passing(churn: ConnectionChurn, opened_s: float, held_s: float) -> str | None:
    """A connection comes and goes."""
    churn.opened(opened_s)
    return churn.ended(opened_s + held_s)


def test_the_third_connection_that_does_not_hold_is_logged_as_the_last() -> None:
    churn = ConnectionChurn()
    assert [passing(churn, at, 1) for at in (0, 10, 20)] == [None, None, "the last 3 connections ended within 21 s"]
    assert churn.high
    assert {passing(churn, at, 1) for at in range(30, 3600, 10)} == {None}


def test_after_an_hour_they_are_summed_up() -> None:
    churn = ConnectionChurn()
    told = [news for at in range(0, 7300, 10) if (news := passing(churn, at, 1))]
    assert told == [
        "the last 3 connections ended within 21 s",
        "360 connections ended early within 60 min",
        "360 connections ended early within 60 min",
    ]


def test_one_that_holds_for_a_minute_ends_it() -> None:
    churn = ConnectionChurn()
    for at in (0, 10, 20):
        passing(churn, at, 1)
    churn.opened(30)
    assert not churn.holds(89)
    assert churn.holds(90)
    assert not churn.high
    assert churn.ended(100) is None
    assert [passing(churn, at, 1) for at in (110, 120)] == [None, None], "they are news again"


def test_those_that_hold_are_never_too_many() -> None:
    churn = ConnectionChurn()
    assert {passing(churn, at, 60) for at in range(0, 10_000, 61)} == {None}
    assert not churn.high


def test_a_few_in_an_hour_are_news_each() -> None:
    churn = ConnectionChurn()
    assert {passing(churn, at, 1) for at in range(0, 10_000, 400)} == {None}
    assert churn.holds(20_000)
