"""One WebSocket connection to the recogniser. The only file that imports websockets for the client side.

It opens, sends, receives, and turns whatever goes wrong into `Unreachable` or `Refused`; it decides nothing.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies

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

from edged import __version__
from edged.errors import ConfigurationError, Refused, Unreachable
from edged.settings import Deepgram
from edged.stream import deepgram

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


def tls_context(settings: Deepgram) -> ssl.SSLContext | None:
    """Verifying always; None for ws://. Raises ConfigurationError if `ca_file` can't be used."""
    if not settings.url.startswith("wss:"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"[deepgram] ca_file = {settings.ca_file!r}: {error}") from None


class _Connect(connect):
    """Follows no redirect: the recogniser sends none, and a captive portal's must be told to people."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Connection:
    """An open connection. Made by `open`; used by one reader and one writer."""

    def __init__(self, socket: ClientConnection, send_timeout_s: float, hide: Callable[[str], str]) -> None:
        self._socket = socket
        self._send_timeout_s = send_timeout_s
        self._hide = hide
        response = socket.response
        self.request_id = response.headers.get("dg-request-id", "") if response else ""

    @classmethod
    async def open(cls, settings: Deepgram, rate: int, key: Secret | None, tls: ssl.SSLContext | None) -> "Connection":
        """Connect and shake hands. Raises Unreachable or Refused; nothing of the key is in either."""
        url = deepgram.listen_url(settings, rate)
        headers = {"Authorization": f"Token {key.reveal()}"} if key else {}
        hide = _hiding(key)
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
                # A quiet logger of its own level: at DEBUG websockets would log the key and the audio.
                logger=_quiet_logger(),
            )
        except InvalidStatus as error:
            response = error.response
            said = {name.lower(): hide(value) for name, value in response.headers.raw_items()}
            body = hide(bytes(response.body or b"").decode(errors="replace")).encode()
            raise deepgram.refusal(response.status_code, said, body, key.origin if key else None) from None
        except (OSError, WebSocketException, EOFError) as error:
            raise _unreachable(error, settings) from None
        return cls(opened, settings.send_timeout_s, hide)

    async def send(self, data: str | bytes) -> None:
        """Returns when the message has left for the kernel. Raises Closed, also if that takes too long."""
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._socket.send(data)
        except TimeoutError:
            self.abort()
            waited = f"a message could not leave for {self._send_timeout_s:g} s"
            raise Closed(None, Unreachable(f"{waited}: the network has stopped taking data")) from None
        except ConnectionClosed as error:
            raise _closed(error, self._hide) from None

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

    async def close(self) -> None:
        """End it in order, within `CLOSE_TIMEOUT_S`."""
        await self._socket.close()


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


def _unreachable(error: Exception, settings: Deepgram) -> Unreachable:
    match error:
        case TimeoutError():
            return Unreachable(f"no connection within {settings.open_timeout_s:g} s")
        case socket.gaierror():
            return Unreachable(f"the server's name can't be looked up ({error.strerror}): is there a network and DNS?")
        case ssl.SSLCertVerificationError(verify_code=code) if code in (CERT_NOT_YET_VALID, CERT_EXPIRED):
            return Unreachable(f"{error.verify_message} - is this machine's clock right?")
        case ssl.SSLCertVerificationError():
            return Unreachable(f"the server's certificate is not trusted: {error.verify_message}")
        case ssl.SSLError():
            return Unreachable(f"no TLS with the server: {error.reason or error}")
        case InvalidProxyStatus():
            return Unreachable(f"the proxy refuses: HTTP {error.response.status_code}")
        case InvalidURI() | InvalidProxy():  # its text has the address, which may have a password
            return Unreachable("the proxy's address in the environment can't be used")
        case ConnectionRefusedError():
            where = "the address of the proxy that the environment names" if _proxied() else "its address"
            return Unreachable(f"connection refused: nothing listens at {where}")
        case ConnectionResetError():
            scheme = urlsplit(settings.url).scheme
            return Unreachable(
                f"the connection was broken off while it was opened: is {scheme}:// what is spoken there?"
            )
        case OSError():
            return Unreachable(f"no connection: {error.strerror or type(error).__name__}")
        case InvalidHandshake():
            return Unreachable("what answered is no WebSocket server: a captive portal, or a wrong deepgram.url?")
        case _:
            return Unreachable(f"no connection: {' '.join(str(error).split())[:120] or type(error).__name__}")


def _proxied() -> bool:
    """Whether the environment names any proxy: near enough for a line that tells people where to look."""
    return bool({"all", "http", "https", "socks"} & getproxies().keys())
