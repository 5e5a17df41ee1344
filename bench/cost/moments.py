"""How long things take: from the start to the first block, from a sound to the server, from the end of speech to the
record, and from the end of an outage until everything is answered."""

import asyncio
import json
import re
import socket
import time
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from bench.cost.race import Run, place, start
from bench.cost.subjects import EDGED, RATE, Subject
from edged.testkit.compose import compose, sentences
from edged.testkit.connection_log import ConnectionLog
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory

ENDPOINTING_S = 0.3
"""So much silence ends a sentence, as edged asks for by default. Waiting for it is the server's own delay."""

SENTENCE_S = 6.37
"""They last 1.5 to 3.3 s, so that the silence before each is another, and it comes at any time of a rest."""

LOOK_S = 0.001
"""How often a transcript file is looked at: what comes of it is that coarse."""


class Spread(NamedTuple):
    """Percentiles of many measurements, in milliseconds."""

    median: float
    p99: float
    of: int


def spread(values_s: Sequence[float]) -> Spread:
    """Raises ValueError without any."""
    if not values_s:
        raise ValueError("nothing was measured")
    ordered = sorted(values_s)
    return Spread(
        1000 * ordered[len(ordered) // 2], 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], len(ordered)
    )


class Starts(NamedTuple):
    """Time from the start of the process to its first block of audio."""

    elapsed: Spread
    """100 ms of it are the block itself."""
    cpu: Spread
    """What the process itself took of that: on a busy machine it waits for the rest."""


async def starts(times: int) -> Starts:
    """One after the other, each with a new spool."""
    script = compose(sentences(1, 2), tail_s=1)
    taken_s, cpu_s = [], []
    async with InstrumentedServer(ScriptEngineFactory(script)) as server:
        for _ in range(times):
            with place() as (directory, disk):
                begun_s = time.time()
                run = await start(EDGED, server.url, directory, disk, script.pcm)
                try:
                    line = await _line(run, " capturing ")
                    cpu_s.append(run.usage().cpu_s)
                finally:
                    await run.end()
                taken_s.append(datetime.fromisoformat(line[:23]).timestamp() - begun_s)
    return Starts(spread(taken_s), spread(cpu_s))


class Delays(NamedTuple):
    """Delays that edged adds to each sentence."""

    onset: Spread
    """Time from the first sample of a sentence to the first byte of its audio at the server."""
    arrival: Spread
    """From the sample by which a server can know that a sentence is over, `ENDPOINTING_S` after it, to its arrival."""
    record: Spread
    """Time from the server's last result for it to the synced record in the file."""
    both: Spread
    """The sum of the latter two: from the end of speech to the record, less what the server took."""


async def delays(subject: Subject, count: int) -> Delays:
    """`count` sentences, one every `SENTENCE_S`."""
    script = compose(sentences(count, 5), lead_s=4, every_s=SENTENCE_S, seed=4)
    async with InstrumentedServer(ScriptEngineFactory(script)) as server:
        with place() as (directory, disk):
            run = await start(subject, server.url, directory, disk, script.pcm, state=True)
            file = disk / "transcripts.jsonl"
            written: list[float] = []
            until_s = time.monotonic() + len(script.pcm) / 2 / RATE + 5
            try:
                while time.monotonic() < until_s and len(written) < count:
                    lines = file.read_bytes().count(b"\n") if file.exists() else 0
                    written += [time.monotonic()] * (lines - len(written))
                    await asyncio.sleep(LOOK_S)
            finally:
                await run.end()
            begun_s = int((directory / "state").read_text().split()[0]) / 1e9
            records = [json.loads(line) for line in file.read_text().splitlines()]
            return _delays(script, server.connection_logs[0], begun_s, written, records)


def _delays(
    script: Script,
    account: ConnectionLog,
    begun_s: float,
    written: Sequence[float],
    records: Sequence[dict[str, object]],
) -> Delays:
    audio = [arrival for arrival in account.arrivals if arrival.kind == "audio"]
    upto = list(accumulate(arrival.samples for arrival in audio))
    firsts = [b.at_s for a, b in pairwise(audio) if b.at_s - a.at_s > 1.0]
    gaps = [i for i, (a, b) in enumerate(pairwise(script.words), 1) if b.start - a.end > RATE]
    begins = [script.words[i].start for i in [0, *gaps]]
    onset_s = []
    for begin in begins:
        at_s = begun_s + begin / RATE
        later = [first for first in firsts if 0 <= first - at_s < 1.0]
        onset_s += [later[0] - at_s] if later else []
    ends = {word.text: word.end for word in script.words}
    arrival_s, record_s, both_s = [], [], []
    for written_s, record in zip(written, records, strict=False):
        last = record["words"][-1]["word"]  # type: ignore[index]
        final = _last_final(account, last, written_s)
        if final is None:
            continue
        said_s, end_s = final
        spoken_s = begun_s + ends[last] / RATE
        place_ = bisect_left(upto, round((end_s + ENDPOINTING_S) * RATE) - RATE // 1000)
        late_s = audio[min(place_, len(audio) - 1)].at_s - spoken_s - ENDPOINTING_S
        arrival_s.append(late_s)
        record_s.append(written_s - said_s)
        both_s.append(late_s + written_s - said_s)
    return Delays(spread(onset_s), spread(arrival_s), spread(record_s), spread(both_s))


def _last_final(account: ConnectionLog, word: str, before_s: float) -> tuple[float, float] | None:
    """When the server said its last before the record of this word was written; where in its stream the word ends."""
    end_s = None
    said = [(at_s, json.loads(text)) for at_s, text in account.sent if at_s < before_s]
    for _, message in said:
        if message.get("type") == "Results" and message["is_final"]:
            for each in message["channel"]["alternatives"][0]["words"]:
                if each["word"] == word:
                    end_s = float(each["end"])
    return (said[-1][0], end_s) if end_s is not None else None


class Burst(NamedTuple):
    """After an outage."""

    backlog_s: float
    """Speech that waited."""
    took_s: float
    """Time from the first message after the outage until the backlog was sent."""
    rate: float
    """Times real time, on the connection of the backlog."""
    most_rate: float
    """Highest rate on any connection over any 5 s."""
    lost: int
    """Number of words lost."""


async def burst(segments: int) -> Burst:
    """So many sentences are said while nothing listens at the server's address; then it does."""
    script = compose(sentences(segments, 3), lead_s=1, silence_s=1.5, tail_s=1, seed=5)
    length_s = len(script.pcm) / 2 / RATE
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    impatient = Subject("edged", "", {"reconnect.max_s": 1})
    with place() as (directory, disk):
        url = f"ws://127.0.0.1:{port}/v1/listen"
        run = await start(impatient, url, directory, disk, script.pcm)
        try:
            await _line(run, " capturing ")
            await asyncio.sleep(length_s + 2)
            async with InstrumentedServer(ScriptEngineFactory(script), port=port) as server:
                until_s = time.monotonic() + length_s * 2 + 30
                words: list[str] = []
                while len(words) < len(script.words) and time.monotonic() < until_s:
                    await asyncio.sleep(1)
                    words = _words(disk / "transcripts.jsonl")
                accounts = server.connection_logs
        finally:
            await run.end()
    most = max(accounts, key=lambda account: account.samples)
    audio = [arrival for arrival in most.arrivals if arrival.kind == "audio"]
    took_s = audio[-1].at_s - audio[0].at_s
    return Burst(
        sum(account.samples for account in accounts) / RATE,
        took_s,
        most.samples / RATE / took_s,
        max(account.max_rate(RATE) for account in accounts),
        len(set(script.texts) - set(words)),
    )


def _words(file: Path) -> list[str]:
    if not file.exists():
        return []
    return [word["word"] for line in file.read_text().splitlines() for word in json.loads(line)["words"]]


async def _line(run: Run, text: str, within_s: float = 30.0) -> str:
    """The first line of its log that holds a text."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if found := re.search(rf"^.*{text}.*\n", run.log, re.M):
            return found[0]
        await asyncio.sleep(0.01)
    raise RuntimeError(f"no line with {text!r} within {within_s:g} s:\n{run.log[-2000:]}")
