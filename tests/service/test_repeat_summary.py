"""Conditions that recur are told once, then summed up."""

import logging
from collections.abc import Iterator

import pytest

from edged.model.message_ids import MessageId
from edged.service import repeat_summary
from edged.service.log import Outage
from edged.service.repeat_summary import MAX_KINDS, RepeatSummary

log = logging.getLogger("edged.tests")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "edged"):
        yield


def test_a_condition_is_logged_once_and_then_summed_up_each_minute_each_ten_and_each_hour(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    told = RepeatSummary(log, clock)
    for second in range(3 * 3600):
        clock.now_s = 1000.0 + second
        told.log(logging.WARNING, f"overrun: {100 + second % 7} ms lost")
    assert [message.partition(" lost")[2] for message in caplog.messages] == [
        "",
        " (59 times in the last minute)",
        " (600 times in the last 10 minutes)",
        *[" (3600 times in the last hour)"] * 2,
    ]


def test_alternating_errors_are_each_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    told = RepeatSummary(log, clock)
    for second in range(90):
        clock.now_s += 1
        told.log(logging.WARNING, ("no such device", "busy", "an input/output error")[second % 3])
    assert caplog.messages[:3] == ["no such device", "busy", "an input/output error"]
    assert [message.rpartition(" (")[2] for message in caplog.messages[3:]] == ["19 times in the last minute)"] * 3


def test_a_summary_comes_without_another_line_of_its_kind_and_ends_with_how_it_stands(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    microphone = Outage(log, "microphone", clock, MessageId.MICROPHONE_ABSENT)
    for _ in range(6):
        microphone.failed("gone")
        clock.now_s += 1
        microphone.over()
    microphone.failed("gone")
    assert caplog.messages == ["microphone: gone", "microphone: works again after 1.0 s"]
    clock.now_s += 61
    repeat_summary.tick()
    assert caplog.messages[2:] == [
        "microphone: works again after 1.0 s (5 times in the last minute)",
        "microphone: gone (6 times in the last minute)",
    ]
    assert caplog.records[-1].levelno == logging.WARNING
    assert caplog.records[-1].__dict__["message_id"] is MessageId.MICROPHONE_ABSENT


def test_what_stayed_away_for_a_minute_is_news_again(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    told = RepeatSummary(log, clock)
    for _ in range(3):
        told.log(logging.INFO, "capturing")
        clock.now_s += 61
        repeat_summary.tick()
    assert caplog.messages == ["capturing"] * 3


def test_kinds_without_end_are_forgotten(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    told = RepeatSummary(log, clock)
    for number in range(MAX_KINDS + 1):
        told.log(logging.INFO, "x" * number)
    told.log(logging.INFO, "x")
    assert len(caplog.messages) == MAX_KINDS + 1, "the second is still known"
    told.log(logging.INFO, "")
    assert len(caplog.messages) == MAX_KINDS + 2, "the first is news"
