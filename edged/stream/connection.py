"""One WebSocket connection to the recogniser: opens it, sends, receives. A shell; the only client of websockets.

Every failure becomes an `UnreachableError` or a `RefusedError`. What to do about it is decided elsewhere.
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
"""Time limit of the closing handshake, once the server has begun it or nothing more is expected."""

MAX_FRAGMENTS: Final = 1024
"""Most fragments of one message. The recogniser does not fragment messages; a relay may split 1 MB into fewer.

The byte limit alone does not help: empty fragments never reach it.
"""


class Secret(Protocol):
    """An API key that never shows in a log line or a traceback."""

    @property
    def origin(self) -> str:
        """Description of where the key comes from, for messages to the user."""

    def reveal(self) -> str:
        """Return the key in plain text."""


class ConnectionClosedError(Exception):
    """The connection has ended: `code` is the server's close code, None without one; `error` says why."""

    def __init__(self, code: int | None, error: UnreachableError | RefusedError) -> None:
        super().__init__(str(error))
        self.code = code
        self.error = error


class _HandshakeRefusedError(Exception):
    """The server answered the opening handshake with another status than 101."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class _BoundedClientConnection(ClientConnection):
    """A `ClientConnection` that bounds the fragments of a message: websockets 15 and 16 collect empty ones for ever."""

    fault = ""
    """Reason why this side aborted the connection; empty if it did not."""
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
    """An open connection to the server, made by `open`; used by one reader and one writer at a time."""

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
        suspects: SuspectAddresses | None = None,
    ) -> "Connection":
        """Connect and complete the opening handshake. `suspects` outlives the connection, which updates it.

        Raises:
            UnreachableError: The server can't be reached, or can't serve now: try again later.
            RefusedError: The server refuses this key, these settings or this audio: a person must act.

        Neither text contains the key.
        """
        url = deepgram.listen_url(settings, rate)
        headers = {"Authorization": f"Token {key.reveal()}"} if key else {}
        redact = _redactor_for(key)
        proxy = find_proxy(url, os.environ)
        dialer = Dialer(SuspectAddresses() if suspects is None else suspects)
        try:
            async with asyncio.timeout(settings.open_timeout_s):
                socket, response = await _handshake(dialer, url, headers, settings, tls, proxy)
        except _HandshakeRefusedError as error:
            dialer.mark_working()
            response = error.response
            redacted_headers = {name: redact(value) for name, value in response.headers.items()}
            body = redact(response.body.decode(errors="replace")).encode()
            origin = key.origin if key else None
            raise deepgram.refusal_error(response.status, redacted_headers, body, origin, now_s=time.time()) from None
        except (OSError, WebSocketException, NotHttpError, ProxyRefusedError, UnicodeError) as error:
            if not isinstance(error, ProxyRefusedError):
                dialer.mark_suspect()
            raise explain_failure(error, dialer, settings, proxy) from None
        dialer.mark_working()
        return cls(socket, dialer, response, settings, redact)

    async def send(self, data: str | bytes) -> None:
        """Send a message; return once the kernel has taken it. Raises ConnectionClosedError, also on a timeout."""
        socket = self._socket
        try:
            # Audio goes to the protocol directly: `send` with a timeout, ten times a second, would cost as much CPU
            # as everything else that edged does in asyncio. What the kernel takes at once needs no waiting.
            if socket.transport.is_closing():
                sent = self._raise_closed()  # a closing transport would silently drop the message
            elif isinstance(data, bytes) and socket.protocol.state is State.OPEN:
                socket.protocol.send_binary(self._encode(data))
                for frame in socket.protocol.data_to_send():
                    socket.transport.write(frame)
                if not socket.transport.get_write_buffer_size():
                    return
                sent = socket.drain()
            else:
                sent = socket.send(data)
            async with asyncio.timeout(self._send_timeout_s):
                await sent
        except TimeoutError:
            self._dialer.mark_suspect()
            self.abort()
            stalled = f"the network has stopped taking data: a message waited {self._send_timeout_s:g} s to be sent"
            raise ConnectionClosedError(None, UnreachableError(stalled)) from None
        except ConnectionClosed as error:
            raise self._closed(error) from None
        except OSError:  # the connection was lost while its buffer drained
            raise self._closed(socket.protocol.close_exc) from None

    async def _raise_closed(self) -> None:
        await self._socket.wait_closed()
        raise self._socket.protocol.close_exc

    async def receive(self) -> str | bytes:
        """Wait for the next message and return it with the key redacted. Raises ConnectionClosedError."""
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
                None, UnreachableError(f"closed the connection: the server broke the WebSocket protocol ({fault})")
            )
        return ConnectionClosedError(None, UnreachableError("connection lost"))

    def abort(self) -> None:
        """Drop the connection at once, without a closing handshake."""
        self._socket.transport.abort()


async def _handshake(
    dialer: Dialer,
    url: str,
    headers: Mapping[str, str],
    settings: DeepgramSettings,
    tls: ssl.SSLContext | None,
    proxy: Proxy | None,
) -> tuple[_BoundedClientConnection, HttpResponse]:
    """Open a WebSocket as `websockets.connect` does, but read responses leniently and tunnel through a proxy.

    Raises _HandshakeRefusedError, and what `Dialer.dial` and `_start_websocket` raise.
    """
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
    """Hand an upgraded transport to websockets. Raises InvalidHandshake if the response is not a WebSocket server's."""
    socket = _BoundedClientConnection(
        protocol,
        ping_interval=settings.ping_interval_s,
        ping_timeout=settings.ping_timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        # With a limit of 1 byte `send` returns once the kernel has taken the message. 0 would mean the same, but over
        # TLS asyncio then takes an empty buffer for a full one and stops sending.
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
