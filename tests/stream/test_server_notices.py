"""Messages of a server other than transcripts: each kind is logged once, and their number is bounded."""

import pytest

from edged.stream.server_notices import MOST_WARNINGS, ServerNoticeLog
from edged.stream.session import ServerNotice, ServerWarning


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records]


def test_each_notice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edged")
    notices = ServerNoticeLog()
    for _ in range(3):
        notices.log(ServerNotice("odd things"))
        notices.log(ServerWarning('the server says: "slow down"'))
    assert levels(caplog) == ["INFO", "WARNING"]
    assert 'recogniser: the server says: "slow down"' in caplog.text


def test_a_server_that_words_each_warning_anew_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edged")
    notices = ServerNoticeLog()
    for i in range(10 * MOST_WARNINGS):
        notices.log(ServerWarning(f"request {i} failed"))
    assert levels(caplog) == ["WARNING"] * MOST_WARNINGS
