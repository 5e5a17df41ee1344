"""The log's reports about a backlog of speech: that it shrinks, that it is done, or that it does not shrink."""

from edged.daemon.backlog_report import BacklogReport, BacklogTrend


def test_the_first_minute_of_a_backlog_of_an_earlier_run_is_no_growth() -> None:
    backlog = BacklogReport(10, 0)
    backlog.found(3500)
    backlog.found(100)
    assert backlog.trend(60, 3540) == BacklogTrend(3540, 3540)
    assert backlog.trend(120, 3480) == BacklogTrend(3480, 3480)


def test_neither_is_one_that_is_found_later() -> None:
    backlog = BacklogReport(10, 0)
    assert backlog.trend(60, 0) is None
    backlog.found(600)
    assert backlog.trend(120, 570) == BacklogTrend(570, 1140)


def test_a_backlog_that_does_not_shrink_is_logged_as_such() -> None:
    backlog = BacklogReport(10, 0)
    assert backlog.trend(60, 55) == BacklogTrend(55, None)
    assert backlog.trend(120, 55) == BacklogTrend(55, None)
    assert backlog.trend(180, 54) == BacklogTrend(54, 54 * 60)


def test_a_backlog_is_logged_once_a_minute_and_not_if_it_is_small() -> None:
    backlog = BacklogReport(10, 1000)
    assert [now_s for now_s in range(1000, 1300, 2) if backlog.trend(now_s, 50)] == [1060, 1120, 1180, 1240]
    assert backlog.trend(1300, 9.9) is None
    assert backlog.trend(1302, 50) is None, "a minute was over"


def test_how_long_it_takes_goes_by_the_time_that_has_passed() -> None:
    """The loop may have stood still, or the machine slept."""
    backlog = BacklogReport(10, 0)
    backlog.found(400)
    assert backlog.trend(120, 300) == BacklogTrend(300, 360)
