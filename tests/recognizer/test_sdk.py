"""A client that nobody here wrote: the `deepgram-sdk` package speaks to the server as it does to Deepgram."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

deepgram = pytest.importorskip("deepgram", reason="deepgram-sdk is not installed (development only)")

from deepgram import AsyncDeepgramClient, DeepgramClient  # noqa: E402
from deepgram.core.api_error import ApiError  # noqa: E402
from deepgram.core.events import EventType  # noqa: E402
from deepgram.environment import DeepgramClientEnvironment  # noqa: E402
from deepgram.listen.v1.types import (  # noqa: E402
    ListenV1Metadata,
    ListenV1Results,
    ListenV1SpeechStarted,
    ListenV1UtteranceEnd,
)

from edged.testkit.instrumented_server import InstrumentedServer  # noqa: E402
from edged.testkit.script import ScriptEngineFactory, split_pcm  # noqa: E402
from tests.patience import PATIENCE_S  # noqa: E402
from tests.recognizer.common import ONE_SENTENCE, pcm  # noqa: E402
from tests.recognizer.wire import AT_ONCE  # noqa: E402

# The SDK, not we: it tries old names of websockets first.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*InvalidStatusCode is deprecated:DeprecationWarning",
    "ignore:websockets.legacy is deprecated:DeprecationWarning",
)

OPTIONS: dict[str, Any] = {
    "model": "nova-3",
    "encoding": "linear16",
    "sample_rate": 16_000,
    "channels": 1,
    "interim_results": True,
    "endpointing": 300,
    "utterance_end_ms": 1000,
    "vad_events": "true",
    "smart_format": "true",
    "keyterm": ["edged", "kiosk"],
}


def environment(server: InstrumentedServer) -> DeepgramClientEnvironment:
    host = f"{server.host}:{server.port}"
    return DeepgramClientEnvironment(
        base=f"http://{host}", production=f"ws://{host}", agent=f"ws://{host}", agent_rest=f"http://{host}"
    )


def finals(messages: list[Any]) -> list[str]:
    return [
        word.word
        for message in messages
        if isinstance(message, ListenV1Results) and message.is_final
        for word in message.channel.alternatives[0].words
    ]


def with_server(test: Callable[[InstrumentedServer], Awaitable[None]], **options: Any) -> InstrumentedServer:
    async def main() -> InstrumentedServer:
        async with InstrumentedServer(
            ScriptEngineFactory(ONE_SENTENCE), limits=AT_ONCE, keys={"key"}, **options
        ) as server:
            await asyncio.wait_for(test(server), PATIENCE_S)
        return server

    return asyncio.run(main())


def test_the_sdk_connects_streams_keeps_alive_finalises_and_closes() -> None:
    messages: list[Any] = []

    async def talk(server: InstrumentedServer) -> None:
        client = AsyncDeepgramClient(api_key="key", environment=environment(server))
        async with client.listen.v1.connect(**OPTIONS) as connection:
            events: list[str] = []
            connection.on(EventType.OPEN, lambda _: events.append("open"))
            connection.on(EventType.MESSAGE, messages.append)
            connection.on(EventType.ERROR, lambda error: events.append(f"error {error}"))
            connection.on(EventType.CLOSE, lambda _: events.append("close"))
            listening = asyncio.create_task(connection.start_listening())
            for batch in split_pcm(pcm(ONE_SENTENCE, 0, 2.4), 1600):
                await connection.send_media(batch)
            await connection.send_keep_alive()
            await connection.send_finalize()
            for batch in split_pcm(pcm(ONE_SENTENCE, 2.4, 6), 1600):
                await connection.send_media(batch)
            await connection.send_close_stream()
            await listening
            assert events == ["open", "close"]

    server = with_server(talk)
    assert finals(messages) == ["one", "two", "three"]
    assert [m.from_finalize for m in messages if isinstance(m, ListenV1Results) and m.is_final].count(True) == 1
    kinds = [type(message) for message in messages]
    assert set(kinds) == {ListenV1Results, ListenV1SpeechStarted, ListenV1UtteranceEnd, ListenV1Metadata}
    assert kinds[-1] is ListenV1Metadata
    (account,) = server.connection_logs
    assert account.close_code == 1000
    assert (
        account.message_counts["KeepAlive"]
        == account.message_counts["Finalize"]
        == account.message_counts["CloseStream"]
        == 1
    )
    assert account.query["keyterm"] == ["edged", "kiosk"]


def test_every_message_satisfies_the_sdks_own_models() -> None:
    models: dict[str, Any] = {
        "Results": ListenV1Results,
        "Metadata": ListenV1Metadata,
        "UtteranceEnd": ListenV1UtteranceEnd,
        "SpeechStarted": ListenV1SpeechStarted,
    }

    async def talk(server: InstrumentedServer) -> None:
        client = AsyncDeepgramClient(api_key="key", environment=environment(server))
        async with client.listen.v1.connect(**OPTIONS) as connection:
            await connection.send_media(ONE_SENTENCE.pcm)
            await connection.send_close_stream()
            async for _ in connection:
                pass

    server = with_server(talk)
    said = [json.loads(text) for _, text in server.connection_logs[0].sent]
    assert {message["type"] for message in said} == set(models)
    for message in said:
        models[message["type"]].model_validate(message)


def test_the_synchronous_client_too() -> None:
    def talk(server: InstrumentedServer) -> list[Any]:
        client = DeepgramClient(api_key="key", environment=environment(server))
        with client.listen.v1.connect(**OPTIONS) as connection:
            for batch in split_pcm(ONE_SENTENCE.pcm, 1600):
                connection.send_media(batch)
            connection.send_close_stream()
            return list(connection)

    async def main(server: InstrumentedServer) -> None:
        assert finals(await asyncio.to_thread(talk, server)) == ["one", "two", "three"]

    with_server(main)


def test_the_sdk_understands_a_wrong_key() -> None:
    async def talk(server: InstrumentedServer) -> None:
        client = AsyncDeepgramClient(api_key="wrong", environment=environment(server))
        with pytest.raises(ApiError) as error:
            async with client.listen.v1.connect(**OPTIONS):
                pass
        assert error.value.status_code == 401

    assert [status for _, status in with_server(talk).refusals] == [401]
