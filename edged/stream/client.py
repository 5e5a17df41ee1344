"""Reconnecting client: connects, lets a sender use the connection, waits, connects again. A shell."""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from math import inf

from edged.config.settings import Settings
from edged.model.errors import RefusedError, UnreachableError
from edged.service.log import Outage
from edged.stream.backoff import Backoff
from edged.stream.connection import Connection, ConnectionClosedError, Secret
from edged.stream.connection_churn import ConnectionChurn
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import Learned, Resumed, SenderEvent
from edged.stream.happy_eyeballs import SuspectAddresses
from edged.stream.sender import Sender
from edged.stream.session import Hangup, SendMessage, Session
from edged.stream.wakeup import Wakeup

log = logging.getLogger(__name__)

PAUSE_S = 30.0
"""Nearly everybody who speaks stops once in so long; a television does not."""

MOST_REASONS = 10
"""Different warnings in one outage: a server that words each refusal anew must not fill the log."""

SUMMED_UP = "they are told in sum until one holds for a minute"


# Transitions of a connection's state:
#
#   NEW or IDLE -> QUEUED          there is audio to send, or a connection to hold
#   NEW -> IDLE                    nothing to send, and no reason to hold a connection
#   QUEUED -> CONNECTING           the limiter allows one more connection
#   CONNECTING -> CONNECTED        the handshake succeeded
#   CONNECTING -> BACKING_OFF      the handshake failed
#   CONNECTED -> IDLE or QUEUED    the connection ended as intended
#   CONNECTED -> BACKING_OFF       the connection was lost
#   BACKING_OFF -> IDLE or QUEUED  the wait is over


class ConnectionState(Enum):
    """The state of a client's connection to the server."""

    NEW = "new"
    IDLE = "idle"
    QUEUED = "queued"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    BACKING_OFF = "backing off"


@dataclass(slots=True)
class ConnectionCounts:
    """Number of connections since the start."""

    connections: int = 0
    reconnects: int = 0
    """Connections made because one was lost; not those after a close of our own."""


