"""The recogniser's server: real sockets around `protocol.Session`, faults on order, and an account of what it saw.

async with Server(ScriptEngines(script)) as server:
    ... connect to server.url ...
    server.order(Fault(Verb.RESET, in_word=3))
"""

import asyncio
import http
import logging
import random
import socket
import ssl
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from edged.recognizer import handshake, messages
from edged.recognizer.connection_log import ConnectionLog
from edged.recognizer.conversation import Common, Conversation
from edged.recognizer.engine import EngineFactory
from edged.recognizer.faults import Fault, FaultKind, FaultSchedule
from edged.recognizer.handshake import Query, Refusal
from edged.recognizer.protocol import Limits, RecognizerSession
from edged.recognizer.quirks import Quirks
from edged.recognizer.windows import Perturbations, ResultGenerator

log = logging.getLogger(__name__)

PAGE = "<!DOCTYPE html><title>Welcome</title><p>Please accept the terms of use of this network.\n"
ELSEWHERE = "http://portal.invalid/login"
CLOSE_TIMEOUT_S = 2.0
"""How long the client's half of a close is waited for."""
KEPT = 10_000
"""Connections and refusals that are remembered: a server may run for years."""
HISTORY = 1_000_000
"""Messages kept of each connection, for tests: a day of audio."""


