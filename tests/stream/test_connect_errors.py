"""Why there is no connection, over real sockets: each reason is told apart, for what to do about it differs."""

import asyncio
from collections.abc import Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from edged.config.api_key import ApiKey
from edged.config.settings import DeepgramSettings
from edged.model.errors import RefusedError, UnreachableError
from edged.stream.connection import Connection
from tests.stream.wire import KEY, answering, converse, forever, settings, unreachable


def refused(
    answer: Callable[[ServerConnection, Request], Response], key: ApiKey | None = KEY
) -> UnreachableError | RefusedError:
    """Return the error that opening raises when a server gives this answer."""

    async def main() -> UnreachableError | RefusedError:
        async with serve(forever, "127.0.0.1", 0, process_request=answer) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises((UnreachableError, RefusedError)) as error:
                await Connection.open(settings(port), 16_000, key, None)
            assert isinstance(error.value, UnreachableError | RefusedError)
            return error.value

    return asyncio.run(main())


def test_a_wrong_key_is_named_by_its_origin() -> None:
    """Never by itself, not even if the server says it."""
    error = refused(lambda server, _: server.respond(401, f'{{"err_msg":"no such key: {KEY.reveal()}"}}'))
    assert isinstance(error, RefusedError)
    assert "HTTP 401: the key from file /etc/edged/deepgram-api-key is wrong" in str(error)
    assert '"no such key: <key>"' in str(error)


def test_a_missing_key_is_named_as_that() -> None:
    """401 without a key sent."""
    error = refused(lambda server, _: server.respond(401, "{}"), key=None)
    assert "HTTP 401: no key was given" in str(error)


def test_retry_after_is_kept() -> None:
    """The delay is in seconds."""

    def answer(server: ServerConnection, _: Request) -> Response:
        response = server.respond(429, "")
        response.headers["Retry-After"] = "17"
        return response

    error = refused(answer)
    assert isinstance(error, UnreachableError)
    assert error.retry_after_s == 17


def test_retry_after_may_be_a_date() -> None:
    """Compared with the server's own clock."""

    def answer(server: ServerConnection, _: Request) -> Response:
        response = server.respond(503, "")
        response.headers["Retry-After"] = "Wed, 21 Oct 2015 07:30:00 GMT"
        del response.headers["Date"]
        response.headers["Date"] = "Wed, 21 Oct 2015 07:28:00 GMT"
        return response

    error = refused(answer)
    assert isinstance(error, UnreachableError)
    assert error.retry_after_s == 120


def test_a_redirect_is_not_followed() -> None:
    """The recogniser sends none: it is a captive portal's."""

    def answer(server: ServerConnection, _: Request) -> Response:
        response = server.respond(302, "")
        response.headers["Location"] = "ws://127.0.0.1:1/"
        return response

    assert "a captive portal" in str(refused(answer))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answered is no WebSocket server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHi!\n", "a web page answered"),
        (b"", "what answered is no WebSocket server"),
    ],
)
def test_something_else_answers(said: bytes, reason: str) -> None:
    """The message says what may have answered."""

    async def main() -> None:
        async with answering(said) as port:
            with pytest.raises(UnreachableError, match=reason):
                await Connection.open(settings(port), 16_000, KEY, None)

    asyncio.run(main())


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.0 403 Forbidden\r\n\r\n",
        b"HTTP/1.1 403\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\n\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\ncut",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99999999\r\n\r\ncut",
        b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nno header\r\nSet-Cookie: " + b"x" * 9000 + b"\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_a_refusal_is_understood_however_it_is_written(said: bytes) -> None:
    """A status that reaches people as "a captive portal" sends them the wrong way."""

    async def main() -> None:
        async with answering(said) as port:
            with pytest.raises(RefusedError, match="HTTP 403: the key may not use this model"):
                await Connection.open(settings(port), 16_000, KEY, None)

    asyncio.run(main())


@pytest.mark.slow
def test_a_refusal_that_never_ends_is_reported() -> None:
    """With what it says by then."""

    async def main() -> None:
        async with answering(b'HTTP/1.1 401 No\r\n\r\n{"err_msg": "who are you"}', ends=False) as port:
            with pytest.raises(RefusedError, match=r'HTTP 401: the key from .* is wrong: "who are you"'):
                await Connection.open(settings(port), 16_000, KEY, None)

    asyncio.run(main())


def test_a_server_that_never_answers() -> None:
    """`open_timeout_s` bounds all of it."""

    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    async def main() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(UnreachableError, match=r"no connection within 0\.1 s"):
                await Connection.open(settings(port, open_timeout_s=0.1), 16_000, KEY, None)
            await gone.wait()

    asyncio.run(main())


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whatever the developer's environment says."""
    for name in ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "socks_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ws://127.0.0.1:1/v1/listen", "connection refused: nothing listens at the address of the server"),
        ("wss://recogniser.invalid/v1/listen", "the server's name can't be looked up"),
        ("wss://recogniser..invalid/v1/listen", "the address of the server is not valid"),
        (f"wss://{'a' * 64}.invalid/v1/listen", "the address of the server is not valid"),
    ],
)
def test_no_server_at_all(url: str, reason: str) -> None:
    """Told apart: what to do about it differs."""
    assert reason in asyncio.run(unreachable(DeepgramSettings(url=url)))


ELSEWHERE = "0.0.0.0"
"""Leads to this machine, but is not known as that: a proxy is asked for it."""


@pytest.mark.parametrize(
    ("address", "error", "reason"),
    [
        (
            "http://127.0.0.1:1",
            UnreachableError,
            "connection refused: nothing listens at the address of the proxy that http_proxy names",
        ),
        ("http://proxy.invalid", UnreachableError, "the name of the proxy that http_proxy names can't be looked up"),
        (
            "gopher://user:secret@127.0.0.1:1",
            RefusedError,
            "http_proxy in the environment names no proxy that can be used",
        ),
        ("socks5://user:secret@127.0.0.1:1", RefusedError, "http_proxy in the environment names a SOCKS proxy"),
        ("http://u%ff:secret@127.0.0.1:1", UnreachableError, "the proxy that http_proxy names"),
    ],
)
def test_no_proxy_where_the_environment_names_one(
    no_proxy: pytest.MonkeyPatch, address: str, error: type[Exception], reason: str
) -> None:
    """The proxy is named as what is wrong, and its address, which may have a password, is not shown."""
    no_proxy.setenv("http_proxy", address)
    with pytest.raises(error) as raised:
        asyncio.run(Connection.open(DeepgramSettings(url=f"ws://{ELSEWHERE}:2/v1/listen"), 16_000, KEY, None))
    assert reason in str(raised.value)
    assert "secret" not in str(raised.value)


def test_no_proxy_gets_the_key_for_a_server_on_this_machine(no_proxy: pytest.MonkeyPatch) -> None:
    """Over ws:// it could read it, and all that is said."""
    no_proxy.setenv("http_proxy", "http://127.0.0.1:1")
    no_proxy.setenv("all_proxy", "socks5://127.0.0.1:1")

    async def handler(server: ServerConnection) -> None:
        await server.send("here")

    async def client(connection: Connection) -> None:
        assert await connection.receive() == "here"

    converse(handler, client)
