"""A network between a daemon and a server that can be bad in every way a network can."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Literal, Self

CHUNK_BYTES = 65_536
LINGER_NONE = struct.pack("ii", 1, 0)
"""Closing with this sends RST instead of FIN."""

Weather = Literal["fine", "refuse", "reset", "hole", "slow"]
"""`refuse`: what connects is reset at once, and so is what was there. `reset`: what was there is reset once, then it
is fine. `hole`: nothing passes, and nobody is told; new connections are taken and get no answer. `slow`: 4 kB/s, which
is an eighth of what speech needs."""

SLOW_BYTES_S = 4_000


class Network:
    """Listens at `port` and leads to another one; `turn` makes the weather."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.weather: Weather = "fine"
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listener.close()
        self._reset_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def turn(self, weather: Weather) -> None:
        """Set the network's state from now on. Data held up by a hole is lost with its connections."""
        if weather in ("refuse", "reset") or self.weather == "hole":
            self._reset_all()
        self.weather = "fine" if weather == "reset" else weather
        if self.weather == "hole":
            self._passing.clear()
        else:
            self._passing.set()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.weather == "refuse":
                return
            await self._passing.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._writers.add(back)
            try:
                await self._between((reader, back), (there, writer))
            finally:
                self._writers.discard(back)
                _reset(back)
        except (OSError, asyncio.CancelledError):
            return  # the end of a connection, or of the test
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            _reset(writer)

    async def _between(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        pumps = [asyncio.create_task(self._pump(*way)) for way in ways]
        try:
            await asyncio.wait(pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._passing.wait()
                if self.weather == "slow":
                    await asyncio.sleep(len(data) / SLOW_BYTES_S)
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    if (sock := writer.get_extra_info("socket")) and not writer.transport.is_closing():
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    writer.transport.abort()
