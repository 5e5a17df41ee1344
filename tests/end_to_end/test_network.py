"""Between the daemon and the server: TLS, proxies, names. What is wrong there is named in the log."""

import asyncio
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edged.recognizer.perturbations import Perturbations
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from tests.end_to_end.stage import KEY, Setting, Stage, speech
from tests.end_to_end.test_stopping import free_port

pytestmark = pytest.mark.slow

SCRIPT = speech(count=1)


def elsewhere(url: str) -> str:
    """Leads to this machine as well, but is not known as that: a proxy is asked for it."""
    return url.replace("127.0.0.1", "0.0.0.0")


PLAIN: dict[str, Setting] = {"deepgram.allow_plaintext": True}

AUTHORITY = """\
[ca]
default_ca = own
[own]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = IP:127.0.0.1, IP:0.0.0.0
basicConstraints = CA:TRUE
"""
"""`openssl ca` is the one way to choose the date of a beginning that old and new OpenSSL have."""


def certificate(directory: Path, begins: str = "20200101000000Z", ends: str = "20490101000000Z") -> ssl.SSLContext:
    """A server's self-signed certificate, left as `cert.pem` in the directory too."""
    (directory / "ca.cnf").write_text(AUTHORITY)
    (directory / "index").write_text("")
    (directory / "serial").write_text("01\n")
    request = "req -new -newkey rsa:2048 -nodes -subj /CN=recogniser -keyout key.pem -out request.pem"
    sign = "ca -batch -notext -config ca.cnf -selfsign -keyfile key.pem -in request.pem -out cert.pem"
    for command in (request, f"{sign} -startdate {begins} -enddate {ends}"):
        subprocess.run(["openssl", *command.split()], cwd=directory, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


async def fails(stage: Stage, url: str, reason: str, **options: object) -> None:
    """The reason is in the log, once as a warning; the daemon neither ends for it nor hangs."""
    run = await stage.daemon(url, SCRIPT, **options)  # type: ignore[arg-type]
    await run.says(reason)
    await run.says("still:")
    warnings = [line for line in run.log.splitlines() if "WARNING" in line]
    assert sum(reason in line for line in warnings) == 1, "the first failure is a warning, its repeats are not"
    run.signal(signal.SIGTERM)
    run.signal(signal.SIGTERM)
    assert await run.ends() in (0, 75)


# TLS


async def test_a_certificate_of_ones_own(stage: Stage) -> None:
    """`ca_file` names what to trust."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory), keys={KEY})
    settings = {"deepgram.ca_file": str(stage.directory / "cert.pem")}
    run = await stage.daemon(server.url, SCRIPT, settings, {"DEEPGRAM_API_KEY": KEY})
    assert server.url.startswith("wss:")
    assert await run.ends() == 0
    run.check_words()


async def test_an_untrusted_certificate(stage: Stage) -> None:
    """TLS is always verified."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory))
    await fails(stage, server.url, "the server's certificate is not trusted: self-signed certificate")
    assert not server.connection_logs


async def test_a_certificate_for_another_name(stage: Stage) -> None:
    """Nor is one that is trusted good for any server."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory))
    url = server.url.replace("127.0.0.1", "localhost")
    settings = {"deepgram.ca_file": str(stage.directory / "cert.pem")}
    await fails(stage, url, "the server's certificate is not trusted: Hostname mismatch", settings=settings)


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        ("20480101000000Z", "20490101000000Z", "certificate is not yet valid"),
        ("20190101000000Z", "20200101000000Z", "certificate has expired"),
    ],
)
async def test_a_certificate_of_another_time(stage: Stage, begins: str, ends: str, said: str) -> None:
    """A Pi without a battery clock boots in the past: that is named as what it is."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory, begins, ends))
    settings = {"deepgram.ca_file": str(stage.directory / "cert.pem")}
    await fails(stage, server.url, f"{said} - is this machine's clock right?", settings=settings)


async def test_tls_to_a_plain_server(stage: Stage) -> None:
    """`wss://` where `ws://` is spoken."""
    server = await stage.recogniser(SCRIPT)
    await fails(stage, server.url.replace("ws:", "wss:"), "does the server speak wss://?")


async def test_plain_to_a_tls_server(stage: Stage) -> None:
    """`ws://` where `wss://` is spoken."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory))
    await fails(stage, server.url.replace("wss:", "ws:"), "what answered is no WebSocket server")


async def test_tls_lost_in_mid_word(stage: Stage) -> None:
    """A reset under TLS is a lost connection like any other."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory), perturbations=Perturbations.all())
    server.inject(Fault(FaultKind.RESET, in_word=2))
    run = await stage.daemon(server.url, SCRIPT, {"deepgram.ca_file": str(stage.directory / "cert.pem")})
    assert await run.ends() == 0
    run.check_words()
    assert len(server.connection_logs) == 2


async def test_tls_broken_by_the_network(stage: Stage) -> None:
    """A byte changed on the way: the connection can't be trusted any more, and is made again."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory))
    async with proxy(spoils=True) as through:
        settings = {"deepgram.ca_file": str(stage.directory / "cert.pem")}
        environment = {"https_proxy": f"http://{through.url}"}
        run = await stage.daemon(elsewhere(server.url), SCRIPT, settings, environment)
        assert await run.ends() == 0
    run.check_words()
    assert len(server.connection_logs) == 2


# Names and addresses


async def test_a_name_that_nobody_knows(stage: Stage) -> None:
    """DNS does not answer yet, as at boot."""
    await fails(stage, "wss://recogniser.invalid/v1/listen", "the server's name can't be looked up")


async def test_nothing_listens(stage: Stage) -> None:
    """A server that was not started."""
    await fails(stage, f"ws://127.0.0.1:{free_port()}/v1/listen", "connection refused")


async def test_a_wrong_path(stage: Stage) -> None:
    """The server's own no is told, with what to check."""
    server = await stage.recogniser(SCRIPT)
    await fails(stage, server.url.replace("listen", "lisn"), "HTTP 404: check deepgram.url")


# Proxies

BEHIND_HANDSHAKES_BYTES = 3_000
"""A certificate and the answer to the upgrade are less, the results of five words more."""


class Proxy:
    """An HTTP proxy that knows CONNECT.

    `wanted` is the credential it asks for. `spoils`: once, behind the handshakes, it changes a bit of what the server
    says.
    """

    def __init__(self, wanted: str | None, spoils: bool) -> None:
        self.asked: list[str] = []
        self.url = ""
        self._wanted = wanted
        self._spoils = spoils

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        self.asked.append(f"{method} {target}")
        if self._wanted and f"Proxy-Authorization: Basic {self._wanted}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        host, port = target.rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer, back=True))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False) -> None:
        sent = 0
        try:
            while data := await reader.read(65_536):
                sent += len(data)
                if back and self._spoils and sent > BEHIND_HANDSHAKES_BYTES:
                    self._spoils, data = False, data[:-1] + bytes([data[-1] ^ 1])
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # one side has broken it off: so does the proxy
        finally:
            writer.close()


@asynccontextmanager
async def proxy(wanted: str | None = None, *, spoils: bool = False) -> AsyncIterator[Proxy]:
    made = Proxy(wanted, spoils)
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        listener.close()


def target(server: InstrumentedServer) -> str:
    return f"CONNECT 0.0.0.0:{server.port}"


@pytest.mark.parametrize("secure", [True, False])
async def test_the_systems_proxy(stage: Stage, secure: bool) -> None:
    """`https_proxy` and `http_proxy` in the environment are honoured."""
    server = await stage.recogniser(SCRIPT, tls=certificate(stage.directory) if secure else None)
    settings = {"deepgram.ca_file": str(stage.directory / "cert.pem")} if secure else PLAIN
    async with proxy() as through:
        name = "https_proxy" if secure else "http_proxy"
        run = await stage.daemon(elsewhere(server.url), SCRIPT, settings, {name: f"http://{through.url}"})
        assert await run.ends() == 0
        run.check_words()
        assert through.asked == [target(server)]


async def test_no_proxy_to_this_machine(stage: Stage) -> None:
    """The key would go through it in plain text."""
    server = await stage.recogniser(SCRIPT, keys={KEY})
    async with proxy() as through:
        every = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), f"http://{through.url}")
        run = await stage.daemon(server.url, SCRIPT, environment={**every, "DEEPGRAM_API_KEY": KEY})
        assert await run.ends() == 0
        assert not through.asked
    run.check_words()


