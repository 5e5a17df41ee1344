"""The client keeps all events of its sender, even when sending fails.

A bench's positions and times are milliseconds.
"""

import asyncio
import logging
from types import SimpleNamespace
from typing import cast

import pytest

from edged.config.settings import Settings
from edged.model.errors import RefusedError, UnreachableError
from edged.stream import client
from edged.stream.client import ReconnectingClient
from edged.stream.connection import Connection, ConnectionClosedError
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import Resumed, ResumeReason, SenderEvent
from edged.stream.session import Hangup, SendMessage
from edged.stream.transcript_assembler import UtteranceReady
from tests.stream.some import Bench, final


class Broken:
    """A connection whose first message does not leave."""

    def __init__(self) -> None:
        self.tried: list[str | bytes] = []

    async def send(self, data: str | bytes) -> None:
        self.tried.append(data)
        raise ConnectionClosedError(None, UnreachableError("a message could not leave"))


def test_events_due_together_with_a_message_that_can_not_leave_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of one segment, whose Finalize stays unanswered, comes in the poll that sends the next one."""
    bench = Bench(finalize_timeout_s=3)
    bench.connect()
    bench.open()
    bench.hear(2000)
    bench.hear(2500, voiced=False)
    bench.close()
    bench.serve(final(0, 2300, "ah@200-1900"))
    bench.open()
    monkeypatch.setattr(bench, "poll", lambda: None)  # the link does, now
    bench.hear(5700)
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: bench.now))
    told: list[SenderEvent] = []
    connection = Broken()

    async def write() -> None:
        one = ReconnectingClient(Settings(), bench.lane, None, None, ConnectionLimiter(1), told.append)
        await one._write(cast("Connection", connection))

    with pytest.raises(ConnectionClosedError):
        asyncio.run(write())
    assert len(connection.tried) == 1
    assert [word.word for e in told if isinstance(e, UtteranceReady) for word in e.utterance.words] == ["ah"]
    assert not any(isinstance(e, SendMessage | Hangup) for e in told)
    bench.lose()
    assert bench.waiting == [(2500, 5700)]


class Torn:
    """A connection on which half a result arrives, and then nothing."""

    async def receive(self) -> str:
        return final(0, 1000, "ah@200-900")[:40]


def test_a_connection_is_left_when_what_it_said_can_not_be_read() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(2000)

    async def read() -> None:
        await ReconnectingClient(Settings(), bench.lane, None, None, ConnectionLimiter(1), lambda effect: None)._read(
            cast("Connection", Torn())
        )

    with pytest.raises(ConnectionClosedError, match="a result can't be read"):
        asyncio.run(read())


def test_a_cause_that_keeps_both_connections_away_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The next outage is reported anew, and a cause that only one connection meets is reported too."""
    caplog.set_level(logging.INFO, "edged.stream.client")
    share = ConnectionLimiter(2)
    live, backlog = (ReconnectingClient(Settings(), Bench().lane, None, None, share, print) for _ in range(2))
    away, refused = UnreachableError("the server's name can't be looked up"), RefusedError("no credit is left")
    for each, error in ((live, away), (backlog, away), (live, away), (backlog, refused), (live, refused)):
        each._log_failure(error, 1.0)
    for each in (live, backlog):
        each._reasons.clear()  # as after a result
    backlog._log_failure(away, 1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "recogniser: the server's name can't be looked up; trying again in 1.0 s",
        "recogniser: no credit is left; trying again in 1.0 s",
        "recogniser: the server's name can't be looked up; trying again in 1.0 s",
    ]


def test_the_reason_for_a_replay_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The daemon gets no event for it, so that nobody logs it a second time."""
    caplog.set_level(logging.INFO, "edged.stream.client")
    received: list[SenderEvent] = []
    one = ReconnectingClient(Settings(), Bench().lane, None, None, ConnectionLimiter(1), received.append)
    one._dispatch([Resumed(2200, ResumeReason.PAUSE, 1200)])
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "resuming 1.2 s back: last pause both sides agree on"),
    ]
    assert received == []