class ReconnectingClient:
    """Runs from `run` until the lane is finished; `on_effect` gets everything that is not for the network."""

    def __init__(
        self,
        settings: Settings,
        lane: Sender,
        key: Secret | None,
        tls: ssl.SSLContext | None,
        share: ConnectionLimiter,
        on_effect: Callable[[SenderEvent], None],
    ) -> None:
        self._settings = settings
        self._sender = lane
        self._key = key
        self._tls = tls
        self._limiter = share
        self._on_effect = on_effect
        self._backoff = Backoff(settings.reconnect)
        self._doubts = SuspectAddresses()
        self._wake = Wakeup()
        self._outage = Outage(log, "recogniser")
        self._churn = ConnectionChurn()
        self._too_many = False
        """The other connection was in the way of the last try."""
        self._churn_text: str | None = None
        """Summary of short connections, to be logged with the next failure."""
        self._reasons = share.told(self)
        """Reasons logged in the present outage."""
        self._lost = False
        """The last connection did not end in order."""
        self._finish = asyncio.Event()
        self._checked = False
        self._leave_at_s = inf
        """When the present connection is given up for somebody else's sake."""
        self._is_urgent = False
        self.counts = ConnectionCounts()
        self.state = ConnectionState.NEW
        self.error: UnreachableError | RefusedError | None = None
        """Cause of the present wait, while BACKING_OFF."""
        self.retry_at_s: float | None = None
        """`time.monotonic()` of the next attempt, while BACKING_OFF."""

    def wake(self) -> None:
        """Something may be there to send, or to connect for."""
        self._wake.set()
        self._limiter.stir()

    @property
    def is_urgent(self) -> bool:
        """Whether the pending audio comes near a limit, so that it goes before all other connections."""
        return self._is_urgent

    def set_urgent(self, urgent: bool) -> None:
        """Set whether the pending audio comes near a limit."""
        self._is_urgent = urgent

    @property
    def has_live_speech(self) -> bool:
        """Whether live speech is pending here, so that a backlog has to yield."""
        return self._sender.has_source and self._sender.backlog > 0

    @property
    def waits(self) -> bool:
        """Whether audio is pending here."""
        return self._sender.backlog > 0

    def request_close(self, *, soon: bool) -> None:
        """Another connection is wanted, and there may be no more: end this one as soon as that costs nothing.

        `soon`: after `PAUSE_S` in mid-speech; what is not answered then is sent again on the next one.
        """
        self._sender.request_close()
        if soon:
            self._leave_at_s = min(self._leave_at_s, time.monotonic() + PAUSE_S)
        self.wake()

    def finish(self, *, retry_aside: bool = True) -> None:
        """Return from `run` when nothing is left to be answered. `retry_aside`: see `Lane.finish`."""
        self._sender.finish(retry_aside=retry_aside)
        self._finish.set()
        self.wake()

    async def run(self) -> None:
        """Ends when finished; until then it never gives up. Raises only for faults of our own."""
        while await self._worth_connecting():
            self.state = ConnectionState.QUEUED
            await self._limiter.acquire(self)
            try:
                error = await self._connect_and_converse()
            finally:
                self._limiter.release(self)
            if error is None:
                continue
            if self._too_many and isinstance(error, RefusedError):
                error = UnreachableError(str(error))  # it will be taken when the other has ended
            wait_s = self._backoff.wait_s(error, random.random())
            self.state, self.error = ConnectionState.BACKING_OFF, error
            self.retry_at_s = time.monotonic() + wait_s
            self._log_failure(error, wait_s)
            await self._back_off(wait_s)
            self.retry_at_s = self.error = None

    def _log_failure(self, error: UnreachableError | RefusedError, wait_s: float) -> None:
        """Each reason of an outage is a warning once: the second may be what somebody has to do something about."""
        if self._too_many:
            log.debug("one connection too many: %s", error)
            self._too_many = False
            return
        reason = str(error).partition(" (request ")[0]
        parked = self._sender.is_parked and not self.waits
        then = "connecting again when somebody speaks" if parked else f"trying again in {wait_s:.1f} s"
        text = f"{error}; {then}"
        if (
            not self._churn_text and reason not in self._reasons and self._limiter.is_told(reason)
        ):  # by the other connection
            log.debug("recogniser: %s", text)
            return
        is_new = reason not in self._reasons and len(self._reasons) < MOST_REASONS
        if self._churn_text:
            text, is_new, self._churn_text = f"{text} ({self._churn_text}: {SUMMED_UP})", True, None
        if self._outage.lasting and is_new:
            log.warning("recogniser: %s", text, extra={"message_id": error.message_id})
        else:
            self._outage.failed(text, error.message_id)
        self._reasons.add(reason)

    async def _worth_connecting(self) -> bool:
        """Wait until there is reason to connect; False when finished and nothing is left."""
        while True:
            self._wake.clear()
            if self._sender.has_work(time.monotonic()):
                return True
            if self._finish.is_set():
                return False
            hold = self._settings.deepgram.prime_s > 0 and not self._sender.is_parked
            if hold and (self._sender.has_source or not self._checked):
                return True
            self.state = ConnectionState.IDLE
            await self._wake.wait()

    async def _connect_and_converse(self) -> UnreachableError | RefusedError | None:
        """One connection's life. Returns why it must be made again after a wait, or None if it ended in order."""
        settings = self._settings
        self.state = ConnectionState.CONNECTING
        try:
            connection = await Connection.open(settings.deepgram, self._sender.rate, self._key, self._tls, self._doubts)
        except (UnreachableError, RefusedError) as error:
            self._too_many = self._limiter.failed(self, error.status)
            return error
        self._limiter.opened(self)
        self._checked = True
        self.counts.connections += 1
        self.counts.reconnects += self._lost
        self._lost = False
        now = time.monotonic()
        self._churn.opened(now)
        log.log(self._level, "connected to the recogniser (request %s)", connection.request_id or "without an id")
        self.state = ConnectionState.CONNECTED
        self._dispatch(self._sender.connected(now, connection.request_id))
        session = self._sender.session
        if session is None:
            raise RuntimeError("a lane that is connected has a session")
        self._leave_at_s = inf
        closed = await self._converse(connection, session)
        now = time.monotonic()
        given_up = now >= self._leave_at_s and closed.code is None
        self._dispatch(self._sender.connection_lost(now, closed.code, given_up=given_up))
        return await self._ended(closed, now, given_up=given_up)

    async def _ended(
        self, closed: ConnectionClosedError, now: float, *, given_up: bool
    ) -> UnreachableError | RefusedError | None:
        """Returns why the connection must be made again after a wait, or None if it need not."""
        end = self._sender.end
        if end is None:
            raise RuntimeError("a lane that was connected has an end to tell of")
        self._backoff.ended(end)
        self._churn_text = self._churn.ended(now)
        if await self._limiter.ended(self, ours=end.in_order or given_up):
            log.debug("connection ended for another: %s", closed.error)
            self._lost = True
            return None
        if end.is_done or given_up:
            how = "closed in order" if end.is_done else "given up in mid-speech: others can't wait any longer"
            log.log(self._level, "connection %s", how)
            if self._churn_text:
                log.info("recogniser: %s; %s", self._churn_text, SUMMED_UP)
            return None
        self._lost = not end.in_order
        return (
            UnreachableError("the server ended the stream without answering all of it")
            if end.in_order
            else closed.error
        )

    @property
    def _level(self) -> int:
        """Log level of the lines about each connection."""
        return logging.DEBUG if self._churn.high else logging.INFO

    async def _converse(self, connection: Connection, session: Session) -> ConnectionClosedError:
        """Read and write until the connection ends or is given up."""
        tasks = [
            asyncio.create_task(self._read(connection), name="reader"),
            asyncio.create_task(self._write(connection), name="writer"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            error = task.exception()
            if isinstance(error, ConnectionClosedError):
                return error
            if error:
                raise error  # a fault of our own
        raise RuntimeError("a connection's reader and writer end by raising only")

    async def _read(self, connection: Connection) -> None:
        while True:
            text = await connection.receive()
            effects = self._sender.receive(text, time.monotonic())
            self._dispatch(effects)
            for hangup in (effect for effect in effects if isinstance(effect, Hangup)):
                raise ConnectionClosedError(None, hangup.error)
            session = self._sender.session
            if session and session.results:
                self._note_results()
            self._wake.set()

    def _note_results(self) -> None:
        """The server gives results. Where connections come and go, that is told when one holds."""
        if self._churn.holds(time.monotonic()):
            self._outage.over()
            self._reasons.clear()

    async def _write(self, connection: Connection) -> None:
        lane = self._sender
        while True:
            self._wake.clear()
            effects = lane.poll(time.monotonic())
            self._dispatch(effects)  # before anything is awaited: the lane has let go of what these record
            for effect in effects:
                match effect:
                    case SendMessage(data):
                        await connection.send(data)
                        lane.message_sent(time.monotonic())
                        if isinstance(data, str):
                            log.debug("sent %s", data)  # KeepAlive, Finalize, CloseStream: never audio
                    case Hangup(error):
                        connection.abort()
                        raise ConnectionClosedError(None, error)
            if time.monotonic() >= self._leave_at_s:
                raise ConnectionClosedError(None, UnreachableError("another needs the connection"))
            deadline_s = lane.next_deadline(time.monotonic())
            by_s = min(self._leave_at_s, inf if deadline_s is None else deadline_s)
            await self._wake.wait(by_s=None if by_s == inf else by_s)

    async def _back_off(self, wait_s: float) -> None:
        """Wait. Audio does not shorten it; the order to finish does, once: a last try before the end."""
        if self._finish.is_set():
            await asyncio.sleep(wait_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._finish.wait()

    def _dispatch(self, effects: list[SenderEvent]) -> None:
        """All of them but what is for the network."""
        for effect in effects:
            match effect:
                case SendMessage() | Hangup():
                    pass
                case Learned(text):
                    log.info("recogniser: %s", text)
                case Resumed(_, reason, resent_samples):
                    log.log(self._level, "resuming %.1f s back: %s", resent_samples / self._sender.rate, reason.value)
                case _:
                    self._on_effect(effect)
