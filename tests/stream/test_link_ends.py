"""A link and servers that end its connections: how often it connects, and how much it says of that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edged.gate.gate import Open
from edged.gate.intake import Audio
from edged.settings import Deepgram, Reconnect, Settings
from edged.stream.effects import LaneEffect
from edged.stream.lane import Lane
from edged.stream.link import Link
from edged.stream.share import Share
from tests.stream.some import RATE, interim

LASTS_S = 2.0


def speaking(handler: Callable[[ServerConnection], Awaitable[None]]) -> int:
    """Somebody speaks for `LASTS_S`; returns how many connections that took."""

    async def main() -> int:
        async with serve(handler, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            settings = Settings(
                deepgram=Deepgram(url=f"ws://127.0.0.1:{port}", replay_rate=10),
                reconnect=Reconnect(initial_s=0.05, max_s=30),
            )
            lane = Lane(settings.deepgram, RATE, utterance_max_s=30, keep_max_s=120)
            effects: list[LaneEffect] = []
            link = Link(settings, lane, None, None, Share(1), effects.append)
            task = asyncio.create_task(link.run())
            lane.let(Open(0))
            for at in range(0, round(LASTS_S * RATE), 100):
                lane.let(Audio(at, bytes(200), ((at, at + 100),)))
                link.wake()
                await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return link.counts.connections

    return asyncio.run(main())


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
    told = [record for record in caplog.records if record.name == "edged.stream.link"]
    assert len(told) <= 9
    assert "they are told in sum until one holds for a minute" in caplog.text