class Server:
    """A recogniser on a socket; `async with` starts and stops it. `url` and `port` are known once it has started."""

    def __init__(
        self,
        engines: EngineFactory,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        keys: Iterable[str] | None = None,
        limits: Limits | None = None,
        perturbations: Perturbations | None = None,
        quirks: Quirks | None = None,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        history: int = HISTORY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection_logs: list[ConnectionLog] = []
        """Of the connections let in, in order."""
        self.refusals: list[tuple[float, int]] = []
        """When, and with which status."""
        self.host = host
        self.port = port
        self._engines = engines
        self._tls = tls
        self._keys = None if keys is None else frozenset(keys)
        self._limits = limits or Limits()
        self._perturbations = perturbations or Perturbations()
        self._quirks = quirks or Quirks()
        self._seed = seed
        self._common = Common(FaultSchedule(tuple(faults)), clock, engines.is_blocking, clock())
        self._history = history
        self._open: set[ServerConnection] = set()
        self._stopping = asyncio.Event()
        self._listener: Listener | None = None
        self._connections = 0

    @property
    def url(self) -> str:
        """For `deepgram.url`."""
        host = socket.gethostname() if self.host in ("", "0.0.0.0", "::") else self.host  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"{'wss' if self._tls else 'ws'}://{host}:{self.port}{handshake.PATH}"

    @property
    def open_connections(self) -> int:
        """Let in, and not ended."""
        return len(self._open)

    @property
    def received_samples(self) -> int:
        """Of audio, over all connections."""
        return self._common.received_samples

    def inject(self, fault: Fault) -> None:
        """Have something go wrong; audio is counted from now on."""
        self._common.orders.add(fault, received_samples=self.received_samples)

    @property
    def pending_faults(self) -> list[Fault]:
        """What has not gone wrong yet."""
        return list(self._common.orders.pending)

    async def __aenter__(self) -> Self:
        self._listener = await serve(
            self._handle,
            self.host,
            self.port,
            ssl=self._tls,
            process_request=self._admit,
            process_response=self._sign,
            compression=None,
            ping_interval=None,  # Deepgram answers pings and sends none
            open_timeout=60,  # a `hang` is up to the client
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=2**24,
        )
        self.port = next(iter(self._listener.sockets)).getsockname()[1]
        self._common.started_s = self._common.clock()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stopping.set()
        for connection in list(self._common.holes):
            connection.transport.abort()
        if self._listener is not None:
            self._listener.close()
            try:
                async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                    await self._listener.wait_closed()
            except TimeoutError:  # a client that takes nothing holds up even the close
                for connection in list(self._open):
                    connection.transport.abort()
                await self._listener.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        request_id = str(uuid.uuid4())
        connection.id = uuid.UUID(request_id)
        fault = self._common.orders.take_at_handshake(self._common.since_start_s)
        if fault is not None and fault.kind is FaultKind.HANG:
            await self._stopping.wait()
        if fault is not None:
            return self._refuse(_faulty(fault, request_id))
        authorization = next(iter(request.headers.get_all("Authorization")), None)
        query = handshake.check_request(request.path, authorization, self._keys, request_id)
        if isinstance(query, Query) and query.rate and (error := self._engines.rate_error(query.rate)):
            query = handshake.make_refusal(400, request_id, code="INVALID_QUERY_PARAMETER", text=error)
        return self._refuse(query) if isinstance(query, Refusal) else None

    def _refuse(self, refusal: Refusal) -> Response:
        self.refusals.append((self._common.clock(), refusal.status))
        del self.refusals[:-KEPT]
        log.info("refused with status %d", refusal.status)
        body = refusal.body.encode()
        headers = Headers([*refusal.headers, ("Content-Length", str(len(body))), ("Connection", "close")])
        if refusal.error:
            headers["dg-error"] = refusal.error
        return Response(refusal.status, http.HTTPStatus(refusal.status).phrase, headers, body)

    def _sign(self, connection: ServerConnection, request: Request, response: Response) -> None:
        """Every answer carries the request id, refusals and websockets' own included."""
        response.headers["dg-request-id"] = str(connection.id)

    async def _handle(self, connection: ServerConnection) -> None:
        """Nothing is made for a connection before its handshake is done, and nothing of it stays but its account."""
        self._open.add(connection)
        try:
            conversation = await self._conversation(connection)
            self.connection_logs.append(conversation.account)
            del self.connection_logs[:-KEPT]
            await conversation.hold()
        finally:
            self._open.discard(connection)

    async def _conversation(self, connection: ServerConnection) -> Conversation:
        request, request_id = connection.request, str(connection.id)
        if request is None:
            raise RuntimeError("a connection is handled before its handshake is done")
        query = handshake.parse_query(urlsplit(request.path).query)
        number, self._connections = self._connections, self._connections + 1
        engine = await self._common.call(self._engines.open, query.rate)
        rng = random.Random(f"{self._seed}/{number}")
        stream = messages.MessageBuilder(request_id, query.model, datetime.now(UTC).isoformat(timespec="milliseconds"))
        windows = ResultGenerator(engine, query, stream, self._perturbations, self._quirks, rng.random)
        now = self._common.clock()
        session = RecognizerSession(
            windows,
            query,
            now,
            limits=self._limits,
            perturbations=self._perturbations,
            quirks=self._quirks,
            draw=rng.random,
        )
        account = ConnectionLog(
            number=number,
            request_id=request_id,
            query=parse_qs(urlsplit(request.path).query, keep_blank_values=True),
            headers={
                name.lower(): value for name, value in request.headers.raw_items() if name.lower() != "authorization"
            },
            opened_at_s=now,
            arrivals=deque(maxlen=self._history),
            sent=deque(maxlen=self._history),
        )
        return Conversation(connection, session, engine, query, account, self._common)


def _faulty(fault: Fault, request_id: str) -> Refusal:
    if fault.kind is FaultKind.REFUSE:
        usual = handshake.make_refusal(fault.status, request_id, retry_after=fault.retry_after)
        return usual if fault.body is None else usual._replace(body=fault.body)
    if fault.kind is FaultKind.PORTAL and fault.variant == "redirect":
        return Refusal(302, "", "", (("Location", ELSEWHERE),))
    if fault.kind is FaultKind.PORTAL:
        return Refusal(200, "", PAGE, (("Content-Type", "text/html; charset=utf-8"),))
    return handshake.make_refusal(503, request_id)  # a `hang` that the server's end has freed
