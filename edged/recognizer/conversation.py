"""One open connection: its socket, its session, and the faults that strike it."""

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from edged.model.audio import BYTES_PER_SAMPLE
from edged.recognizer import messages
from edged.recognizer.connection_log import ConnectionLog
from edged.recognizer.decoding import DECODERS
from edged.recognizer.engine import Engine
from edged.recognizer.faults import Fault, FaultKind, FaultSchedule
from edged.recognizer.handshake import Query
from edged.recognizer.protocol import RecognizerSession, ServerAction, ServerClose
from edged.recognizer.script import ScriptEngine

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)


@dataclass
class Common:
    """What all connections of a server share."""

    orders: FaultSchedule
    clock: Callable[[], float]
    is_blocking: bool
    """Engines are called in threads."""
    started_s: float
    received_samples: int = 0
    holes: set[ServerConnection] = field(default_factory=set)
    """Connections that lead nowhere any more, and would not end by themselves."""

    @property
    def since_start_s(self) -> float:
        """Since the server's start."""
        return self.clock() - self.started_s

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something of the engine, where it holds up nobody else."""
        if self.is_blocking:
            return await asyncio.to_thread(function, *args, **kwargs)
        return function(*args, **kwargs)


class Conversation:
    """Used once. `hold` ends when the connection does; `account` tells what came."""

    def __init__(
        self,
        connection: ServerConnection,
        session: RecognizerSession,
        engine: Engine,
        query: Query,
        account: ConnectionLog,
        common: Common,
    ) -> None:
        self.account = account
        self._connection = connection
        self._session = session
        self._engine = engine
        self._query = query
        self._common = common
        self._held: list[ServerAction] | None = None
        """Results kept back by a stall."""
        self._release = False
        """They all come at the close."""
        self._tears = False
        """The next final with words goes out torn."""
        self._read_rate: float | None = None
        """In times of real time, when reading is slow."""

    async def hold(self) -> None:
        """From the accepted handshake to the end."""
        log.info("connection %d: open, %d Hz", self.account.number, self._query.rate)
        try:
            await self._converse()
        except ConnectionClosed:
            log.debug("connection %d: the other side has closed it", self.account.number)
        finally:
            self._engine.close()
            self._common.holes.discard(self._connection)
            code, reason = self._connection.close_code, self._connection.close_reason or ""
            self.account.add_close(self._common.clock(), code, reason)
            audio_s = self.account.samples / self._query.rate if self._query.rate else 0.0
            log.info("connection %d: closed with %s after %.1f s of audio", self.account.number, code, audio_s)

    async def _converse(self) -> None:
        session = self._session
        await self._say(session.open())
        while not session.closed or self._held is not None:
            message = await self._next(session.next_deadline())
            if message is None:
                await self._say(await self._common.call(session.tick, self._common.clock()))
            elif not await self._take(message):
                break
            if not await self._strike_words():
                break
        await self._connection.wait_closed()

    async def _next(self, deadline: float | None) -> bytes | str | None:
        """The next message, or None when the deadline has come."""
        wait_s = None if deadline is None else max(0.0, deadline - self._common.clock())
        if not self._session.accepts_input:
            await asyncio.sleep(wait_s or 0)
            return None
        try:
            async with asyncio.timeout(wait_s):
                return await self._connection.recv()
        except TimeoutError:
            return None

    async def _take(self, message: bytes | str) -> bool:
        """Process a message, and what was ordered to go wrong with it; False when nothing is to follow."""
        if isinstance(message, bytes):
            message = DECODERS[self._query.encoding](message)
        samples = len(message) // BYTES_PER_SAMPLE if isinstance(message, bytes) else 0
        self.account.add_received(self._common.clock(), _kind(message), samples)
        if isinstance(message, bytes) and message and self._query.rate:
            common = self._common
            strike = common.orders.take_at_audio(
                common.since_start_s, common.received_samples, samples, self._query.rate
            )
            common.received_samples += samples
            if strike is not None:
                at = strike.samples * BYTES_PER_SAMPLE
                if message[:at]:
                    await self._process(message[:at])
                if not await self._strike(strike.fault):
                    return False
                message = message[at:]
                if not message:
                    return True
            if self._read_rate is not None:
                await asyncio.sleep(samples / self._query.rate / self._read_rate)
        await self._process(message)
        return True

    async def _process(self, message: bytes | str) -> None:
        await self._say(await self._common.call(self._session.receive, self._common.clock(), message))

    async def _say(self, out: list[ServerAction]) -> None:
        if self._held is not None:
            self._held += out
            if not (self._release and self._session.closed):
                return
            out, self._held = self._held, None
        for item in out:
            if isinstance(item, ServerClose):
                await self._close(item.code, item.reason)
            else:
                text = self._torn(item.text) if self._tears else item.text
                self.account.sent.append((self._common.clock(), text))
                await self._connection.send(text)

    def _torn(self, text: str) -> str:
        message = json.loads(text)
        if not message.get("is_final") or not message["channel"]["alternatives"][0]["words"]:
            return text
        self._tears = False
        return text[: len(text) // 2]

    async def _close(self, code: int, reason: str) -> None:
        """Close, taking what still comes: the client's half of the close lies behind it."""
        closing = asyncio.create_task(self._connection.close(code, reason))
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._connection.recv()
        await closing

    async def _strike_words(self) -> bool:
        """Faults that wait for a word of the script; False when nothing is to follow."""
        if isinstance(self._engine, ScriptEngine):
            fresh = self._engine.half_processed_words[:]
            self._engine.half_processed_words.clear()
            for number in fresh:
                fault = self._common.orders.take_at_word(number)
                if fault is not None and not await self._strike(fault):
                    return False
        return True

    async def _strike(self, fault: Fault) -> bool:
        """Let it go wrong; False when nothing is to follow."""
        log.info("connection %d: fault %s", self.account.number, fault.kind)
        connection = self._connection
        match fault.kind:
            case FaultKind.RESET:
                # Linger for no time: the kernel throws away what is unsent, and answers with RST.
                raw = connection.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.transport.abort()
                return False
            case FaultKind.CLOSE:
                await self._close(fault.code, fault.reason)
                return False
            case FaultKind.BLACK_HOLE:
                self._common.holes.add(connection)
                connection.transport.set_protocol(_Hole(connection))
                return False
            case FaultKind.STALL:
                self._held, self._release = [], fault.variant == "until_close"
            case FaultKind.SLOW:
                self._read_rate = fault.rate
            case FaultKind.TEAR:
                self._tears = True
            case FaultKind.GARBAGE:
                for item in messages.garbage(self._session.windows.processed_s):
                    await connection.send(item)
        return True


class _Hole(asyncio.Protocol):
    """Takes everything that a connection receives from now on, and tells it of its end only."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)


def _kind(message: bytes | str) -> str:
    if isinstance(message, bytes):
        return "audio" if message else "empty"
    try:
        return str(json.loads(message)["type"])
    except (ValueError, KeyError, TypeError):
        return "?"
