"""Opens a connection to a server: TCP, HTTP proxy and TLS, up to where the server's protocol begins. A shell.

Errors are those of asyncio, NotHttpError and ProxyRefusedError; `Dialer.stage` says in which stage one occurred.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from enum import Enum
from typing import Final

from edged.stream.happy_eyeballs import Address, SuspectAddresses
from edged.stream.http_response import HttpResponse, NotHttpError
from edged.stream.proxy import Proxy
from edged.stream.tcp import ConnectRace

BODY_TIMEOUT_S: Final = 2.0
"""Time limit for the body of a refusal, which often explains it. Some servers never end it."""


class ProxyRefusedError(Exception):
    """The proxy refused the tunnel; `response` is its response to CONNECT."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class DialStage(Enum):
    """The stages of opening a connection, in order; those of the proxy only apply with a proxy."""

    LOOK_UP = "look-up"
    CONNECT = "connect"
    PROXY_TLS = "TLS with the proxy"
    PROXY_RESPONSE = "the proxy's answer"
    TLS = "TLS with the server"
    RESPONSE = "the server's answer"


class HttpExchange(asyncio.Protocol):
    """The HTTP part of a connection, one request and response at a time, before another protocol takes it over."""

    def __init__(self) -> None:
        self._response = HttpResponse()
        self._ended = False
        self._parse_error: NotHttpError | None = None
        self._data_event = asyncio.Event()
        self._connection_error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        """Implement `asyncio.Protocol`: add data to the response."""
        try:
            self._response.feed(data)
        except NotHttpError as error:
            self._parse_error = error
        self._data_event.set()

    def eof_received(self) -> None:
        """Implement `asyncio.Protocol`: end the response."""
        self._ended = True
        self._response.feed_eof()
        self._data_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Implement `asyncio.Protocol`: keep the error and end the response."""
        self._connection_error = exc
        self.eof_received()

    async def request(self, transport: asyncio.WriteTransport, request: bytes) -> HttpResponse:
        """Send a request and return its response as soon as its head is complete; the body may still be arriving.

        Raises NotHttpError, also if the connection ends before the head does, or the error that ended it.
        """
        self._response = HttpResponse()
        if self._ended:
            self._response.feed_eof()
        transport.write(request)
        while not self._response.status:
            await self._wait_for_data()
        return self._response

    async def read_body(self) -> None:
        """Wait for the body of the response, at most `BODY_TIMEOUT_S`."""
        with suppress(TimeoutError, NotHttpError, OSError):
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while not self._response.complete:
                    await self._wait_for_data()

    async def _wait_for_data(self) -> None:
        self._data_event.clear()
        if not (self._parse_error or self._response.ended):
            await self._data_event.wait()
        if self._parse_error:
            raise self._parse_error
        if self._response.ended and not self._response.status:
            raise self._connection_error or NotHttpError


class Dialer:
    """One attempt to open a connection. `stage` says how far it got, for explaining a failure."""

    def __init__(self, suspects: SuspectAddresses) -> None:
        self._suspects = suspects
        self.stage = DialStage.LOOK_UP
        self.error: OSError | None = None
        """Error of one address while other addresses did not respond."""
        self._address: Address | None = None
        """Address of the server or the proxy that is connected."""

    async def dial(
        self, host: str, port: int, tls: ssl.SSLContext | None, proxy: Proxy | None, user_agent: str
    ) -> tuple[asyncio.Transport, HttpExchange]:
        """Connect to the server. Whatever is written to the returned transport reaches it.

        Raises OSError, ssl.SSLError, NotHttpError, ProxyRefusedError, or UnicodeError for a name that can't exist.
        """
        tcp_socket = await (self._connect(proxy.host, proxy.port) if proxy else self._connect(host, port))
        transport, exchange = await asyncio.get_running_loop().create_connection(HttpExchange, sock=tcp_socket)
        try:
            if proxy:
                transport = await self._tunnel(
                    transport, exchange, proxy, proxy.connect_request(host, port, user_agent)
                )
            if tls:
                self.stage = DialStage.TLS
                transport = await _start_tls(transport, exchange, tls, host)
        except BaseException:
            transport.abort()
            raise
        self.stage = DialStage.RESPONSE
        return transport, exchange

    async def _tunnel(
        self, transport: asyncio.Transport, exchange: HttpExchange, proxy: Proxy, request: bytes
    ) -> asyncio.Transport:
        if proxy.tls:
            self.stage = DialStage.PROXY_TLS
            transport = await _start_tls(transport, exchange, ssl.create_default_context(), proxy.host)
        self.stage = DialStage.PROXY_RESPONSE
        response = await exchange.request(transport, request)
        if not 200 <= response.status < 300:
            raise ProxyRefusedError(response)
        return transport

    def mark_suspect(self) -> None:
        """Note that the connected address hangs: it is tried last from now on."""
        if self._address:
            self._suspects.add(self._address)

    def mark_working(self) -> None:
        """Note that the connected address responds."""
        if self._address:
            self._suspects.remove(self._address)

    async def _connect(self, host: str, port: int) -> socket.socket:
        def on_address() -> None:
            self.stage = DialStage.CONNECT

        race = ConnectRace(host, port, self._suspects, on_address)
        try:
            tcp_socket, self._address = await race.run()
        finally:
            self.error = race.error
        return tcp_socket


async def _start_tls(
    transport: asyncio.Transport, exchange: HttpExchange, context: ssl.SSLContext, host: str
) -> asyncio.Transport:
    if transport.is_closing():  # start_tls would wait for ever
        raise ConnectionResetError
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(transport, exchange, context, server_hostname=host)
    if secured is None:  # the connection ended during the TLS handshake
        raise ConnectionResetError
    return secured