async def test_no_proxy(stage: Stage) -> None:
    """`no_proxy` as well."""
    server = await stage.recogniser(SCRIPT)
    async with proxy() as through:
        environment = {"http_proxy": f"http://{through.url}", "no_proxy": "0.0.0.0"}
        run = await stage.daemon(elsewhere(server.url), SCRIPT, PLAIN, environment)
        assert await run.ends() == 0
        assert not through.asked


async def test_a_proxy_that_refuses(stage: Stage) -> None:
    """The log names the proxy, not the server."""
    server = await stage.recogniser(SCRIPT)
    async with proxy(wanted="c2VjcmV0") as through:
        environment = {"http_proxy": f"http://{through.url}"}
        url, said = elsewhere(server.url), "the proxy refuses: HTTP 407"
        await fails(stage, url, said, settings=PLAIN, environment=environment)
    assert not server.connection_logs


@pytest.mark.parametrize(
    ("variable", "address", "said"),
    [
        ("http_proxy", f"http://user:{KEY}@127.0.0.1:1", "nothing listens at the address of the proxy"),
        ("http_proxy", f"gopher://user:{KEY}@127.0.0.1:1", "http_proxy in the environment names no proxy that can be"),
        ("all_proxy", f"socks5://user:{KEY}@127.0.0.1:1", "all_proxy in the environment names a SOCKS proxy"),
    ],
)
async def test_a_proxy_that_cannot_be_used(stage: Stage, variable: str, address: str, said: str) -> None:
    """Named as the proxy: the server may be well. Its address may hold a password: it is not shown."""
    server = await stage.recogniser(SCRIPT)
    await fails(stage, elsewhere(server.url), said, settings=PLAIN, environment={variable: address})
    assert not server.connection_logs
