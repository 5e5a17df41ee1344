"""A link and servers that end its connections: how often it connects, and how much it says of that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edged.config.settings import DeepgramSettings, ReconnectSettings, Settings
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentOpened
from edged.stream.client import ReconnectingClient
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import SenderEvent
from edged.stream.sender import Sender
from tests.stream.some import RATE, final, interim

LASTS_S = 2.0


Handler = Callable[[ServerConnection], Awaitable[None]]


def speaking(handler: Handler, speakers: int = 1, most: int = 1) -> int:
    """`speakers` speak for `LASTS_S`, each for a link; returns how many connections that took."""

    async def main() -> int:
        async with serve(handler, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            settings = Settings(
                deepgram=DeepgramSettings(url=f"ws://127.0.0.1:{port}", replay_rate=10),
                reconnect=ReconnectSettings(initial_s=0.05, max_s=30),
            )
            share = ConnectionLimiter(most)
            links = [await speaker(settings, share) for _ in range(speakers)]
            await asyncio.sleep(LASTS_S)
            for _, tasks in links:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return sum(link.counts.connections for link, _ in links)

    return asyncio.run(main())


async def speaker(settings: Settings, share: ConnectionLimiter) -> tuple[ReconnectingClient, list[asyncio.Task[None]]]:
    """A link at work, and the one who speaks for it; the first of two has begun when the second does."""
    lane = Sender(settings.deepgram, RATE, utterance_max_s=30, keep_max_s=120)
    effects: list[SenderEvent] = []
    link = ReconnectingClient(settings, lane, None, None, share, effects.append)

    async def speak() -> None:
        lane.feed(SegmentOpened(0))
        at = 0
        while True:
            lane.feed(SegmentAudio(at, bytes(200), ((at, at + 100),)))
            at += 100
            link.wake()
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(link.run()), asyncio.create_task(speak())]
    await asyncio.sleep(0.3)
    return link, tasks


@pytest.mark.slow
@pytest.mark.parametrize("code", [1000, 1008, 1011, 1013, 4000])
@pytest.mark.parametrize("newer", [True, False])
def test_a_server_that_allows_one_connection_gets_one(
    code: int, newer: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever it ends. Live speech and backlog ended each other without end."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("edged.stream.connection_limiter.TURN_S", 1.0)
    there: list[ServerConnection] = []

    async def handler(server: ServerConnection) -> None:
        if there and newer:
            await server.close(code)
            return
        if there:
            await there.pop().close(code)
        there.append(server)
        sent = 0
        async for message in server:
            if isinstance(message, bytes):
                begun, sent = sent, sent + len(message) // 2
                await server.send(final(begun, sent, f"ah@{begun}-{sent}"))
            elif "CloseStream" in message:
                break
        there[:] = [other for other in there if other is not server]

    assert 2 <= speaking(handler, speakers=2, most=2) <= 5
    told = [record for record in caplog.records if record.levelno >= logging.INFO and "edged" in record.name]
    assert "the server seems to allow one connection" in caplog.text
    assert not [record for record in told if record.levelno >= logging.WARNING]


@pytest.mark.slow
@pytest.mark.parametrize("code", [1000, 1011, 4000])
def test_a_server_that_gives_one_result_and_closes_is_backed_off_from(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With the defaults it got 250 connections and 818 lines a minute."""
    caplog.set_level(logging.INFO)

    async def handler(server: ServerConnection) -> None:
        async for message in server:
            if isinstance(message, bytes):
                await server.send(interim(0, len(message) // 2))
                await server.close(code)

    assert 3 <= speaking(handler) <= 8
    told = [record for record in caplog.records if record.name == "edged.stream.client"]
    assert len(told) <= 9
    assert "they are told in sum until one holds for a minute" in caplog.text
