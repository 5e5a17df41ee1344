"""One open connection: its socket, its session, and the hooks that may observe or disturb it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from edged.model.audio import BYTES_PER_SAMPLE
from edged.recognizer.decoding import DECODERS
from edged.recognizer.engine import Engine
from edged.recognizer.handshake import Query, Refusal
from edged.recognizer.protocol import RecognizerSession, ServerAction, ServerClose

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)


class ConnectionHooks:
    """Observer of one connection that may also disturb it. The base class does neither; test servers override it."""

    def __init__(self, conversation: "Conversation") -> None:
        self.conversation = conversation

    @property
    def holds_actions(self) -> bool:
        """Whether `filter` keeps something back, so that the connection outlives its session."""
        return False

    async def receive(self, message: bytes | str) -> bool:
        """Pass a message of the client to the session; return False when the connection takes no more part in it."""
        await self.conversation.process(message)
        return True

    async def after_step(self) -> bool:
        """Act after each message or deadline; return False when the connection takes no more part in it."""
        return True

    def filter(self, actions: list[ServerAction]) -> list[ServerAction]:
        """Return what to send instead of `actions`."""
        return actions

    def sent(self, text: str) -> None:
        """Note a message that goes to the client."""

    def closed(self, code: int | None, reason: str) -> None:
        """Note the end of the connection."""


class ServerHooks:
    """Observer of a server that may also disturb its handshakes. The base class does neither; test servers override."""

    def started(self) -> None:
        """Note that the server listens."""

    def stopping(self) -> None:
        """Let go of everything that would hold up the server's end."""

    async def handshake(self, request_id: str) -> Refusal | None:
        """Return a refusal for the next handshake, or None to judge it by its request."""
        return None

    def refused(self, status: int) -> None:
        """Note a refused handshake."""

    def connect(self, conversation: "Conversation") -> ConnectionHooks:
        """Return the hooks of a connection whose handshake has been accepted."""
        return ConnectionHooks(conversation)


class EngineCaller:
    """Calls of an engine: in a thread if the engine blocks, so that no connection waits for another one's audio."""

    def __init__(self, *, is_blocking: bool) -> None:
        self._is_blocking = is_blocking

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `function` returns."""
        if self._is_blocking:
            return await asyncio.to_thread(function, *args, **kwargs)
        return function(*args, **kwargs)


class Conversation:
    """One connection, from the accepted handshake to its end. Each object serves one connection."""

    def __init__(
        self,
        connection: ServerConnection,
        session: RecognizerSession,
        engine: Engine,
        query: Query,
        number: int,
        *,
        clock: Callable[[], float],
        caller: EngineCaller,
        hooks: ServerHooks,
    ) -> None:
        self.connection = connection
        self.session = session
        self.engine = engine
        self.query = query
        self.number = number
        """Connections of the server before this one."""
        self._clock = clock
        self._caller = caller
        self._received_samples = 0
        self._hooks = hooks.connect(self)

    async def run(self) -> None:
        """Serve the connection until it ends."""
        log.info("connection %d: open, %d Hz", self.number, self.query.rate)
        try:
            await self._serve()
        except ConnectionClosed:
            log.debug("connection %d: closed by the client", self.number)
        finally:
            self.engine.close()
            code, reason = self.connection.close_code, self.connection.close_reason or ""
            self._hooks.closed(code, reason)
            audio_s = self._received_samples / self.query.rate if self.query.rate else 0.0
            log.info("connection %d: closed with %s after %.1f s of audio", self.number, code, audio_s)

    async def process(self, message: bytes | str) -> None:
        """Give a message to the session and send what it answers; audio is s16le."""
        await self._perform(await self._caller.call(self.session.receive, self._clock(), message))

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, reading on until the client's half of the close has come."""
        closing = asyncio.create_task(self.connection.close(code, reason))
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.connection.recv()
        await closing

    async def _serve(self) -> None:
        await self._perform(self.session.open())
        while not self.session.closed or self._hooks.holds_actions:
            message = await self._next_message(self.session.next_deadline())
            if message is None:
                await self._perform(await self._caller.call(self.session.tick, self._clock()))
            elif not await self._hooks.receive(message):
                break
            if not await self._hooks.after_step():
                break
        await self.connection.wait_closed()

    async def _next_message(self, deadline: float | None) -> bytes | str | None:
        """Return the client's next message, with audio decoded, or None at the deadline."""
        wait_s = None if deadline is None else max(0.0, deadline - self._clock())
        if not self.session.accepts_input:
            await asyncio.sleep(wait_s or 0)
            return None
        try:
            async with asyncio.timeout(wait_s):
                message = await self.connection.recv()
        except TimeoutError:
            return None
        if isinstance(message, bytes):
            message = DECODERS[self.query.encoding](message)
            self._received_samples += len(message) // BYTES_PER_SAMPLE
        return message

    async def _perform(self, actions: list[ServerAction]) -> None:
        for action in self._hooks.filter(actions):
            if isinstance(action, ServerClose):
                await self.close(action.code, action.reason)
            else:
                self._hooks.sent(action.text)
                await self.connection.send(action.text)
