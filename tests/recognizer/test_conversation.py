"""One connection over a real socket, as a client sees it."""

import asyncio
import json
from typing import Any

import pytest

from edged.recognizer.engine import Engine
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.protocol import Limits
from edged.recognizer.quirks import Quirks
from edged.testkit.compose import compose, sentences
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import ScriptEngine, ScriptEngineFactory
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


# Perturbations and quirks reach the wire


@pytest.mark.slow
def test_perturbations_differ_between_connections_and_repeat_with_the_seed() -> None:
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


def test_a_blocking_engine_does_not_stall_other_connections() -> None:
    async def main() -> None:
        async with (
            InstrumentedServer(SlowEngines(ONE_SENTENCE), limits=AT_ONCE) as server,
            client(server) as busy,
            client(server) as other,
        ):
            await busy.send(ONE_SENTENCE.pcm)  # 60 pieces: 3 s of work
            for _ in range(5):
                await asyncio.wait_for(await other.ping(), PATIENCE_S)
            busy.transport.abort()

    asyncio.run(main())
