"""A connection and a server of the test's own, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edged.errors import Unreachable
from edged.key import Key
from edged.settings import Deepgram
from edged.stream.connection import Connection
from edged.stream.tls import tls_context

KEY = Key("c0ffee0123456789abcdef", "file /etc/edged/deepgram-api-key")

Handler = Callable[[ServerConnection], Awaitable[None]]
Client = Callable[[Connection], Awaitable[None]]


def settings(port: int, scheme: str = "ws", **options: Any) -> Deepgram:
    return Deepgram(url=f"{scheme}://127.0.0.1:{port}/v1/listen", **options)


def converse(handler: Handler, client: Client, *, key: Key | None = KEY, **options: Any) -> None:
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


async def unreachable(wanted: Deepgram) -> str:
    """What opening raises where there is no server."""
    with pytest.raises(Unreachable) as error:
        await Connection.open(wanted, 16_000, KEY, tls_context(wanted))
    return str(error.value)
