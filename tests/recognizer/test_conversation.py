"""One connection over a real socket: what is said, and every fault as a client sees it."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from edged.recognizer.compose import compose, sentences
from edged.recognizer.engine import Engine
from edged.recognizer.faults import Fault, FaultKind
from edged.recognizer.protocol import Limits
from edged.recognizer.quirks import Quirks
from edged.recognizer.script import ScriptEngine, ScriptEngineFactory
from edged.recognizer.server import Server
from edged.recognizer.windows import Perturbations
from tests.patience import PATIENCE_S
from tests.recognizer.common import ONE_SENTENCE, pcm, results, words
from tests.recognizer.wire import AT_ONCE, CLOSE_STREAM, client, collect, send, serve


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
            assert [account.number for account in server.connection_logs] == [0, 1]

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
            await asyncio.wait_for(await connection.ping(), PATIENCE_S)

    asyncio.run(main())


def test_a_client_that_is_too_far_ahead_waits_and_loses_nothing() -> None:
    async def main() -> None:
        limits = Limits(max_rate=20, backlog_s=0.5)
        async with serve(limits=limits) as server, client(server) as connection:
            await send(connection, ONE_SENTENCE.pcm)
            await connection.send(CLOSE_STREAM)
            assert words(await collect(connection)) == ["one", "two", "three"]
            (account,) = server.connection_logs
            assert account.arrivals[-1].at_s - account.opened_at_s > 0.2, "the server has read no faster than it works"

    asyncio.run(main())


# Faults


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


def test_slow_reads_at_a_fraction_of_real_time() -> None:
    async def main() -> None:
        async with serve(faults=[Fault(FaultKind.SLOW, rate=2.0)]) as server, client(server) as connection:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await send(connection, pcm(ONE_SENTENCE, 0, 1.0))
            await connection.recv()
            assert loop.time() - began >= 0.5

    asyncio.run(main())


# Unkindness and quirks reach the wire


def test_each_connection_is_unkind_in_another_way_and_the_same_for_the_same_seed() -> None:
    talk = compose(sentences(2, 14), silence_s=1.0, seed=5)

    async def main() -> list[list[dict[str, Any]]]:
        heard = []
        async with serve(talk, perturbations=Perturbations.all(), seed=9, limits=AT_ONCE) as server:
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
        quirks = Quirks(finalize_close_code=4400, metadata_on_open=True)
        async with serve(quirks=quirks) as server, client(server) as connection:
            assert json.loads(await connection.recv())["type"] == "Metadata"
            await connection.send('{"type":"Finalize"}')
            await collect(connection)
            assert connection.close_code == 4400

    asyncio.run(main())


class SlowEngines(ScriptEngineFactory):
    """A script's engine whose every call takes 50 ms of somebody's processor."""

    is_blocking = True

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
                await asyncio.wait_for(await other.ping(), PATIENCE_S)
            busy.transport.abort()

    asyncio.run(main())
