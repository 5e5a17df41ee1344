"""Through an HTTP proxy, over real sockets: what is said to it, and that it is named where it is at fault."""

import asyncio
import ssl
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

from edged.config.settings import DeepgramSettings
from edged.model.errors import UnreachableError
from edged.stream.connection import Connection
from tests.stream.wire import KEY, forever

ELSEWHERE = "0.0.0.0"
"""Leads to this machine, but is not known as that: a proxy is asked for it."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]


@asynccontextmanager
async def proxy(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A proxy that reads a request and then does this. Yields its port."""
    ends: set[asyncio.StreamWriter] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.add(writer)
        with suppress(OSError, EOFError):
            await answer(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        for end in ends:
            end.transport.abort()


def saying(head: bytes) -> Answer:
    """Answers with this, and hangs then."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: str) -> None:
        writer.write(head)
        await reader.read()

    return answer


def tunnel(head: bytes, asked: list[str]) -> Answer:
    """Answers with this and makes the way."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: str) -> None:
        asked.append(request)
        host, port = request.split()[1].split(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        writer.write(head)
        async with asyncio.TaskGroup() as both:
            both.create_task(carry(reader, ours))
            both.create_task(carry(theirs, writer))

    return answer


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whatever the developer's environment says."""
    for name in ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "socks_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


async def reason(scheme: str = "ws", tls: ssl.SSLContext | None = None, port: int = 9) -> str:
    """Why there is no connection through the proxy."""
    wanted = DeepgramSettings(url=f"{scheme}://{ELSEWHERE}:{port}/v1/listen", open_timeout_s=1)
    with pytest.raises(UnreachableError) as error:
        await Connection.open(wanted, 16_000, KEY, tls)
    return str(error.value)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 Connection established\r\n\r\n", b"HTTP/1.1 200\r\nX: y\r\n\r\n"],
)
def test_a_way_is_a_way_however_the_proxy_words_it(environment: pytest.MonkeyPatch, head: bytes) -> None:
    """Old ones speak HTTP/1.0, some leave the reason phrase out."""
    asked: list[str] = []

    async def main() -> None:
        async with serve(forever, ELSEWHERE, 0) as server, proxy(tunnel(head, asked)) as port:
            environment.setenv("http_proxy", f"http://127.0.0.1:{port}")
            target = next(iter(server.sockets)).getsockname()[1]
            url = f"ws://{ELSEWHERE}:{target}/v1/listen"
            connection = await Connection.open(DeepgramSettings(url=url, open_timeout_s=5), 16_000, KEY, None)
            connection.abort()
            assert asked[0].startswith(f"CONNECT {ELSEWHERE}:{target} HTTP/1.1\r\n")
            assert KEY.reveal() not in asked[0]

    asyncio.run(main())


def test_user_and_password_are_sent_as_they_are_meant(environment: pytest.MonkeyPatch) -> None:
    """An address percent-encodes `@`, `:`, `/` and all that is not ASCII."""
    asked: list[str] = []

    async def main() -> None:
        async with proxy(tunnel(b"HTTP/1.1 403 No\r\n\r\n", asked)) as port:
            environment.setenv("http_proxy", f"http://us%40er:p%3A%2Fs%25%C3%BC@127.0.0.1:{port}")
            async with serve(forever, ELSEWHERE, 0) as server:
                await reason(port=next(iter(server.sockets)).getsockname()[1])

    asyncio.run(main())
    encoded = next(line for line in asked[0].splitlines() if line.startswith("Proxy-Authorization: Basic ")).split()[-1]
    assert b64decode(encoded).decode() == "us@er:p:/s%ü"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "no connection within 1 s: the proxy that http_proxy names accepts connections but does not answer"),
        (b"HTTP/1.1 200 OK\r\n", "the proxy that http_proxy names accepts connections but does not answer"),
        (
            b"HTTP/1.1 200 OK\r\n\r\n",
            "the proxy that http_proxy names opened a tunnel to the server, but nothing comes back",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the proxy that http_proxy names closed the connection, or does not speak HTTP"),
        (
            b"HTTP/1.1 407 \r\n\r\n",
            "the proxy refuses: HTTP 407: it requires a password: set http_proxy=http://USER:PASSWORD@",
        ),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "the proxy refuses: HTTP 403: let the one that http_proxy names allow"),
        (b"HTTP/1.1 502\r\n\r\n", "the proxy refuses: HTTP 502"),
    ],
)
def test_a_proxy_at_fault_is_named(environment: pytest.MonkeyPatch, head: bytes, said: str) -> None:
    """Nobody looks for the fault at the server then. Its status is told however it is worded."""

    async def main() -> None:
        async with proxy(saying(head)) as port:
            environment.setenv("http_proxy", f"http://127.0.0.1:{port}")
            assert said in await reason()

    asyncio.run(main())


