"""One WebSocket connection to the recogniser. The only file that imports websockets for the client side.

It opens, sends, receives, and turns whatever goes wrong into `Unreachable` or `Refused`; it decides nothing.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State
from websockets.uri import parse_uri

from edged import __version__
from edged.config.settings import DeepgramSettings
from edged.model.errors import RefusedError, UnreachableError
from edged.stream import deepgram
from edged.stream.connect_errors import explain_failure
from edged.stream.dialer import Dialer, ProxyRefusedError
from edged.stream.encoding import encoder
from edged.stream.happy_eyeballs import SuspectAddresses
from edged.stream.http_response import SWITCHING_PROTOCOLS, HttpResponse, NotHttpError
from edged.stream.proxy import Proxy, find_proxy
from edged.stream.redaction import redactor

USER_AGENT: Final = f"edged/{__version__}"

CLOSE_TIMEOUT_S: Final = 2.0
"""For the closing handshake, once the server has begun it or nothing more is expected."""

MAX_FRAGMENTS: Final = 1024
"""In one message. The recogniser sends messages whole; a relay may split 1 MB, and empty fragments never reach that."""


class Secret(Protocol):
    """An API key."""

    @property
    def origin(self) -> str:
        """Where it is from, for people."""

    def reveal(self) -> str:
        """The key itself."""


class ConnectionClosedError(Exception):
    """The connection has ended: `code` is the server's, or None if it ended without one."""

    def __init__(self, code: int | None, error: UnreachableError | RefusedError) -> None:
        super().__init__(str(error))
        self.code = code
        self.error = error


