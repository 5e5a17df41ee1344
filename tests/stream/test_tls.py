"""TLS: which certificates are trusted, what is said of a file that holds none, and that messages leave."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from edged.cli.machine_checks import check_machine
from edged.config.settings import DeepgramSettings, Settings
from edged.model.errors import ConfigurationError
from edged.stream.connection import Connection
from edged.stream.tls import tls_context
from tests.stream.wire import KEY, forever, settings, unreachable


def test_plain_needs_no_tls() -> None:
    assert tls_context(DeepgramSettings(url="ws://127.0.0.1:8700/v1/listen")) is None


@pytest.mark.parametrize("scheme", ["wss", "WSS"])
def test_tls_is_verified(scheme: str) -> None:
    context = tls_context(DeepgramSettings(url=f"{scheme}://api.deepgram.com/v1/listen"))
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be read: No such file or directory"),
        ("", "holds no certificate in PEM form"),
        ("no certificate\n", "holds no certificate in PEM form"),
    ],
)
def test_a_ca_file_that_cant_be_used(tmp_path: Path, content: str | None, reason: str) -> None:
    """Found before connecting, and named by `edged run` as by `edged check`."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    wanted = DeepgramSettings(ca_file=str(file))
    with pytest.raises(ConfigurationError) as error:
        tls_context(wanted)
    assert str(error.value) == f'[deepgram] ca_file = "{file}" {reason}'
    assert str(error.value) in check_machine(Settings(deepgram=wanted), {}).problems


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's own, with its key beside it."""
    made = tmp_path_factory.mktemp("tls") / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=own -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(made.with_name("key.pem")), "-out", str(made)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return made


def test_messages_leave_over_tls(certificate: Path) -> None:
    """Messages leave while the server is silent: over TLS, asyncio can take an empty buffer for a full one."""
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
    """The client always verifies certificates."""
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
            assert "does the server speak wss://?" in await unreachable(settings(port, "wss"))

    asyncio.run(main())
