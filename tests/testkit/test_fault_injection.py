"""Every fault as a client sees it over a real socket, and the log that the server keeps."""

import asyncio
import contextlib
import json
from collections.abc import Callable

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from edged.testkit.faults import Fault, FaultKind
from tests.patience import PATIENCE_S
from tests.recognizer.common import FULL, ONE_SENTENCE, RATE, pcm, results, words
from tests.recognizer.wire import CLOSE_STREAM, client, collect, refused, send, serve


def test_the_connection_log_holds_what_came_and_never_the_key() -> None:
    async def main() -> None:
        headers = {"Authorization": "Token secret-key", "X-Kiosk": "7"}
        async with serve(keys={"secret-key"}) as server, client(server, additional_headers=headers) as connection:
            await send(connection, pcm(ONE_SENTENCE, 0, 1.0))
            await connection.send('{"type":"KeepAlive"}')
            await connection.send(CLOSE_STREAM)
            await collect(connection)
        (connection_log,) = server.connection_logs
        assert connection_log.query["model"] == ["nova-3"]
        assert connection_log.headers["x-kiosk"] == "7"
        assert "secret-key" not in repr(connection_log)
        assert connection_log.message_counts == {"audio": 10, "KeepAlive": 1, "CloseStream": 1}
        assert connection_log.samples == server.received_samples == RATE
        assert [arrival.kind for arrival in connection_log.arrivals][-2:] == ["KeepAlive", "CloseStream"]
        assert json.loads(connection_log.sent[-1][1])["type"] == "Metadata"
        assert connection_log.close_code == 1000
        assert connection_log.closed_at_s is not None
        assert 0 < connection_log.longest_gap_s < connection_log.closed_at_s - connection_log.opened_at_s + 0.001
        assert connection_log.max_rate(RATE, window_s=1.0) == 1.0
        assert server.open_connections == 0

    asyncio.run(main())


# Faults at the handshake


def test_refuse_as_often_as_ordered_then_let_in() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.REFUSE, status=429, retry_after="7", times=2)]) as server:
            for _ in range(2):
                response = (await refused(server)).response
                assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
            async with client(server):
                pass
            assert len(server.connection_logs) == 1

    asyncio.run(main())


def test_refuse_with_another_body() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.REFUSE, status=502, body="<h1>Bad gateway</h1>")]) as server:
            assert (await refused(server)).response.body == b"<h1>Bad gateway</h1>"

    asyncio.run(main())


def test_portal_answers_html_or_a_redirect() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.PORTAL), Fault(FaultKind.PORTAL, variant="redirect")]) as server:
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
        async with serve(faults=[Fault(FaultKind.HANG)]) as server:
            with pytest.raises(TimeoutError):
                async with client(server, open_timeout=0.2):
                    pass
            async with client(server):
                pass

    asyncio.run(main())


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not there():  # noqa: ASYNC110 - what comes about is in the kernel's hands meanwhile
            await asyncio.sleep(0.01)


def test_an_ended_server_frees_black_holes_and_hanging_handshakes() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.HANG), Fault(FaultKind.BLACK_HOLE)]) as server:
            hanging = asyncio.create_task(refused(server))
            await asyncio.sleep(0.05)
            connection = await connect(f"{server.url}?{FULL}", ping_interval=None)
            await connection.send(bytes(320))
            await _until(lambda: not server.pending_faults)
        assert (await hanging).response.status_code == 503
        await connection.wait_closed()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


# Faults on an open connection


def test_reset_breaks_the_connection_without_a_close() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.RESET, after_audio_s=1.5)]) as server, client(server) as connection:
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
        async with serve(faults=[Fault(FaultKind.CLOSE, code=1012, in_word=1)]) as server, client(server) as connection:
            messages = asyncio.create_task(collect(connection))
            with contextlib.suppress(ConnectionClosed):
                await send(connection, ONE_SENTENCE.pcm)
            answered = [w["word"] for m in results(await messages) for w in m["channel"]["alternatives"][0]["words"]]
            assert "two" not in answered
            assert connection.close_code == 1012
            assert server.pending_faults == []

    asyncio.run(main())


def test_close_with_a_code_and_a_reason() -> None:
    async def main() -> None:
        fault = Fault(FaultKind.CLOSE, code=1011, reason="internal", after_samples=100)
        async with serve(faults=[fault]) as server, client(server) as connection:
            await connection.send(bytes(400))
            await collect(connection)
            assert (connection.close_code, connection.close_reason) == (1011, "internal")

    asyncio.run(main())


def test_a_black_hole_takes_everything_and_answers_nothing() -> None:
    async def main() -> None:
        async with (
            serve(faults=[Fault(FaultKind.BLACK_HOLE, after_audio_s=2.0)]) as server,
            client(server) as connection,
        ):
            await send(connection, pcm(ONE_SENTENCE, 0, 2.0))
            assert json.loads(await connection.recv())["type"] == "Results"
            async with asyncio.timeout(PATIENCE_S):
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
        async with serve(faults=[Fault(FaultKind.STALL)]) as server, client(server) as connection:
            await send(connection, ONE_SENTENCE.pcm)
            await connection.send(CLOSE_STREAM)
            await asyncio.wait_for(await connection.ping(), PATIENCE_S)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.2)

    asyncio.run(main())


def test_a_stall_until_close_gives_all_results_after_the_close_was_begun() -> None:
    async def main() -> None:
        async with (
            serve(faults=[Fault(FaultKind.STALL, variant="until_close")]) as server,
            client(server) as connection,
        ):
            await send(connection, ONE_SENTENCE.pcm)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.1)
            await connection.send(CLOSE_STREAM)
            assert words(await collect(connection)) == ["one", "two", "three"]
            assert connection.close_code == 1000

    asyncio.run(main())


def test_garbage_is_said_once_and_answers_no_audio() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.GARBAGE, after_audio_s=2.0)]) as server, client(server) as connection:
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


@pytest.mark.slow
def test_slow_reads_at_a_fraction_of_real_time() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.SLOW, rate=2.0)]) as server, client(server) as connection:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await send(connection, pcm(ONE_SENTENCE, 0, 1.0))
            await connection.recv()
            assert loop.time() - began >= 0.5

    asyncio.run(main())
