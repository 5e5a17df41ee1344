"""What a lane tells is kept, whatever becomes of the sending. A bench's positions and times are milliseconds."""

import asyncio
import logging
from types import SimpleNamespace
from typing import cast

import pytest

from edged.errors import Refused, Unreachable
from edged.settings import Settings
from edged.stream import link
from edged.stream.connection import Closed, Connection
from edged.stream.effects import LaneEffect
from edged.stream.link import Link
from edged.stream.scribe import Uttered
from edged.stream.session import Hangup, Send
from edged.stream.share import Share
from tests.stream.some import Bench, final


class Broken:
    """A connection whose first message does not leave."""

    def __init__(self) -> None:
        self.tried: list[str | bytes] = []

    async def send(self, data: str | bytes) -> None:
        self.tried.append(data)
        raise Closed(None, Unreachable("a message could not leave"))


def test_what_is_due_together_with_a_message_that_can_not_leave_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(link, "time", SimpleNamespace(monotonic=lambda: bench.now))
    told: list[LaneEffect] = []
    connection = Broken()

    async def write() -> None:
        one = Link(Settings(), bench.lane, None, None, Share(1), told.append)
        await one._write(cast("Connection", connection))

    with pytest.raises(Closed):
        asyncio.run(write())
    assert len(connection.tried) == 1
    assert [word.word for e in told if isinstance(e, Uttered) for word in e.utterance.words] == ["ah"]
    assert not any(isinstance(e, Send | Hangup) for e in told)
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
        await Link(Settings(), bench.lane, None, None, Share(1), lambda effect: None)._read(cast("Connection", Torn()))

    with pytest.raises(Closed, match="a result can't be read"):
        asyncio.run(read())


def test_what_keeps_both_connections_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And anew in the next outage; what only one of them meets is told all the same."""
    caplog.set_level(logging.INFO, "edged.stream.link")
    share = Share(2)
    live, backlog = (Link(Settings(), Bench().lane, None, None, share, print) for _ in range(2))
    away, refused = Unreachable("the server's name can't be looked up"), Refused("no credit is left")
    for each, error in ((live, away), (backlog, away), (live, away), (backlog, refused), (live, refused)):
        each._tell(error, 1.0)
    for each in (live, backlog):
        each._reasons.clear()  # as after a result
    backlog._tell(away, 1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "recogniser: the server's name can't be looked up; trying again in 1.0 s",
        "recogniser: no credit is left; trying again in 1.0 s",
        "recogniser: the server's name can't be looked up; trying again in 1.0 s",
    ]
