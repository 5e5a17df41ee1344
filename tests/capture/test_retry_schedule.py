"""The schedule for opening a device that can't be opened."""

from itertools import pairwise

from edged.capture.retry_schedule import MAX_RETRY_S, RetrySchedule


def openings(retry: RetrySchedule, seconds: float, *, unavailable: bool) -> list[float]:
    """Return the times of the openings, which all fail, to 0.1 s."""
    times = []
    for tenth in range(int(seconds * 10)):
        if retry.is_due(tenth / 10):
            times.append(tenth / 10)
            retry.record_failure(tenth / 10, unavailable=unavailable)
    return times


def test_a_failing_device_is_opened_at_doubling_intervals() -> None:
    assert openings(RetrySchedule(), 40, unavailable=False) == [0, 1, 2, 4, 8, 16, 32]


def test_a_device_that_is_away_is_back_within_2_s_after_an_outage_of_20_s_and_within_a_tenth_after_a_longer_one() -> (
    None
):
    times = openings(RetrySchedule(), 600, unavailable=True)
    gaps = [(after - before, before) for before, after in pairwise(times)]
    assert all(gap <= max(1, 0.1 * before) + 0.11 for gap, before in gaps)
    assert all(gap < 2 for gap, before in gaps if before < 19)


def test_no_wait_is_longer_than_a_minute() -> None:
    for unavailable in (False, True):
        times = openings(RetrySchedule(), 7200, unavailable=unavailable)
        assert times[-1] - times[-2] <= MAX_RETRY_S + 0.11


def test_a_success_restarts_the_schedule() -> None:
    retry = RetrySchedule()
    openings(retry, 40, unavailable=False)
    retry.record_success()
    retry.record_failure(100, unavailable=False)
    assert not retry.is_due(100.9)
    assert retry.is_due(101)
