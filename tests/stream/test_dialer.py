"""Addresses that do not answer, over real sockets: the recogniser is reached as long as one of its addresses works."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edged.config.settings import DeepgramSettings
from edged.model.errors import UnreachableError
from edged.stream.connection import Connection, ConnectionClosedError
from edged.stream.happy_eyeballs import SuspectAddresses
from tests.stream.wire import KEY, forever

NAME = "recogniser.test"
OPEN_TIMEOUT_S = 1.0


@contextmanager
def black_hole(host: str) -> Iterator[int]:
    """A port whose packets vanish: a full queue of connections that nobody accepts. Yields the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as hole, ExitStack() as callers:
        hole.bind((host, 0))
        hole.listen(0)
        for _ in range(4):
            caller = callers.enter_context(socket.socket(family))
            caller.setblocking(False)
            caller.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


class Names:
    """Addresses that the name leads to; None for a look-up that hangs as long as the test lasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.six: list[tuple[str, int]] | None = []
        self.four: list[tuple[str, int]] | None = []
        self._real = socket.getaddrinfo
        self._hung: list[asyncio.Future[None]] = []
        monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", self._look_up)

    async def _look_up(self, host: str, port: int, *, family: int = 0, **options: Any) -> list[tuple[Any, ...]]:
        if host != NAME:
            return self._real(host, port, family=family, **options)
        found = self.six if family == socket.AF_INET6 else self.four
        if found is None:
            await asyncio.sleep(3600)
        if not found:
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        return [(family, socket.SOCK_STREAM, 6, "", (*each, 0, 0) if ":" in each[0] else each) for each in found]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    monkeypatch.setenv("no_proxy", "*")
    return Names(monkeypatch)


def wanted(**options: Any) -> DeepgramSettings:
    return DeepgramSettings(url=f"ws://{NAME}:1/v1/listen", open_timeout_s=OPEN_TIMEOUT_S, **options)


async def speak(connection: Connection) -> None:
    while True:
        await connection.send(bytes(100_000))


async def opened(doubts: SuspectAddresses | None = None, **options: Any) -> float:
    """Connect and give up again; how long it took."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    connection = await Connection.open(wanted(**options), 16_000, KEY, None, doubts)
    connection.abort()
    return loop.time() - began_s


@pytest.mark.parametrize("answers", ["::1", "127.0.0.1"])
def test_a_family_whose_packets_vanish_costs_little_time(names: Names, answers: str) -> None:
    """IPv6 that does not work is common behind home routers, and goes unnoticed by everything else."""

    async def main() -> None:
        vanishes = "127.0.0.1" if answers == "::1" else "::1"
        async with serve(forever, answers, 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with black_hole(vanishes) as hole:
                lists = {"::1": [("::1", port)], "127.0.0.1": [("127.0.0.1", port)]}
                lists[vanishes] = [(vanishes, hole)]
                names.six, names.four = lists["::1"], lists["127.0.0.1"]
                assert await opened() < 1

    asyncio.run(main())


def test_each_of_several_addresses_is_tried(names: Names) -> None:
    """Vanishing, refusing, then one that answers."""

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with black_hole("127.0.0.1") as hole:
                names.four = [("127.0.0.1", hole), ("127.0.0.1", 1), ("127.0.0.2", hole), ("127.0.0.1", port)]
                assert await opened() < 1

    asyncio.run(main())


def test_a_look_up_that_hangs_for_one_family_costs_little_time(names: Names) -> None:
    """Some resolvers drop the question for IPv6 addresses."""

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0) as server:
            names.six = None
            names.four = [("127.0.0.1", next(iter(server.sockets)).getsockname()[1])]
            assert await opened() < 1

    asyncio.run(main())


@pytest.mark.slow
def test_an_address_that_accepts_and_does_not_answer_is_tried_last_the_next_time(names: Names) -> None:
    """Small packets pass and large ones vanish, or nobody is there behind a load balancer."""

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0) as server:
            names.four = [("127.0.0.1", next(iter(server.sockets)).getsockname()[1])]
            with socket.create_server(("::1", 0), family=socket.AF_INET6) as mute:
                names.six = [("::1", mute.getsockname()[1])]
                doubts = SuspectAddresses()
                with pytest.raises(UnreachableError, match="the server accepts connections but does not answer"):
                    await opened(doubts)
                assert await opened(doubts) < 0.5

    asyncio.run(main())


def test_an_address_to_which_nothing_leaves_any_more_is_tried_last_the_next_time(names: Names) -> None:
    """The handshake passes, and audio, in larger packets, does not."""
    stop = asyncio.Event()

    async def takes_nothing(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await stop.wait()
        server.transport.abort()

    async def main() -> None:
        doubts = SuspectAddresses()
        async with serve(forever, "127.0.0.1", 0) as server, serve(takes_nothing, "::1", 0) as broken:
            names.six = [("::1", next(iter(broken.sockets)).getsockname()[1])]
            names.four = [("127.0.0.1", next(iter(server.sockets)).getsockname()[1])]
            connection = await Connection.open(wanted(send_timeout_s=0.1), 16_000, KEY, None, doubts)
            with pytest.raises(ConnectionClosedError, match="the network has stopped taking data"):
                await speak(connection)
            stop.set()
            connection = await Connection.open(wanted(), 16_000, KEY, None, doubts)
            await connection.send(bytes(100_000))
            assert connection._socket.remote_address[0] == "127.0.0.1"
            connection.abort()

    asyncio.run(main())


@pytest.mark.slow
def test_the_most_specific_error_is_raised(names: Names) -> None:
    """The error of one family counts if the other has no answer or no route."""
    names.four = [("127.0.0.1", 1)]
    with black_hole("::1") as hole:
        for six in [("::1", hole)], [("ff00::1", 1)]:
            names.six = six
            with pytest.raises(
                UnreachableError, match="connection refused: nothing listens at the address of the server"
            ):
                asyncio.run(opened())


def test_a_name_without_addresses(names: Names) -> None:
    with pytest.raises(UnreachableError, match="the server's name can't be looked up"):
        asyncio.run(opened())


@pytest.mark.slow
def test_what_hangs_is_named(names: Names) -> None:
    names.six = names.four = None
    with pytest.raises(
        UnreachableError, match="no connection within 1 s: the name of the server is still being looked up"
    ):
        asyncio.run(opened())
    names.six = []
    with black_hole("127.0.0.1") as hole:
        names.four = [("127.0.0.1", hole)]
        with pytest.raises(UnreachableError, match="no connection within 1 s: nothing comes back from the address"):
            asyncio.run(opened())
