"""One WebSocket connection to the recogniser. The only file that imports websockets for the client side.

It opens, sends, receives, and turns whatever goes wrong into `Unreachable` or `Refused`; it decides nothing.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.protocol import State

from edged import __version__
from edged.errors import Refused, Unreachable
from edged.settings import Deepgram
from edged.stream import deepgram
from edged.stream.encoding import encoder
from edged.stream.proxy import Proxy, proxy_for
from edged.troubles import Trouble

CERT_NOT_YET_VALID: Final = 9
CERT_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_ numbers: the two that a wrong clock brings about."""

CLOSE_TIMEOUT_S: Final = 2.0
"""For the closing handshake, once the server has begun it or nothing more is expected."""


class Secret(Protocol):
    """An API key."""

    @property
    def origin(self) -> str:
        """Where it is from, for people."""

    def reveal(self) -> str:
        """The key itself."""


class Closed(Exception):
    """The connection has ended: `code` is the server's, or None if it ended without one."""

    def __init__(self, code: int | None, error: Unreachable | Refused) -> None:
        super().__init__(str(error))
        self.code = code
        self.error = error


class _Connect(connect):
    """Follows no redirect: the recogniser sends none, and a captive portal's must be told to people."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Connection:
    """An open connection. Made by `open`; used by one reader and one writer."""

    def __init__(self, socket: ClientConnection, settings: Deepgram, hide: Callable[[str], str]) -> None:
        self._socket = socket
        self._send_timeout_s = settings.send_timeout_s
        self._encode = encoder(settings.encoding)
        self._hide = hide
        response = socket.response
        self.request_id = response.headers.get("dg-request-id", "") if response else ""

    @classmethod
    async def open(cls, settings: Deepgram, rate: int, key: Secret | None, tls: ssl.SSLContext | None) -> "Connection":
        """Connect and shake hands. Raises Unreachable or Refused; nothing of the key is in either."""
        url = deepgram.listen_url(settings, rate)
        headers = {"Authorization": f"Token {key.reveal()}"} if key else {}
        hide = _hiding(key)
        proxy = proxy_for(url, os.environ)
        try:
            opened = await _Connect(
                url,
                additional_headers=headers,
                user_agent_header=f"edged/{__version__}",
                compression=None,  # PCM does not deflate, and a Pi should not try
                open_timeout=settings.open_timeout_s,
                ping_interval=settings.ping_interval_s,
                ping_timeout=settings.ping_timeout_s,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=deepgram.MAX_MESSAGE_BYTES,
                # `send` returns when the message has left for the kernel. 0 would say so as well, but over TLS asyncio
                # takes an empty buffer for a full one then, and sends nothing any more.
                write_limit=1,
                ssl=tls,
                proxy=proxy.address if proxy else None,
                # A quiet logger of its own level: at DEBUG websockets would log the key and the audio.
                logger=_quiet_logger(),
            )
        except InvalidStatus as error:
            response = error.response
            said = {name.lower(): hide(value) for name, value in response.headers.raw_items()}
            body = hide(bytes(response.body or b"").decode(errors="replace")).encode()
            raise deepgram.refusal(response.status_code, said, body, key.origin if key else None) from None
        except (OSError, WebSocketException, EOFError, UnicodeError) as error:
            raise _unreachable(error, settings, proxy) from None
        return cls(opened, settings, hide)

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
            self.abort()
            waited = f"a message could not leave for {self._send_timeout_s:g} s"
            raise Closed(None, Unreachable(f"{waited}: the network has stopped taking data")) from None
        except ConnectionClosed as error:
            raise _closed(error, self._hide) from None
        except OSError:  # while it drained: the connection is lost
            raise _closed(socket.protocol.close_exc, self._hide) from None

    async def _lost(self) -> None:
        await self._socket.wait_closed()
        raise self._socket.protocol.close_exc

    async def receive(self) -> str | bytes:
        """The next message. Raises Closed."""
        try:
            message = await self._socket.recv()
            return self._hide(message) if isinstance(message, str) else message
        except ConnectionClosed as error:
            raise _closed(error, self._hide) from None

    def abort(self) -> None:
        """End it at once, without a word: it is given up."""
        self._socket.transport.abort()


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("edged.websockets")
    logger.setLevel(logging.ERROR)
    return logger


def _hiding(key: Secret | None) -> Callable[[str], str]:
    """Takes the key out of whatever the server says, before any of that reaches a log: some say it back."""
    return (lambda text: text.replace(key.reveal(), "<key>")) if key else (lambda text: text)


def _closed(error: ConnectionClosed, hide: Callable[[str], str]) -> Closed:
    received = error.rcvd
    if received is None and error.sent is not None and error.sent.reason == "keepalive ping timeout":
        return Closed(None, Unreachable("the connection is dead: no answer to a ping"))
    if received is None:
        return Closed(None, Unreachable("connection lost"))
    return Closed(received.code, deepgram.closure(received.code, hide(received.reason)))


def _unreachable(error: Exception, settings: Deepgram, proxy: Proxy | None) -> Unreachable:
    whose = f"the proxy that {proxy.variable} names" if proxy else "the server"
    match error:
        case TimeoutError():
            return Unreachable(f"no connection within {settings.open_timeout_s:g} s")
        case socket.gaierror() if proxy:
            return Unreachable(f"the name of {whose} can't be looked up ({error.strerror})")
        case socket.gaierror():
            return Unreachable(f"the server's name can't be looked up ({error.strerror}): is there a network and DNS?")
        case ssl.SSLCertVerificationError(verify_code=code) if code in (CERT_NOT_YET_VALID, CERT_EXPIRED):
            wrong = Unreachable(f"{error.verify_message} - is this machine's clock right?")
            return wrong.known_as(Trouble.CERTIFICATE)
        case ssl.SSLCertVerificationError():
            return Unreachable(f"the server's certificate is not trusted: {error.verify_message}")
        case ssl.SSLError():
            return Unreachable(f"no TLS with the server: {error.reason or error}")
        case InvalidProxyStatus():
            return Unreachable(f"the proxy refuses: HTTP {error.response.status_code}")
        case InvalidURI() | InvalidProxy() | UnicodeError():  # its text has the address, which may have a password
            return Unreachable(f"the address of {whose} can't be used")
        case ConnectionRefusedError():
            return Unreachable(f"connection refused: nothing listens at the address of {whose}")
        case ConnectionResetError():
            scheme = urlsplit(settings.url).scheme
            return Unreachable(
                f"the connection was broken off while it was opened: is {scheme}:// what is spoken there?"
            )
        case OSError():
            return Unreachable(f"no connection: {error.strerror or type(error).__name__}")
        case InvalidHandshake():
            other = Unreachable("what answered is no WebSocket server: a captive portal, or a wrong deepgram.url?")
            return other.known_as(Trouble.PORTAL)
        case _:
            return Unreachable(f"no connection: {' '.join(str(error).split())[:120] or type(error).__name__}")
