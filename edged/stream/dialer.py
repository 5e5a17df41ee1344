"""Opens a connection to a server, directly or through an HTTP proxy, up to where the server's protocol begins. A shell.

Raises what asyncio raises, NotHttpError and ProxyRefusedError; `Dialer.stage` tells where that happened.
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
"""For the body of a refusal, which often explains it. Some servers never end it."""


class ProxyRefusedError(Exception):
    """The proxy makes no tunnel; `response` is its answer."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class DialStage(Enum):
    """What a dialer is at, in this order; the proxy's stages only with a proxy."""

    LOOK_UP = "look-up"
    CONNECT = "connect"
    PROXY_TLS = "TLS with the proxy"
    PROXY_RESPONSE = "the proxy's answer"
    TLS = "TLS with the server"
    RESPONSE = "the server's answer"


class HttpExchange(asyncio.Protocol):
    """One request and one response at a time, before the connection is handed to the protocol that it is for."""

    def __init__(self) -> None:
        self._response = HttpResponse()
        self._ended = False
        self._fault: Exception | None = None
        self._arrived = asyncio.Event()
        self._lost: Exception | None = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            self._response.feed(data)
        except NotHttpError as error:
            self._fault = error
        self._arrived.set()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self._ended = self._response.ended = True
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lost = exc
        self.eof_received()

    async def request(self, transport: asyncio.WriteTransport, request: bytes) -> HttpResponse:
        """Send a request; return when the response's head is there, and after it what has come by then.

        Raises NotHttpError, also if the connection ends before.
        """
        self._response = HttpResponse()
        self._response.ended = self._ended
        transport.write(request)
        while not self._response.status:
            await self._wait_for_data()
        return self._response

    async def read_body(self) -> None:
        """Wait for the body of the response, for as long as that is worth it."""
        with suppress(TimeoutError, NotHttpError, OSError):
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while not self._response.complete:
                    await self._wait_for_data()

    async def _wait_for_data(self) -> None:
        self._arrived.clear()
        if not (self._fault or self._response.ended):
            await self._arrived.wait()
        if self._fault:
            raise self._fault
        if self._response.ended and not self._response.status:
            raise self._lost or NotHttpError


class Dialer:
    """One opening. `stage` tells how far it came, for whoever says why it failed."""

    def __init__(self, doubts: SuspectAddresses) -> None:
        self._doubts = doubts
        self.stage = DialStage.LOOK_UP
        self.error: OSError | None = None
        """What one of several addresses said, while others said nothing."""
        self._address: Address | None = None
        """Where it is connected to: the server or the proxy."""

    async def dial(
        self, host: str, port: int, tls: ssl.SSLContext | None, proxy: Proxy | None, user_agent: str
    ) -> tuple[asyncio.Transport, HttpExchange]:
        """Connect. What is written to the transport next reaches the server."""
        connected = await (self._connect(proxy.host, proxy.port) if proxy else self._connect(host, port))
        transport, exchange = await asyncio.get_running_loop().create_connection(HttpExchange, sock=connected)
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
        """What it connected to gave no answer, or takes nothing any more: its address is tried last from now on."""
        if self._address:
            self._doubts.add(self._address)

    def mark_working(self) -> None:
        """What it connected to answers."""
        if self._address:
            self._doubts.remove(self._address)

    async def _connect(self, host: str, port: int) -> socket.socket:
        def found() -> None:
            self.stage = DialStage.CONNECT

        race = ConnectRace(host, port, self._doubts, found)
        try:
            connected, self._address = await race.run()
        finally:
            self.error = race.error
        return connected


async def _start_tls(
    transport: asyncio.Transport, exchange: HttpExchange, context: ssl.SSLContext, host: str
) -> asyncio.Transport:
    if transport.is_closing():  # asyncio would wait for ever
        raise ConnectionResetError
    loop = asyncio.get_running_loop()
    secured = await loop.start_tls(transport, exchange, context, server_hostname=host)
    if secured is None:  # the connection ended in the middle of it
        raise ConnectionResetError
    return secured