def test_a_proxy_that_closes_is_named(environment: pytest.MonkeyPatch) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: str) -> None:
        writer.transport.abort()

    async def main() -> None:
        async with proxy(close) as port:
            environment.setenv("http_proxy", f"http://127.0.0.1:{port}")
            assert "the proxy that http_proxy names" in await reason()

    asyncio.run(main())


def test_a_proxy_that_makes_a_way_and_closes_it_is_not_waited_for(environment: pytest.MonkeyPatch) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def main() -> None:
        async with proxy(close) as port:
            environment.setenv("http_proxy", f"http://127.0.0.1:{port}")
            assert "no connection within" not in await reason()

    asyncio.run(main())


def test_a_wrong_password_is_reported_as_such(environment: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with proxy(saying(b"HTTP/1.1 407 No\r\n\r\n")) as port:
            environment.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
            assert await reason() == "the proxy refuses: HTTP 407: the user or password in http_proxy is wrong"

    asyncio.run(main())


def test_retry_after_of_a_proxy_counts(environment: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with proxy(saying(b"HTTP/1.1 503\r\nRetry-After: 17\r\n\r\n")) as port:
            environment.setenv("http_proxy", f"http://127.0.0.1:{port}")
            with pytest.raises(UnreachableError) as error:
                await Connection.open(DeepgramSettings(url=f"ws://{ELSEWHERE}:9/v1/listen"), 16_000, KEY, None)
            assert error.value.retry_after_s == 17

    asyncio.run(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Make the certificate of a proxy, signed by an unknown authority."""
    made = tmp_path_factory.mktemp("tls") / "cert.pem"
    key: Path = made.with_name("key.pem")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=own -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(made, key)
    return own


def test_a_proxy_that_opens_tls_ends_nothing_but_the_attempt(
    environment: pytest.MonkeyPatch, certificate: ssl.SSLContext
) -> None:
    """Many companies' do. It is told what to do, and no callback of the event loop fails for it."""
    faults: list[dict[str, object]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        way = tunnel(b"HTTP/1.1 200 OK\r\n\r\n", [])
        async with serve(forever, ELSEWHERE, 0, ssl=certificate) as server, proxy(way) as port:
            environment.setenv("https_proxy", f"http://127.0.0.1:{port}")
            target = next(iter(server.sockets)).getsockname()[1]
            said = await reason("wss", ssl.create_default_context(), target)
            assert said.startswith(
                "the server's certificate is not trusted: self-signed certificate; if the proxy that "
            )
            assert said.endswith("https_proxy names opens TLS, add its certificate to deepgram.ca_file")
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert faults == []


def test_a_proxy_whose_own_tls_is_not_trusted_is_named(
    environment: pytest.MonkeyPatch, certificate: ssl.SSLContext
) -> None:
    async def main() -> None:
        async with proxy(saying(b""), certificate) as port:
            environment.setenv("http_proxy", f"https://127.0.0.1:{port}")
            said = await reason()
            assert said == "the certificate of the proxy that http_proxy names is not trusted: self-signed certificate"

    asyncio.run(main())
