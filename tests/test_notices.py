"""What a server sends beside transcripts is logged once, and not without end."""

import pytest

from edged.notices import MOST_WARNINGS, Notices
from edged.stream.session import Noted, Warned


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records]


def test_each_thing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edged")
    notices = Notices()
    for _ in range(3):
        notices.tell(Noted("odd things"))
        notices.tell(Warned('the server says: "slow down"'))
    assert levels(caplog) == ["INFO", "WARNING"]
    assert 'recogniser: the server says: "slow down"' in caplog.text


def test_a_server_that_words_each_warning_anew_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edged")
    notices = Notices()
    for i in range(10 * MOST_WARNINGS):
        notices.tell(Warned(f"request {i} failed"))
    assert levels(caplog) == ["WARNING"] * MOST_WARNINGS