class _HandshakeRefusedError(Exception):
    """The server answered with another status than 101."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class _BoundedClientConnection(ClientConnection):
    """Bounds the fragments of a message: websockets 15 and 16 collect empty ones without end."""

    fault = ""
    """Why it was given up."""
    _fragments = 0

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._fragments = 0 if event.fin else self._fragments + 1
            if self._fragments > MAX_FRAGMENTS:
                self.fault = f"a message in more than {MAX_FRAGMENTS} fragments"
                self.transport.abort()
        if not self.fault:
            super().process_event(event)


class Connection:
    """An open connection. Made by `open`; used by one reader and one writer."""

    def __init__(
        self,
        socket: _BoundedClientConnection,
        dialer: Dialer,
        response: HttpResponse,
        settings: DeepgramSettings,
        redact: Callable[[str], str],
    ) -> None:
        self._socket = socket
        self._dialer = dialer
        self._send_timeout_s = settings.send_timeout_s
        self._encode = encoder(settings.encoding)
        self._redact = redact
        self.request_id = deepgram.request_id({name: redact(value) for name, value in response.headers.items()})

    @classmethod
    async def open(
        cls,
        settings: DeepgramSettings,
        rate: int,
        key: Secret | None,
        tls: ssl.SSLContext | None,
        doubts: SuspectAddresses | None = None,
    ) -> "Connection":
        """Connect and shake hands. Raises Unreachable or Refused; nothing of the key is in either.

        `doubts` outlives the connection: addresses that failed are tried last the next time.
        """
        url = deepgram.listen_url(settings, rate)
        headers = {"Authorization": f"Token {key.reveal()}"} if key else {}
        redact = _redactor_for(key)
        proxy = find_proxy(url, os.environ)
        dialer = Dialer(SuspectAddresses() if doubts is None else doubts)
        try:
            async with asyncio.timeout(settings.open_timeout_s):
                socket, response = await _handshake(dialer, url, headers, settings, tls, proxy)
        except _HandshakeRefusedError as error:
            dialer.mark_working()
            response = error.response
            said = {name: redact(value) for name, value in response.headers.items()}
            body = redact(response.body.decode(errors="replace")).encode()
            origin = key.origin if key else None
            raise deepgram.refusal_error(response.status, said, body, origin, now_s=time.time()) from None
        except (OSError, WebSocketException, NotHttpError, ProxyRefusedError, UnicodeError) as error:
            if not isinstance(error, ProxyRefusedError):
                dialer.mark_suspect()
            raise explain_failure(error, dialer, settings, proxy) from None
        dialer.mark_working()
        return cls(socket, dialer, response, settings, redact)

    async def send(self, data: str | bytes) -> None:
        """Returns when the message has left for the kernel. Raises Closed, also if that takes too long."""
        socket = self._socket
        try:
            # Audio goes to the protocol itself: with `send` and a timeout, ten times a second, asyncio would take as
            # long again as everything else that edged does with it. What the kernel takes at once needs no waiting.
            if socket.transport.is_closing():
                leaves = self._lost()  # into a transport that is closing a message would vanish
            elif isinstance(data, bytes) and socket.protocol.state is State.OPEN:
                socket.protocol.send_binary(self._encode(data))
                for frame in socket.protocol.data_to_send():
                    socket.transport.write(frame)
                if not socket.transport.get_write_buffer_size():
                    return
                leaves = socket.drain()
            else:
                leaves = socket.send(data)
            async with asyncio.timeout(self._send_timeout_s):
                await leaves
        except TimeoutError:
            self._dialer.mark_suspect()
            self.abort()
            waited = f"a message could not leave for {self._send_timeout_s:g} s"
            raise ConnectionClosedError(
                None, UnreachableError(f"{waited}: the network has stopped taking data")
            ) from None
        except ConnectionClosed as error:
            raise self._closed(error) from None
        except OSError:  # while it drained: the connection is lost
            raise self._closed(socket.protocol.close_exc) from None

    async def _lost(self) -> None:
        await self._socket.wait_closed()
        raise self._socket.protocol.close_exc

    async def receive(self) -> str | bytes:
        """The next message. Raises Closed."""
        try:
            message = await self._socket.recv()
            if isinstance(message, bytes):
                return self._redact(message.decode(errors="replace")).encode()
            return self._redact(message)
        except ConnectionClosed as error:
            raise self._closed(error) from None

    def _closed(self, error: ConnectionClosed) -> ConnectionClosedError:
        received, sent = error.rcvd, error.sent
        if received:
            return ConnectionClosedError(
                received.code, deepgram.close_error(received.code, self._redact(received.reason))
            )
        if sent and sent.reason == "keepalive ping timeout":
            self._dialer.mark_suspect()
            return ConnectionClosedError(None, UnreachableError("the connection is dead: no answer to a ping"))
        if fault := self._socket.fault or (sent and sent.reason):
            return ConnectionClosedError(
                None, UnreachableError(f"connection given up: the server broke the WebSocket protocol ({fault})")
            )
        return ConnectionClosedError(None, UnreachableError("connection lost"))

    def abort(self) -> None:
        """End it at once, without a word: it is given up."""
        self._socket.transport.abort()


async def _handshake(
    dialer: Dialer,
    url: str,
    headers: Mapping[str, str],
    settings: DeepgramSettings,
    tls: ssl.SSLContext | None,
    proxy: Proxy | None,
) -> tuple[_BoundedClientConnection, HttpResponse]:
    """As `websockets.connect` does it, but for what its parser is too strict with, and its way through a proxy."""
    uri = parse_uri(url)
    if uri.secure and tls is None:
        raise ValueError("a wss:// server needs a TLS context")
    protocol = ClientProtocol(uri, max_size=deepgram.MAX_MESSAGE_BYTES, logger=_quiet_logger())
    transport, exchange = await dialer.dial(uri.host, uri.port, tls, proxy, USER_AGENT)
    try:
        response = await exchange.request(transport, _request(protocol, headers))
        if response.status == SWITCHING_PROTOCOLS:
            return _start_websocket(transport, protocol, response, settings), response
        await exchange.read_body()
    except BaseException:
        transport.abort()
        raise
    transport.abort()
    raise _HandshakeRefusedError(response)


def _request(protocol: ClientProtocol, headers: Mapping[str, str]) -> bytes:
    request = protocol.connect()
    request.headers.update({"User-Agent": USER_AGENT, **headers})
    protocol.send_request(request)
    return b"".join(protocol.data_to_send())


def _start_websocket(
    transport: asyncio.Transport, protocol: ClientProtocol, response: HttpResponse, settings: DeepgramSettings
) -> _BoundedClientConnection:
    """Hand an upgraded transport to websockets. Raises InvalidHandshake if the answer is no WebSocket server's."""
    socket = _BoundedClientConnection(
        protocol,
        ping_interval=settings.ping_interval_s,
        ping_timeout=settings.ping_timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        # `send` returns when the message has left for the kernel. 0 would say so as well, but over TLS asyncio takes
        # an empty buffer for a full one then, and sends nothing any more.
        write_limit=1,
    )
    transport.set_protocol(socket)
    socket.connection_made(transport)
    socket.data_received(response.upgrade_bytes)
    if protocol.handshake_exc:
        raise protocol.handshake_exc
    socket.start_keepalive()
    return socket


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("edged.websockets")
    logger.setLevel(logging.ERROR)
    return logger


def _redactor_for(key: Secret | None) -> Callable[[str], str]:
    return redactor(key.reveal()) if key else str
