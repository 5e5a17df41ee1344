"""Faults injected into a running server, and a log of all that it receives and sends."""

import asyncio
import json
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection

from edged.model.audio import BYTES_PER_SAMPLE
from edged.recognizer import handshake, messages
from edged.recognizer.conversation import ConnectionHooks, Conversation, ServerHooks
from edged.recognizer.handshake import Refusal
from edged.recognizer.protocol import ServerAction, ServerMessage
from edged.testkit.connection_log import ConnectionLog
from edged.testkit.faults import Fault, FaultKind, FaultSchedule
from edged.testkit.script import ScriptEngine

log = logging.getLogger(__name__)

PORTAL_PAGE = "<!DOCTYPE html><title>Welcome</title><p>Please accept the terms of use of this network.\n"
PORTAL_URL = "http://portal.invalid/login"
MAX_LOGS = 10_000
"""Connections and refusals to remember: a soak test makes many."""


class FaultInjector(ServerHooks):
    """Hooks of a server that apply a schedule of faults and log every connection."""

    def __init__(self, schedule: FaultSchedule, clock: Callable[[], float], history: int) -> None:
        self.schedule = schedule
        self.connection_logs: list[ConnectionLog] = []
        self.refusals: list[tuple[float, int]] = []
        self.received_samples = 0
        self.black_holes: set[ServerConnection] = set()
        """Connections that lead nowhere any more, and would not end by themselves."""
        self._clock = clock
        self._history = history
        self._started_s = clock()
        self._stopping = asyncio.Event()

    @property
    def since_start_s(self) -> float:
        """Time since the server began to listen."""
        return self._clock() - self._started_s

    def started(self) -> None:
        """Count times from now on."""
        self._started_s = self._clock()

    def stopping(self) -> None:
        """Free hanging handshakes and black holes."""
        self._stopping.set()
        for connection in list(self.black_holes):
            connection.transport.abort()

    async def handshake(self, request_id: str) -> Refusal | None:
        """Apply the fault that is due for a handshake, if any."""
        fault = self.schedule.take_at_handshake(self.since_start_s)
        if fault is None:
            return None
        if fault.kind is FaultKind.HANG:
            await self._stopping.wait()
        return _refusal(fault, request_id)

    def refused(self, status: int) -> None:
        """Log a refusal."""
        self.refusals.append((self._clock(), status))
        del self.refusals[:-MAX_LOGS]

    def connect(self, conversation: Conversation) -> ConnectionHooks:
        """Start the log of a connection."""
        request = conversation.connection.request
        if request is None:
            raise RuntimeError("a connection has its hooks before its handshake is done")
        connection_log = ConnectionLog(
            number=conversation.number,
            request_id=str(conversation.connection.id),
            query=parse_qs(urlsplit(request.path).query, keep_blank_values=True),
            headers={
                name.lower(): value for name, value in request.headers.raw_items() if name.lower() != "authorization"
            },
            opened_at_s=self._clock(),
            arrivals=deque(maxlen=self._history),
            sent=deque(maxlen=self._history),
        )
        self.connection_logs.append(connection_log)
        del self.connection_logs[:-MAX_LOGS]
        return FaultyConnection(conversation, connection_log, self, self._clock)


