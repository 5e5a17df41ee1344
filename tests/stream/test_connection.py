"""One connection over real sockets: what goes over the wire, and what each ending is called."""

import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from edged import __version__
from edged.errors import ConfigurationError, Refused, Unreachable
from edged.key import Key
from edged.settings import Deepgram
from edged.stream.connection import Closed, Connection, tls_context

KEY = Key("c0ffee0123456789abcdef", "file /etc/edged/deepgram-api-key")

Handler = Callable[[ServerConnection], Awaitable[None]]
Client = Callable[[Connection], Awaitable[None]]


def settings(port: int, scheme: str = "ws", **options: Any) -> Deepgram:
    return Deepgram(url=f"{scheme}://127.0.0.1:{port}/v1/listen", **options)


def converse(handler: Handler, client: Client, *, key: Key | None = KEY, **options: Any) -> None:
    """Run a server and a client against each other."""

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await Connection.open(settings(port, **options), 16_000, key, None)
            try:
                await client(connection)
            finally:
                connection.abort()

    asyncio.run(main())


async def forever(connection: ServerConnection) -> None:
    await connection.wait_closed()


def refused(answer: Callable[[ServerConnection, Request], Response], key: Key | None = KEY) -> Unreachable | Refused:
    """What opening raises when a server gives this answer."""

    async def main() -> Unreachable | Refused:
        async with serve(forever, "127.0.0.1", 0, process_request=answer) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises((Unreachable, Refused)) as error:
                await Connection.open(settings(port), 16_000, key, None)
            assert isinstance(error.value, Unreachable | Refused)
            return error.value

    return asyncio.run(main())


# Opening


def test_the_request() -> None:
    """Key, name, and what the audio is; no compression, as PCM does not deflate."""

    async def handler(server: ServerConnection) -> None:
        assert server.request
        headers = server.request.headers
        sent = {"Authorization", "User-Agent", "Sec-WebSocket-Extensions"} & {*headers}
        await server.send(f"{server.request.path}|{headers['Authorization']}|{headers['User-Agent']}|{sorted(sent)}")

    async def client(connection: Connection) -> None:
        text = await connection.receive()
        assert isinstance(text, str)
        path, authorization, agent, sent = text.split("|")
        assert path.startswith("/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&channels=1&")
        assert authorization == "Token <key>", "the key, as it is shown when a server says it back"
        assert agent == f"edged/{__version__}"
        assert "Sec-WebSocket-Extensions" not in sent

    converse(handler, client)


def test_without_a_key_there_is_no_authorization() -> None:
    """A server on this machine may need none."""

    async def handler(server: ServerConnection) -> None:
        assert server.request
        await server.send(str("Authorization" in server.request.headers))

    async def client(connection: Connection) -> None:
        assert await connection.receive() == "False"

    converse(handler, client, key=None)


def test_the_request_id_is_kept() -> None:
    """The server's support asks for it."""

    def sign(_: ServerConnection, __: Request, response: Response) -> None:
        response.headers["dg-request-id"] = "0a1b"

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0, process_response=sign) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await Connection.open(settings(port), 16_000, None, None)
            assert connection.request_id == "0a1b"
            connection.abort()

    asyncio.run(main())


def test_a_wrong_key_is_named_by_its_origin() -> None:
    """Never by itself, not even if the server says it."""
    error = refused(lambda server, _: server.respond(401, f'{{"err_msg":"no such key: {KEY.reveal()}"}}'))
    assert isinstance(error, Refused)
    assert "HTTP 401: the key from file /etc/edged/deepgram-api-key is wrong" in str(error)
    assert '"no such key: <key>"' in str(error)


def test_a_missing_key_is_named_as_that() -> None:
    """401 without a key sent."""
    error = refused(lambda server, _: server.respond(401, "{}"), key=None)
    assert "HTTP 401: no key was given" in str(error)


def test_retry_after_is_kept() -> None:
    """In seconds."""

    def answer(server: ServerConnection, _: Request) -> Response:
        response = server.respond(429, "")
        response.headers["Retry-After"] = "17"
        return response

    error = refused(answer)
    assert isinstance(error, Unreachable)
    assert error.retry_after_s == 17


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
    """It is said what that may be."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            with pytest.raises(Unreachable, match=reason):
                await Connection.open(settings(server.sockets[0].getsockname()[1]), 16_000, KEY, None)

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
            with pytest.raises(Unreachable, match=r"no connection within 0\.1 s"):
                await Connection.open(settings(port, open_timeout_s=0.1), 16_000, KEY, None)
            await gone.wait()

    asyncio.run(main())


async def unreachable(wanted: Deepgram) -> str:
    """What opening raises where there is no server."""
    with pytest.raises(Unreachable) as error:
        await Connection.open(wanted, 16_000, KEY, tls_context(wanted))
    return str(error.value)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whatever the developer's environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "socks_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ws://127.0.0.1:1/v1/listen", "connection refused: nothing listens at its address"),
        ("wss://recogniser.invalid/v1/listen", "the server's name can't be looked up"),
    ],
)
def test_no_server_at_all(url: str, reason: str) -> None:
    """Told apart: what to do about it differs."""
    assert reason in asyncio.run(unreachable(Deepgram(url=url)))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:1", "nothing listens at the address of the proxy that the environment names"),
        ("gopher://user:secret@127.0.0.1:1", "the proxy's address in the environment can't be used"),
    ],
)
def test_no_proxy_where_the_environment_names_one(no_proxy: pytest.MonkeyPatch, address: str, reason: str) -> None:
    """The proxy is named as what is wrong, and its address, which may have a password, is not shown."""
    no_proxy.setenv("http_proxy", address)
    assert asyncio.run(unreachable(settings(2))).startswith((reason, f"connection refused: {reason}"))


# Talking


def test_messages_keep_their_kind_and_order() -> None:
    """Text as text, audio as binary."""

    async def handler(server: ServerConnection) -> None:
        await server.send(repr([await server.recv() for _ in range(3)]))

    async def client(connection: Connection) -> None:
        for message in (b"\x01\x02", '{"type":"Finalize"}', b"\x03\x04"):
            await connection.send(message)
        assert await connection.receive() == repr([b"\x01\x02", '{"type":"Finalize"}', b"\x03\x04"])

    converse(handler, client)


def test_sending_to_a_network_that_takes_nothing() -> None:
    """A half-open socket takes audio for minutes without an error: `send_timeout_s` ends that."""
    stop = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await stop.wait()
        server.transport.abort()

    async def client(connection: Connection) -> None:
        async def speak() -> None:
            while True:
                await connection.send(bytes(100_000))

        with pytest.raises(Closed, match="the network has stopped taking data") as closed:
            await speak()
        assert closed.value.code is None
        stop.set()

    converse(handler, client, send_timeout_s=0.2)


@pytest.mark.slow
def test_a_ping_unanswered() -> None:
    """The second way to find a dead connection; the reason is named as ours, not the server's."""
    stop = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        server.transport.pause_reading()
        await stop.wait()
        server.transport.abort()

    async def client(connection: Connection) -> None:
        with pytest.raises(Closed, match="no answer to a ping") as closed:
            await connection.receive()
        assert closed.value.code is None
        stop.set()

    converse(handler, client, ping_interval_s=0.05, ping_timeout_s=0.05)


