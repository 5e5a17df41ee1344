"""A server on a real socket, and a plain client for it."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edged.recognizer.protocol import Limits
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory, split_pcm
from tests.recognizer.common import FULL, ONE_SENTENCE

AT_ONCE = Limits(max_rate=10_000)
"""Audio is processed as it comes."""
CLOSE_STREAM = '{"type":"CloseStream"}'


def serve(script: Script = ONE_SENTENCE, **options: Any) -> InstrumentedServer:
    return InstrumentedServer(ScriptEngineFactory(script), **{"limits": AT_ONCE, **options})


@contextlib.asynccontextmanager
async def client(server: InstrumentedServer, query: str = FULL, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"{server.url}?{query}", compression=None, ping_interval=None, close_timeout=1, **options
    ) as connection:
        yield connection


async def collect(connection: ClientConnection) -> list[dict[str, Any]]:
    """All messages up to the close, whichever way it comes."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await connection.recv()))
    except ConnectionClosed:
        return messages


async def send(connection: ClientConnection, audio: bytes) -> None:
    for batch in split_pcm(audio, 1600):
        await connection.send(batch)


async def refused(server: InstrumentedServer, query: str = FULL, **options: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as error:
        async with client(server, query, **options):
            pass
    return error.value
