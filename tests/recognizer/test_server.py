"""The server over real sockets: who is let in, what it remembers, how it ends."""

import asyncio
import gc
import json
import socket
import ssl
import struct
import subprocess
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.recognizer.engine import Engine
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import ScriptEngineFactory
from tests.patience import PATIENCE_S
from tests.recognizer.common import ONE_SENTENCE, USUAL, words
from tests.recognizer.wire import AT_ONCE, CLOSE_STREAM, client, collect, refused, send, serve


def test_a_refusal_carries_request_id_error_and_body() -> None:
    async def main() -> None:
        async with serve(keys={"right"}) as server:
            response = (await refused(server, additional_headers={"Authorization": "Token wrong"})).response
            assert response.status_code == 401
            assert response.headers["dg-error"] == "Invalid credentials."
            assert response.body is not None
            body = json.loads(response.body)
            assert body["err_code"] == "INVALID_AUTH"
            assert body["request_id"] == response.headers["dg-request-id"]
            assert server.connection_logs == []
            assert [status for _, status in server.refusals] == [401]

    asyncio.run(main())


def test_contradictory_parameters_and_a_wrong_rate_are_400() -> None:
    async def main() -> None:
        async with serve() as server:
            for query in (f"{USUAL}&utterance_end_ms=1000", "model=nova-3&encoding=linear16&sample_rate=8000"):
                assert (await refused(server, query)).response.status_code == 400

    asyncio.run(main())


def test_a_plain_http_request_gets_a_request_id_too() -> None:
    async def main() -> None:
        async with serve() as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"GET /v1/listen HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert b"dg-request-id: " in answer
            assert b" 426 " in answer.splitlines()[0] or b" 400 " in answer.splitlines()[0]

    asyncio.run(main())


@pytest.mark.slow
def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def main() -> None:
        async with serve(tls=context) as server:
            assert server.url.startswith("wss://127.0.0.1:")
            trust = ssl.create_default_context(cafile=str(cert))
            async with client(server, ssl=trust) as connection:
                await send(connection, ONE_SENTENCE.pcm)
                await connection.send(CLOSE_STREAM)
                assert words(await collect(connection)) == ["one", "two", "three"]
            with pytest.raises(ssl.SSLCertVerificationError):
                async with client(server, ssl=ssl.create_default_context()):
                    pass

    asyncio.run(main())


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not there():  # noqa: ASYNC110 - what comes about is in the kernel's hands meanwhile
            await asyncio.sleep(0.01)


class Remembered(ScriptEngineFactory):
    """Knows which of its engines are still alive; loading one takes as long as it is told to."""

    def __init__(self, *, is_blocking: bool = False) -> None:
        super().__init__(ONE_SENTENCE)
        self.is_blocking = is_blocking
        self.loaded = threading.Event()
        self.opened = 0
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()

    def open(self, rate: int) -> Engine:
        self.opened += 1
        assert not self.is_blocking or self.loaded.wait(5)
        engine = super().open(rate)
        self._engines.add(engine)
        return engine

    @property
    def alive(self) -> int:
        gc.collect()
        return len(self._engines)


def test_nothing_but_its_account_stays_of_a_connection() -> None:
    """An engine may be 100 MB, and a server may run for years."""

    async def main() -> None:
        engines = Remembered()
        async with InstrumentedServer(engines, limits=AT_ONCE) as server:
            for _ in range(3):
                async with client(server) as connection:
                    await send(connection, ONE_SENTENCE.pcm)
                    await connection.send(CLOSE_STREAM)
                    assert words(await collect(connection)) == ["one", "two", "three"]
            await _until(lambda: server.open_connections == 0)
            assert (engines.opened, engines.alive, len(server.connection_logs)) == (3, 0, 3)

    asyncio.run(main())


@pytest.mark.slow
def test_nothing_stays_for_a_client_that_goes_while_its_recogniser_is_loaded() -> None:
    """So does one that had not waited for its handshake: the engine comes too late for it."""

    async def main() -> None:
        engines = Remembered(is_blocking=True)
        async with InstrumentedServer(engines) as server:
            _, writer = await asyncio.open_connection(server.host, server.port)
            key = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            writer.write(
                f"GET /v1/listen?{USUAL} HTTP/1.1\r\nHost: x\r\n{key}MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
            )
            await _until(lambda: engines.opened == 1)
            linger = struct.pack("ii", 1, 0)  # for no time: it ends with RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await asyncio.sleep(0.1)  # for the server to see it
            engines.loaded.set()
            await _until(lambda: engines.alive == 0 and server.open_connections == 0)

    asyncio.run(main())