class FaultyConnection(ConnectionHooks):
    """Hooks of one connection that apply the faults due on it and write its log."""

    def __init__(
        self,
        conversation: Conversation,
        connection_log: ConnectionLog,
        injector: FaultInjector,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(conversation)
        self._log = connection_log
        self._injector = injector
        self._clock = clock
        self._held: list[ServerAction] | None = None
        """Actions that a stall keeps back."""
        self._releases_at_close = False
        """Whether the stall ends when the session does."""
        self._tears_next_final = False
        self._read_rate: float | None = None
        """Reading speed, in times of real time; None for as fast as audio arrives."""

    @property
    def holds_actions(self) -> bool:
        """Whether a stall keeps something back."""
        return self._held is not None

    async def receive(self, message: bytes | str) -> bool:
        """Log and process a message, applying the fault that is due within its audio."""
        samples = len(message) // BYTES_PER_SAMPLE if isinstance(message, bytes) else 0
        self._log.add_received(self._clock(), _kind(message), samples)
        rate = self.conversation.query.rate
        if isinstance(message, bytes) and message and rate:
            injector = self._injector
            due = injector.schedule.take_at_audio(injector.since_start_s, injector.received_samples, samples, rate)
            injector.received_samples += samples
            if due is not None:
                at = due.samples * BYTES_PER_SAMPLE
                if message[:at]:
                    await self.conversation.process(message[:at])
                if not await self._apply(due.fault):
                    return False
                message = message[at:]
                if not message:
                    return True
            if self._read_rate is not None:
                await asyncio.sleep(samples / rate / self._read_rate)
        await self.conversation.process(message)
        return True

    async def after_step(self) -> bool:
        """Apply the faults that wait for a word of the script."""
        engine = self.conversation.engine
        if isinstance(engine, ScriptEngine):
            for number in engine.take_half_processed():
                fault = self._injector.schedule.take_at_word(number)
                if fault is not None and not await self._apply(fault):
                    return False
        return True

    def filter(self, actions: list[ServerAction]) -> list[ServerAction]:
        """Hold actions back during a stall, and tear a final if a fault asks for it."""
        if self._held is not None:
            self._held += actions
            if not (self._releases_at_close and self.conversation.session.closed):
                return []
            actions, self._held = self._held, None
        return [self._torn(action) if isinstance(action, ServerMessage) else action for action in actions]

    def sent(self, text: str) -> None:
        """Log a message that goes to the client."""
        self._log.sent.append((self._clock(), text))

    def closed(self, code: int | None, reason: str) -> None:
        """Log the end of the connection."""
        self._injector.black_holes.discard(self.conversation.connection)
        self._log.add_close(self._clock(), code, reason)

    def _torn(self, action: ServerMessage) -> ServerMessage:
        if not self._tears_next_final:
            return action
        message = json.loads(action.text)
        if not message.get("is_final") or not message["channel"]["alternatives"][0]["words"]:
            return action
        self._tears_next_final = False
        return ServerMessage(action.text[: len(action.text) // 2])

    async def _apply(self, fault: Fault) -> bool:
        """Apply a fault; return False when nothing follows on this connection."""
        log.info("connection %d: fault %s", self.conversation.number, fault.kind)
        connection = self.conversation.connection
        match fault.kind:
            case FaultKind.RESET:
                # With a linger time of 0 the kernel drops what is unsent and answers with RST.
                raw = connection.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.transport.abort()
                return False
            case FaultKind.CLOSE:
                await self.conversation.close(fault.code, fault.reason)
                return False
            case FaultKind.BLACK_HOLE:
                self._injector.black_holes.add(connection)
                connection.transport.set_protocol(_BlackHole(connection))
                return False
            case FaultKind.STALL:
                self._held, self._releases_at_close = [], fault.variant == "until_close"
            case FaultKind.SLOW:
                self._read_rate = fault.rate
            case FaultKind.TEAR:
                self._tears_next_final = True
            case FaultKind.GARBAGE:
                for item in garbage(self.conversation.session.windows.processed_s):
                    await connection.send(item)
        return True


class _BlackHole(asyncio.Protocol):
    """Transport protocol that drops everything a connection receives and reports only its end."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)


def _refusal(fault: Fault, request_id: str) -> Refusal:
    if fault.kind is FaultKind.REFUSE:
        refusal = handshake.make_refusal(fault.status, request_id, retry_after=fault.retry_after)
        return refusal if fault.body is None else refusal._replace(body=fault.body)
    if fault.kind is FaultKind.PORTAL and fault.variant == "redirect":
        return Refusal(302, "", "", (("Location", PORTAL_URL),))
    if fault.kind is FaultKind.PORTAL:
        return Refusal(200, "", PORTAL_PAGE, (("Content-Type", "text/html; charset=utf-8"),))
    return handshake.make_refusal(503, request_id)  # a hanging handshake that the server's end has freed


def _kind(message: bytes | str) -> str:
    if isinstance(message, bytes):
        return "audio" if message else "empty"
    try:
        return str(json.loads(message)["type"])
    except (ValueError, KeyError, TypeError):
        return "?"


def garbage(now_s: float) -> list[str | bytes]:
    """Return messages that no server should send, though some have; none of them transcribes any audio."""
    return [
        "this is not JSON",
        "[]",
        "null",
        "{}",
        b"\x00\x01binary",
        '{"type":"Weather","temperature":21}',
        '{"type":"Results","is_final":true}',
        '{"type":"Results","channel_index":[0,1],"start":"soon","duration":null,"is_final":1,"channel":[]}',
        json.dumps(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": 0.0,
                "duration": 0.0,
                "is_final": False,
                "speech_final": False,
                "channel": {"alternatives": []},
                "novelty": {"of": ["the", "day"]},
            }
        ),
        messages.utterance_end(-1.0),
        messages.utterance_end(max(0.0, now_s - 60)),
        messages.speech_started(-1.0),
        json.dumps({"type": "Metadata", "request_id": None}),
        json.dumps({"type": "Error", "description": None, "variant": 7}),
    ]