@pytest.mark.parametrize(
    ("code", "reason", "kind", "text"),
    [
        (1000, "", Unreachable, "connection closed with code 1000"),
        (1008, "DATA-0000", Refused, "can't decode the audio"),
        (1011, "See https://dpgr.am/net0001", Unreachable, "NET-0001"),
        (1012, "restart", Unreachable, 'code 1012: "restart"'),
        (4400, f"hello {KEY.reveal()}", Unreachable, 'code 4400: "hello <key>"'),
    ],
)
def test_the_server_closes(code: int, reason: str, kind: type[Exception], text: str) -> None:
    """The code is the server's, the error what that means for us; whoever sends next learns it too."""

    async def handler(server: ServerConnection) -> None:
        await server.close(code, reason)

    async def client(connection: Connection) -> None:
        for attempt in (connection.receive(), connection.send("{}")):
            with pytest.raises(Closed) as closed:
                await attempt
            assert closed.value.code == code
            assert isinstance(closed.value.error, kind)
            assert text in str(closed.value)

    converse(handler, client)


def test_the_network_breaks() -> None:
    """No code then."""

    async def handler(server: ServerConnection) -> None:
        server.transport.abort()

    async def client(connection: Connection) -> None:
        with pytest.raises(Closed, match="connection lost") as closed:
            await connection.receive()
        assert closed.value.code is None

    converse(handler, client)


def test_given_up() -> None:
    """`abort` ends it at once; nothing that still arrives counts."""

    async def handler(server: ServerConnection) -> None:
        await server.send("late")
        await server.wait_closed()

    async def client(connection: Connection) -> None:
        async def hear() -> None:
            while True:
                await connection.receive()

        connection.abort()
        with pytest.raises(Closed):
            await hear()

    converse(handler, client)


def test_closed_in_order() -> None:
    """The server sees 1000."""
    seen: list[int | None] = []

    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()
        seen.append(server.close_code)

    async def client(connection: Connection) -> None:
        await connection.close()

    converse(handler, client)
    assert seen == [1000]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's own, with its key beside it."""
    made = tmp_path_factory.mktemp("tls") / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=own -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(made.with_name("key.pem")), "-out", str(made)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return made


def test_messages_leave_over_tls(certificate: Path) -> None:
    """While the server says nothing: over TLS asyncio can take an empty buffer for a full one, and wait for ever."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, certificate.with_name("key.pem"))
    lengths = (3200, 2, 3200, 1_000_000, 3200)

    async def handler(server: ServerConnection) -> None:
        await server.send(repr([len(await server.recv()) for _ in lengths]))

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, ssl=own) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            wanted = settings(port, "wss", ca_file=str(certificate), send_timeout_s=5)
            connection = await Connection.open(wanted, 16_000, KEY, tls_context(wanted))
            for length in lengths:
                await connection.send(bytes(length))
            assert await connection.receive() == repr([*lengths])
            connection.abort()

    asyncio.run(main())


def test_a_certificate_that_nobody_vouches_for(certificate: Path) -> None:
    """Verified always."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, certificate.with_name("key.pem"))

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0, ssl=own) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            said = await unreachable(settings(port, "wss"))
            assert said == "the server's certificate is not trusted: self-signed certificate"
            assert "no WebSocket server" in await unreachable(settings(port, "ws"))

    asyncio.run(main())


def test_tls_where_none_is_spoken() -> None:
    """The scheme is named."""

    async def main() -> None:
        async with serve(forever, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            assert "is wss:// what is spoken there?" in await unreachable(settings(port, "wss"))

    asyncio.run(main())


def test_plain_needs_no_tls() -> None:
    """None for ws://; for wss:// a context that verifies."""
    assert tls_context(settings(1)) is None
    context = tls_context(settings(1, "wss"))
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("content", [None, "", "no certificate\n"])
def test_a_ca_file_that_cant_be_used(tmp_path: Path, content: str | None) -> None:
    """Found before connecting."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match="ca_file"):
        tls_context(settings(1, "wss", ca_file=str(file)))
