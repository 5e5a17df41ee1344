"""The server over real sockets: handshake, conversation, and every fault as a client sees it."""

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edged.recognizer.compose import compose, sentences
from edged.recognizer.engine import Engine
from edged.recognizer.faults import Fault, Verb
from edged.recognizer.protocol import Limits
from edged.recognizer.script import Script, ScriptEngine, ScriptEngines, batches
from edged.recognizer.server import Server
from edged.recognizer.windows import Quirks, Unkindness
from tests.recognizer.common import FULL, ONE_SENTENCE, RATE, USUAL, pcm, results, words

AT_ONCE = Limits(max_rate=10_000)
"""Audio is processed as it comes."""
CLOSE_STREAM = '{"type":"CloseStream"}'


def serve(script: Script = ONE_SENTENCE, **options: Any) -> Server:
    return Server(ScriptEngines(script), **{"limits": AT_ONCE, **options})


@contextlib.asynccontextmanager
async def client(server: Server, query: str = FULL, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"{server.url}?{query}", compression=None, ping_interval=None, close_timeout=1, **options
    ) as connection:
        yield connection


async def collect(connection: ClientConnection) -> list[dict[str, Any]]:
    """All messages up to the close, whichever way it comes."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await connection.recv()))
    except ConnectionClosed:
        return messages


async def send(connection: ClientConnection, audio: bytes) -> None:
    for batch in batches(audio, 1600):
        await connection.send(batch)


async def refused(server: Server, query: str = FULL, **options: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as error:
        async with client(server, query, **options):
            pass
    return error.value


# Conversation


def test_a_whole_conversation() -> None:
    async def main() -> None:
        async with serve() as server, client(server) as connection:
            assert connection.response is not None
            request_id = connection.response.headers["dg-request-id"]
            await send(connection, ONE_SENTENCE.pcm)
            await connection.send(CLOSE_STREAM)
            messages = await collect(connection)
            assert words(messages) == ["one", "two", "three"]
            assert messages[-1]["type"] == "Metadata"
            assert {m["metadata"]["request_id"] for m in results(messages)} == {request_id}
            assert (connection.close_code, connection.close_reason) == (1000, "")

    asyncio.run(main())


def test_connections_do_not_hear_each_other() -> None:
    async def main() -> None:
        async with serve() as server, client(server) as one, client(server) as two:
            await send(one, pcm(ONE_SENTENCE, 0, 1.95))
            await send(two, pcm(ONE_SENTENCE, 1.95, 6))
            await one.send(CLOSE_STREAM)
            await two.send(CLOSE_STREAM)
            assert words(await collect(one)) == ["one"]
            assert words(await collect(two)) == ["two", "three"]
            assert [account.number for account in server.accounts] == [0, 1]

    asyncio.run(main())


def test_the_idle_limit_over_a_socket() -> None:
    async def main() -> None:
        async with serve(limits=Limits(idle_s=0.1)) as server, client(server) as connection:
            assert [m["type"] for m in await collect(connection)] == ["Metadata"]
            assert connection.close_code == 1011
            assert "net0001" in str(connection.close_reason)

    asyncio.run(main())


def test_the_mute_limit_over_a_socket() -> None:
    async def main() -> None:
        async with serve(limits=Limits(idle_s=5, mute_s=0.1)) as server, client(server) as connection:
            await connection.send('{"type":"KeepAlive"}')
            assert await collect(connection) == []
            assert connection.close_code == 1011
            assert "net0000" in str(connection.close_reason)

    asyncio.run(main())


def test_pings_are_answered() -> None:
    async def main() -> None:
        async with serve() as server, client(server) as connection:
            await asyncio.wait_for(await connection.ping(), 5)

    asyncio.run(main())


def test_the_account_tells_what_came_and_never_the_key() -> None:
    async def main() -> None:
        headers = {"Authorization": "Token secret-key", "X-Kiosk": "7"}
        async with serve(keys={"secret-key"}) as server, client(server, additional_headers=headers) as connection:
            await send(connection, pcm(ONE_SENTENCE, 0, 1.0))
            await connection.send('{"type":"KeepAlive"}')
            await connection.send(CLOSE_STREAM)
            await collect(connection)
        (account,) = server.accounts
        assert account.query["model"] == ["nova-3"]
        assert account.headers["x-kiosk"] == "7"
        assert "secret-key" not in repr(account)
        assert account.kinds == {"audio": 10, "KeepAlive": 1, "CloseStream": 1}
        assert account.samples == server.received_samples == RATE
        assert [arrival.kind for arrival in account.arrivals][-2:] == ["KeepAlive", "CloseStream"]
        assert json.loads(account.said[-1][1])["type"] == "Metadata"
        assert account.close_code == 1000
        assert account.closed_at_s is not None
        assert 0 < account.longest_gap_s < account.closed_at_s - account.opened_at_s + 0.001
        assert account.max_rate(RATE, window_s=1.0) == 1.0
        assert server.open_connections == 0

    asyncio.run(main())


# Handshake


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
            assert server.accounts == []
            assert [status for _, status in server.refused] == [401]

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


# Faults


def test_refuse_as_often_as_ordered_then_let_in() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.REFUSE, status=429, retry_after="7", times=2)]) as server:
            for _ in range(2):
                response = (await refused(server)).response
                assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
            async with client(server):
                pass
            assert len(server.accounts) == 1

    asyncio.run(main())


def test_refuse_with_another_body() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.REFUSE, status=502, body="<h1>Bad gateway</h1>")]) as server:
            assert (await refused(server)).response.body == b"<h1>Bad gateway</h1>"

    asyncio.run(main())


def test_portal_answers_html_or_a_redirect() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.PORTAL), Fault(Verb.PORTAL, kind="redirect")]) as server:
            page = (await refused(server)).response
            assert page.status_code == 200
            assert page.headers["Content-Type"].startswith("text/html")
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(
                b"GET /v1/listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert b" 302 " in answer.splitlines()[0]
            assert b"\r\nLocation: http://" in answer

    asyncio.run(main())


def test_hang_never_answers_the_handshake() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.HANG)]) as server:
            with pytest.raises(TimeoutError):
                async with client(server, open_timeout=0.2):
                    pass
            async with client(server):
                pass

    asyncio.run(main())


def test_reset_breaks_the_connection_without_a_close() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.RESET, after_audio_s=1.5)]) as server, client(server) as connection:
            with contextlib.suppress(ConnectionClosed):
                await send(connection, ONE_SENTENCE.pcm)
            await collect(connection)
            assert connection.close_code == 1006
            with pytest.raises(ConnectionClosed) as error:
                await connection.recv()
            assert isinstance(error.value.__cause__, ConnectionResetError)

    asyncio.run(main())


def test_a_fault_in_mid_word_leaves_that_word_unanswered() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.CLOSE, code=1012, in_word=1)]) as server, client(server) as connection:
            messages = asyncio.create_task(collect(connection))
            with contextlib.suppress(ConnectionClosed):
                await send(connection, ONE_SENTENCE.pcm)
            answered = [w["word"] for m in results(await messages) for w in m["channel"]["alternatives"][0]["words"]]
            assert "two" not in answered
            assert connection.close_code == 1012
            assert server.ordered == []

    asyncio.run(main())


def test_close_with_a_code_and_a_reason() -> None:
    async def main() -> None:
        fault = Fault(Verb.CLOSE, code=1011, reason="internal", after_samples=100)
        async with serve(faults=[fault]) as server, client(server) as connection:
            await connection.send(bytes(400))
            await collect(connection)
            assert (connection.close_code, connection.close_reason) == (1011, "internal")

    asyncio.run(main())


def test_a_black_hole_takes_everything_and_answers_nothing() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.BLACK_HOLE, after_audio_s=2.0)]) as server, client(server) as connection:
            await send(connection, pcm(ONE_SENTENCE, 0, 2.0))
            assert json.loads(await connection.recv())["type"] == "Results"
            async with asyncio.timeout(5):
                await send(connection, ONE_SENTENCE.pcm * 20)  # 3.8 MB: more than socket buffers hold
            await connection.send(CLOSE_STREAM)
            pong = await connection.ping()
            messages = asyncio.create_task(collect(connection))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pong, 0.3)
            connection.transport.abort()
            assert results(await messages, final=True) == []

    asyncio.run(main())


def test_a_stall_answers_pings_but_gives_no_results() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.STALL)]) as server, client(server) as connection:
            await send(connection, ONE_SENTENCE.pcm)
            await connection.send(CLOSE_STREAM)
            await asyncio.wait_for(await connection.ping(), 5)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.2)

    asyncio.run(main())


def test_a_stall_until_close_gives_all_results_after_the_close_was_begun() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.STALL, kind="until_close")]) as server, client(server) as connection:
            await send(connection, ONE_SENTENCE.pcm)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.1)
            await connection.send(CLOSE_STREAM)
            assert words(await collect(connection)) == ["one", "two", "three"]
            assert connection.close_code == 1000

    asyncio.run(main())


def test_garbage_is_said_once_and_answers_no_audio() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.GARBAGE, after_audio_s=2.0)]) as server, client(server) as connection:
            await send(connection, ONE_SENTENCE.pcm)
            await connection.send(CLOSE_STREAM)
            odd, messages = [], []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    text = await connection.recv()
                    try:
                        message = json.loads(text)
                        assert message["type"] == "Results"
                        assert message["channel"]["alternatives"][0]["transcript"] is not None
                        messages.append(message)
                    except (ValueError, KeyError, TypeError, IndexError, AssertionError):
                        odd.append(text)
            assert words(messages) == ["one", "two", "three"]
            assert any(isinstance(text, bytes) for text in odd)
            assert "this is not JSON" in odd
            assert sum('"Metadata"' in str(text) for text in odd) == 2  # one unasked, one at the end
            assert connection.close_code == 1000

    asyncio.run(main())


def test_slow_reads_at_a_fraction_of_real_time() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.SLOW, rate=2.0)]) as server, client(server) as connection:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await send(connection, pcm(ONE_SENTENCE, 0, 1.0))
            await connection.recv()
            assert loop.time() - began >= 0.5

    asyncio.run(main())


async def _until_struck(server: Server) -> None:
    while server.ordered:  # noqa: ASYNC110 - what strikes is in the kernel's hands meanwhile
        await asyncio.sleep(0.01)


def test_an_ended_server_frees_black_holes_and_hanging_handshakes() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(Verb.HANG), Fault(Verb.BLACK_HOLE)]) as server:
            hanging = asyncio.create_task(refused(server))
            await asyncio.sleep(0.05)
            connection = await connect(f"{server.url}?{FULL}", ping_interval=None)
            await connection.send(bytes(320))
            await asyncio.wait_for(_until_struck(server), 5)
        assert (await hanging).response.status_code == 503
        await connection.wait_closed()

    asyncio.run(asyncio.wait_for(main(), 10))


# Unkindness and quirks reach the wire


def test_each_connection_is_unkind_in_another_way_and_the_same_for_the_same_seed() -> None:
    talk = compose(sentences(2, 14), silence_s=1.0, seed=5)

    async def main() -> list[list[dict[str, Any]]]:
        heard = []
        async with serve(talk, unkind=Unkindness.all(), seed=9, limits=AT_ONCE) as server:
            for _ in range(2):
                async with client(server) as connection:
                    await send(connection, talk.pcm)
                    await connection.send(CLOSE_STREAM)
                    messages = await collect(connection)
                    assert words(messages) == talk.texts
                    heard.append([{**m, "metadata": None} for m in results(messages)])
        return heard

    first, second = asyncio.run(main())
    assert first != second
    assert asyncio.run(main()) == [first, second]


def test_a_server_that_knows_no_finalize_closes_with_4400() -> None:
    async def main() -> None:
        quirks = Quirks(finalize_closes=4400, metadata_on_open=True)
        async with serve(quirks=quirks) as server, client(server) as connection:
            assert json.loads(await connection.recv())["type"] == "Metadata"
            await connection.send('{"type":"Finalize"}')
            await collect(connection)
            assert connection.close_code == 4400

    asyncio.run(main())


class SlowEngines(ScriptEngines):
    """A script's engine whose every call takes 50 ms of somebody's processor."""

    heavy = True

    def open(self, rate: int) -> Engine:
        class Slow(ScriptEngine):
            def feed(self, pcm: bytes) -> Any:
                import time

                time.sleep(0.05)
                return super().feed(pcm)

        return Slow(self.script)


def test_a_heavy_engine_does_not_stall_other_connections() -> None:
    async def main() -> None:
        async with (
            Server(SlowEngines(ONE_SENTENCE), limits=AT_ONCE) as server,
            client(server) as busy,
            client(server) as other,
        ):
            await busy.send(ONE_SENTENCE.pcm)  # 60 pieces: 3 s of work
            for _ in range(5):
                await asyncio.wait_for(await other.ping(), 1)
            busy.transport.abort()

    asyncio.run(main())
