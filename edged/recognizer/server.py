"""The recogniser's server: real sockets around one `RecognizerSession` per connection.

async with Server(PocketsphinxEngineFactory()) as server:
    ... connect to server.url ...
"""

import asyncio
import http
import logging
import random
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from edged.recognizer import handshake, messages
from edged.recognizer.conversation import Conversation, EngineCaller, ServerHooks
from edged.recognizer.engine import Engine, EngineFactory
from edged.recognizer.handshake import Query, Refusal
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.protocol import Limits, RecognizerSession
from edged.recognizer.quirks import Quirks
from edged.recognizer.results import ResultGenerator

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
"""Longest wait for the client's half of a close."""


class Server:
    """A recogniser on a socket; `async with` starts and stops it. `url` and `port` are known once it has started.

    `hooks` observe it, and may disturb it. `seed` makes the perturbations reproducible.
    """

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
        hooks: ServerHooks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self.port = port
        self._engines = engines
        self._caller = EngineCaller(is_blocking=engines.is_blocking)
        self._tls = tls
        self._keys = None if keys is None else frozenset(keys)
        self._limits = limits or Limits()
        self._perturbations = perturbations or Perturbations()
        self._quirks = quirks or Quirks()
        self._seed = seed
        self._hooks = hooks or ServerHooks()
        self._clock = clock
        self._open: set[ServerConnection] = set()
        self._listener: Listener | None = None
        self._accepted = 0

    @property
    def url(self) -> str:
        """Value for the setting `deepgram.url`."""
        host = socket.gethostname() if self.host in ("", "0.0.0.0", "::") else self.host  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"{'wss' if self._tls else 'ws'}://{host}:{self.port}{handshake.PATH}"

    @property
    def open_connections(self) -> int:
        """Number of accepted connections that have not ended."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._listener = await serve(
            self._handle,
            self.host,
            self.port,
            ssl=self._tls,
            process_request=self._answer_handshake,
            process_response=self._add_request_id,
            compression=None,
            ping_interval=None,  # Deepgram answers pings and sends none
            open_timeout=60,  # long enough for a client's own timeout to come first
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=2**24,
        )
        self.port = next(iter(self._listener.sockets)).getsockname()[1]
        self._hooks.started()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._hooks.stopping()
        if self._listener is not None:
            self._listener.close()
            try:
                async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                    await self._listener.wait_closed()
            except TimeoutError:  # a client that reads nothing holds up even the close
                for connection in list(self._open):
                    connection.transport.abort()
                await self._listener.wait_closed()

    async def _answer_handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        request_id = str(uuid.uuid4())
        connection.id = uuid.UUID(request_id)
        refusal = await self._hooks.handshake(request_id) or self._judge(request, request_id)
        return self._refuse(refusal) if refusal else None

    def _judge(self, request: Request, request_id: str) -> Refusal | None:
        authorization = next(iter(request.headers.get_all("Authorization")), None)
        query = handshake.check_request(request.path, authorization, self._keys, request_id)
        if isinstance(query, Refusal):
            return query
        if query.rate and (error := self._engines.rate_error(query.rate)):
            return handshake.make_refusal(400, request_id, code="INVALID_QUERY_PARAMETER", text=error)
        limit = self._limits.max_connections
        if limit is not None and self.open_connections >= limit:
            log.warning("refused a client: %d are connected, the most that are allowed", limit)
            return handshake.make_refusal(429, request_id)
        return None

    def _refuse(self, refusal: Refusal) -> Response:
        self._hooks.refused(refusal.status)
        log.info("refused a handshake with status %d", refusal.status)
        body = refusal.body.encode()
        headers = Headers([*refusal.headers, ("Content-Length", str(len(body))), ("Connection", "close")])
        if refusal.error:
            headers["dg-error"] = refusal.error
        return Response(refusal.status, http.HTTPStatus(refusal.status).phrase, headers, body)

    def _add_request_id(self, connection: ServerConnection, request: Request, response: Response) -> None:
        """Put the request id into every response, refusals and websockets' own included."""
        response.headers["dg-request-id"] = str(connection.id)

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve an accepted connection. Its engine is made only now, and nothing of it stays behind."""
        self._open.add(connection)
        try:
            conversation = await self._conversation(connection)
            await conversation.run()
        finally:
            self._open.discard(connection)

    async def _conversation(self, connection: ServerConnection) -> Conversation:
        request, request_id = connection.request, str(connection.id)
        if request is None:
            raise RuntimeError("a connection is handled before its handshake is done")
        query = handshake.parse_query(urlsplit(request.path).query)
        number, self._accepted = self._accepted, self._accepted + 1
        engine = await self._caller.call(self._engines.open, query.rate)
        return Conversation(
            connection,
            self._session(engine, query, request_id, number),
            engine,
            query,
            number,
            clock=self._clock,
            caller=self._caller,
            hooks=self._hooks,
        )

    def _session(self, engine: Engine, query: Query, request_id: str, number: int) -> RecognizerSession:
        draw = random.Random(f"{self._seed}/{number}").random
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        builder = messages.MessageBuilder(request_id, query.model, created)
        results = ResultGenerator(engine, query, builder, self._perturbations, self._quirks, draw)
        return RecognizerSession(
            results,
            query,
            self._clock(),
            limits=self._limits,
            perturbations=self._perturbations,
            quirks=self._quirks,
            draw=draw,
        )
