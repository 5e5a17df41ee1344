"""A connection and a server of the test's own, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edged.config.api_key import ApiKey
from edged.config.settings import DeepgramSettings
from edged.model.errors import UnreachableError
from edged.stream.connection import Connection
from edged.stream.tls import tls_context

KEY = ApiKey("c0ffee0123456789abcdef", "file /etc/edged/deepgram-api-key")

Handler = Callable[[ServerConnection], Awaitable[None]]
Client = Callable[[Connection], Awaitable[None]]


def settings(port: int, scheme: str = "ws", **options: Any) -> DeepgramSettings:
    return DeepgramSettings(url=f"{scheme}://127.0.0.1:{port}/v1/listen", **options)


def converse(handler: Handler, client: Client, *, key: ApiKey | None = KEY, **options: Any) -> None:
    """Run a server and a client against each other."""

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await Connection.open(settings(port, **options), 16_000, key, None)
            try:
                await client(connection)
            finally:
                connection.abort()

    asyncio.run(main())


async def forever(connection: ServerConnection) -> None:
    await connection.wait_closed()


@asynccontextmanager
async def answering(said: bytes, *, ends: bool = True) -> AsyncIterator[int]:
    """A server that answers one request with this, and `ends` the connection or leaves it open. Yields its port."""
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            if not ends:
                await reader.read()
            writer.close()
            await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await gone.wait()


async def unreachable(wanted: DeepgramSettings) -> str:
    """Return the error that opening raises if there is no server."""
    with pytest.raises(UnreachableError) as error:
        await Connection.open(wanted, 16_000, KEY, tls_context(wanted))
    return str(error.value)
