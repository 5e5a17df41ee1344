"""Growth of resident memory over an hour of speech, and over thousands of reconnects."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection, serve

from bench.cost.race import Run, place, start
from bench.cost.subjects import EDGED, Subject
from edged.testkit.compose import compose, sentences
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import ScriptEngineFactory

SETTLED = 0.1
"""Of a run: in the beginning caches fill; that is not part of the slope."""

RESULT = {
    "type": "Results",
    "start": 0.0,
    "duration": 0.0,
    "is_final": False,
    "channel": {"alternatives": [{"transcript": "", "confidence": 0.0, "words": []}]},
}
"""Proves that a connection works, so that the next one is not waited for."""

QUICK = Subject("edged", "", {"reconnect.initial_s": 0.05, "reconnect.max_s": 0.1, "daemon.log_level": "error"})


class Growth(NamedTuple):
    """Resident memory against something that is counted."""

    first_mb: float
    """When it had settled."""
    last_mb: float
    peak_mb: float
    slope_kb: float
    """Per unit, by least squares, without the beginning."""
    units: float


def growth(samples: list[tuple[float, int]]) -> Growth:
    """From what was counted and kB."""
    settled = samples[round(len(samples) * SETTLED) :]
    count = len(settled)
    middle_x, middle_y = sum(x for x, _ in settled) / count, sum(y for _, y in settled) / count
    spread = sum((x - middle_x) ** 2 for x, _ in settled)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in settled) / spread
    peak = max(kb for _, kb in samples)
    return Growth(settled[0][1] / 1024, settled[-1][1] / 1024, peak / 1024, slope, samples[-1][0] - samples[0][0])


async def hour(minutes: float) -> Growth:
    """Somebody speaks all the time, in sentences. Unit: hours."""
    script = compose(sentences(40, 12), seed=3, silence_s=1.5)
    until_s = time.monotonic() + minutes * 60
    async with InstrumentedServer(ScriptEngineFactory(script), history=1000) as server:
        with place() as (directory, disk):
            run = await start(EDGED, server.url, directory, disk, script.pcm, after="loop")
            hours = lambda: time.monotonic() / 3600  # noqa: E731  as short as what it stands for
            return await _sampled(run, lambda: time.monotonic() < until_s, hours, every_s=10.0)


async def reconnects(wanted: int) -> Growth:
    """The server breaks each connection after its first answer. Unit: thousands of connections."""
    connections = 0

    async def hold(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.send(json.dumps(RESULT))
        await asyncio.sleep(0.005)  # it is read before it breaks
        connection.transport.abort()

    script = compose(sentences(1, 2), tail_s=1)
    async with serve(hold, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with place() as (directory, disk):
            run = await start(QUICK, f"ws://127.0.0.1:{port}/v1/listen", directory, disk, script.pcm)
            return await _sampled(run, lambda: connections < wanted, lambda: connections / 1000, every_s=1.0)


async def _sampled(run: Run, more: Callable[[], bool], count: Callable[[], float], every_s: float) -> Growth:
    samples = []
    try:
        while more():
            await asyncio.sleep(every_s)
            samples.append((count(), run.usage().rss_kb))
    finally:
        await run.end()
    return growth(samples)
