"""Deaths at named points: the real daemon dies just there, is started again, and its words are counted."""

import asyncio
import signal
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edged.recognizer.handshake import PATH
from edged.recognizer.perturbations import Perturbations
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory
from edged.transcripts.journal_entry import MESSAGE_ID
from tests.journald import Journald
from tests.kills.campaign import end, talk
from tests.kills.die import POINTS
from tests.kills.ear import Verdict
from tests.kills.instance import Instance
from tests.kills.network import Network

LENGTH_S = 120.0
"""Enough for a machine with much else to do: it is not listened to for longer than necessary."""

WORDS = 16
"""The minimum number of words heard in all."""
AFTERWARDS = 6
"""The minimum number of words heard after the last death."""

OUTAGE_S = 9.0
"""Length of the first outage, which makes a backlog: most of it is on disk, with `to_disk_s` = 1."""

TWICE = 2
"""Each point is died at the second time: the first may be in the beginning, when there is nothing to lose."""

AT_ONCE = 14
"""Daemons at a time; a start costs half a second of a processor."""

ONCE = frozenset({"stop", "start"})
"""Points that a process reaches only once."""


@dataclass
class Death:
    """The outcome of one death."""

    point: str
    verdict: Verdict
    journal: Verdict | None
    faults: list[str]

    def __str__(self) -> str:
        """Describe the death in a line or some."""
        return f"{self.point}: {self.verdict}" + (f"; in the journal: {self.journal}" if self.journal else "")


async def die_everywhere(
    directory: Path, journald: Journald | None, seed: int = 1, only: Collection[str] = ()
) -> dict[str, Death | Exception]:
    """Die at each point once (or `only` at some). Without `journald`, points that need one are left out."""
    script = await asyncio.to_thread(talk, LENGTH_S, seed)
    names = [name for name, point in POINTS.items() if name != "never" and (journald or point.when != "sinks")]
    names = [name for name in names if name in only or not only]
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, name: str) -> Death:
        async with free:
            place = directory / f"{number:02}"
            place.mkdir()
            (place / "point").write_text(name + "\n")
            return await die_at(name, place, script, journald, seed)

    results = await asyncio.gather(*(one(i, name) for i, name in enumerate(names)), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
    return dict(zip(names, results, strict=True))  # type: ignore[arg-type]


async def die_at(name: str, directory: Path, script: Script, journald: Journald | None, seed: int) -> Death:
    """Bring about what the point needs, die there, go on, and compare."""
    point = POINTS[name]
    sinks = ["file", "journal"] if point.when == "sinks" else ["file"]
    private = ["--journal", journald.socket, journald.directory] if journald and point.when == "sinks" else []

    def dying(at: str, times: int) -> list[str]:
        return ["tests.kills.die", at, str(times), *private]

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            InstrumentedServer(ScriptEngineFactory(script), perturbations=Perturbations.all(), seed=seed)
        )
        network = await stack.enter_async_context(Network(server.port))
        instance = await stack.enter_async_context(
            Instance(
                directory,
                script,
                f"ws://127.0.0.1:{network.port}{PATH}",
                {
                    "transcripts.sinks": sinks,
                    "spool.to_disk_s": 30 if point.when == "stop" else 1,
                    "spool.sync_s": 0.2,
                    "daemon.stop_s": 1,
                    "backfill.after_s": 2,
                },
            )
        )
        if point.when in ("backlog", "stop", "start"):
            network.turn("refuse")
        first = point.first if point.when == "start" else name
        await instance.start(dying(first, 1 if point.when in ONCE else TWICE))
        await instance.says("capturing")
        if point.when in ("backlog", "start", "stop"):
            await asyncio.sleep(OUTAGE_S)
        if point.when in ("backlog", "start"):
            network.turn("fine")
        if point.when == "stop":
            instance.process.send_signal(signal.SIGTERM)
        await _died(instance, first)
        if point.when == "start":
            network.turn("refuse")
            await instance.start(dying(name, 1))
            await _died(instance, name)
        network.turn("fine")
        await _go_on(instance, dying("never", 1) if private else ["edged"])
        verdict = instance.verdict()
        journal = None
        if journald and private:
            runs = {record.run for record in instance.records}
            entries = [e for e in journald.read(f"MESSAGE_ID={MESSAGE_ID}") if e["EDGED_RUN"] in runs]
            journal = _in_journal(verdict, script, Counter(word for e in entries for word in e["MESSAGE"].split()))
        return Death(name, verdict, journal, instance.faults_in_logs())


async def _go_on(instance: Instance, program: list[str]) -> None:
    await instance.start(program)
    await instance.says("capturing")
    enough = max(WORDS, instance.heard + AFTERWARDS)
    await instance.until(lambda: instance.heard >= enough, f"{enough} words to hear", instance.left_s)
    await instance.hush()
    if program == ["edged"]:
        await end(instance)
        return
    await instance.settled()
    await instance.stop()


async def _died(instance: Instance, name: str) -> None:
    status = await instance.ended()
    assert status == -signal.SIGKILL, f"{name!r} was not reached; it ended with {status}:\n{instance.last}"


def _in_journal(verdict: Verdict, script: Script, texts: Mapping[str, int]) -> Verdict:
    """The same, for the journal: it is to have each word that the file has. (Its texts have capitals and marks.)"""
    got = Counter[str]()
    for text, times in texts.items():
        got[text.lower().strip(".,?!")] += times
    lost = [word for word in script.words if word.text in verdict.words and not got[word.text]]
    return replace(verdict, words=frozenset(got), lost=lost, doubled=[text for text, times in got.items() if times > 1])
