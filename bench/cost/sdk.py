"""deepgram-sdk's bare streaming loop: read, send; what comes is taken and dropped.

    python sdk.py DEVICE RATE PERIOD_MS HOST:PORT sync|async

A program of its own, for an environment that has deepgram-sdk and pyalsaaudio.
"""

import asyncio
import sys
from threading import Thread
from typing import Any

import alsaaudio
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment


def main(device: str, rate: int, period_ms: int, where: str, kind: str) -> None:
    """Run until the process is killed."""
    environment = DeepgramClientEnvironment(
        base=f"http://{where}", production=f"ws://{where}", agent=f"ws://{where}", agent_rest=f"http://{where}"
    )
    options = {
        "model": "nova-3",
        "encoding": "linear16",
        "sample_rate": rate,
        "channels": 1,
        "interim_results": "true",
        "endpointing": 300,
        "utterance_end_ms": 1000,
    }
    pcm = alsaaudio.PCM(
        alsaaudio.PCM_CAPTURE,
        device=device,
        rate=rate,
        channels=1,
        format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=rate * period_ms // 1000,
        periods=10,
    )
    if kind == "async":
        asyncio.run(stream(pcm, environment, options))
    with DeepgramClient(api_key="none", environment=environment).listen.v1.connect(**options) as connection:
        connection.on(EventType.MESSAGE, lambda message: None)
        Thread(target=connection.start_listening, daemon=True).start()
        while True:
            if block := pcm.read()[1]:  # an overrun gives none, and an empty message would end the stream
                connection.send_media(block)


async def stream(pcm: Any, environment: DeepgramClientEnvironment, options: dict[str, Any]) -> None:
    """The same with the asynchronous client."""
    client = AsyncDeepgramClient(api_key="none", environment=environment)
    async with client.listen.v1.connect(**options) as connection:
        connection.on(EventType.MESSAGE, lambda message: None)
        listening = asyncio.create_task(connection.start_listening())
        while not listening.done():
            if block := (await asyncio.to_thread(pcm.read))[1]:
                await connection.send_media(block)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
