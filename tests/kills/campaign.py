"""Random kills: daemons in parallel, each killed by SIGKILL at any moment and started again, in changing weather."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edged.recognizer.handshake import PATH
from edged.recognizer.perturbations import Perturbations
from edged.testkit.compose import place, vocabulary
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script
from tests.end_to_end.stage import Setting
from tests.kills.ear import Verdict
from tests.kills.evidence import Evidence
from tests.kills.instance import Instance
from tests.kills.network import Network, Weather

EARLY = 0.25
"""Share of the kills that come while the one before is still being recovered from."""
EARLY_S = (0.05, 1.5)
LATER_S = (2.0, 8.0)
FINE_S = (3.0, 12.0)
BAD_S = (1.0, 9.0)
BAD: tuple[Weather, ...] = ("refuse", "refuse", "reset", "hole")

MEAN_S = 4.5
"""Between two kills, start of the process included."""

MOST_S = 3000.0
"""The longest recording: there are 4900 different words."""

SLOWLY = 3
"""Factor on the recording's length: the longest that a campaign may take, on a machine with much else to do."""


def talk(length_s: float, seed: int) -> Script:
    """Somebody who speaks two thirds of the time, in sentences and with silences of any length."""
    rng = random.Random(seed)
    words: list[tuple[str, float, float]] = []
    names = iter(vocabulary(4900))
    at_s = 1.0
    while at_s < length_s - 8:
        for _ in range(rng.randint(1, 12)):
            end_s = at_s + rng.uniform(0.2, 0.5)
            words.append((next(names), at_s, end_s))
            at_s = end_s + rng.uniform(0.04, 0.25)
        at_s += rng.choice((rng.uniform(0.3, 1.0), rng.uniform(1.0, 4.0)))
    return place(words, length_s, seed=seed)


@dataclass
class Outcome:
    """The outcome of one instance."""

    number: int
    kills: Counter[str]
    verdict: Verdict
    faults: list[str]
    directory: Path

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, nothing in a log that must not be there."""
        return self.verdict.good and not self.faults

    def __str__(self) -> str:
        """Describe the outcome in a line or some."""
        kills = ", ".join(f"{count} {when}" for when, count in sorted(self.kills.items()))
        return f"instance {self.number}: {self.kills.total()} kills ({kills}): {self.verdict}" + "".join(
            f"\n  {fault}" for fault in self.faults
        )


@dataclass
class Campaign:
    """A campaign: kills of several instances. The same seed gives the same plan (not the same moments)."""

    directory: Path
    kills: int
    parallel: int
    seed: int
    done: Counter[str] = field(default_factory=Counter)

    async def run(self) -> list[Outcome]:
        """All of it."""
        shares = [self.kills // self.parallel + (i < self.kills % self.parallel) for i in range(self.parallel)]
        length_s = min(max(shares) * MEAN_S * SLOWLY + 30, MOST_S)
        script = await asyncio.to_thread(talk, length_s, self.seed)
        return list(await asyncio.gather(*(self._one(i, share, script) for i, share in enumerate(shares))))

    async def _one(self, number: int, kills: int, script: Script) -> Outcome:
        rng = random.Random(f"{self.seed}/{number}")
        directory = self.directory / f"instance{number:02}"
        directory.mkdir(parents=True)
        engines = Evidence(script, directory)
        await asyncio.sleep(rng.uniform(0, MEAN_S))  # starts cost processor time: not all at once
        async with (
            InstrumentedServer(engines, perturbations=Perturbations.all(), seed=rng.randrange(1 << 30)) as server,
            Network(server.port) as network,
            Instance(directory, script, f"ws://127.0.0.1:{network.port}{PATH}", any_settings(rng)) as instance,
        ):
            weather = asyncio.create_task(change_weather(network, rng))
            killed: Counter[str] = Counter()
            await instance.start()
            while killed.total() < kills and instance.left_s > 6:
                when = await self._moment(instance, rng)
                assert instance.running, f"it ended by itself:\n{instance.last}"
                when = when or ("in an outage" if network.weather != "fine" else "connected")
                await instance.kill()
                killed[when] += 1
                self.done[when] += 1
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.uniform(0, 1.5))
                await instance.start()
            await instance.says("capturing")
            await asyncio.sleep(rng.uniform(*LATER_S))
            await instance.hush()
            weather.cancel()
            with suppress(asyncio.CancelledError):
                await weather
            network.turn("fine")
            await end(instance)
            engines.keep(server, instance.ear.heard)
            return Outcome(number, killed, instance.verdict(), instance.faults_in_logs(), directory)

    async def _moment(self, instance: Instance, rng: random.Random) -> str:
        """Wait for the moment of a kill; says of it what is known without looking at the network."""
        if rng.random() < EARLY:
            await asyncio.sleep(rng.uniform(*EARLY_S))
            return "while starting"
        await instance.says("capturing")
        await asyncio.sleep(rng.uniform(*LATER_S) * (MEAN_S - 0.5) / sum(LATER_S))
        return ""


async def end(instance: Instance) -> None:
    """The end of all trouble: what waits is answered; what was left to a later time comes after one more start."""
    await instance.settled()
    await instance.stop()
    if instance.missing:
        await instance.start()
        await instance.settled()
        await instance.stop()


async def change_weather(network: Network, rng: random.Random) -> None:
    """Fine and bad by turns, until cancelled."""
    while True:
        await asyncio.sleep(rng.uniform(*FINE_S))
        network.turn(rng.choice(BAD))
        await asyncio.sleep(rng.uniform(*BAD_S))
        network.turn("fine")


def any_settings(rng: random.Random) -> dict[str, Setting]:
    """The spool in all its ways."""
    return {
        "spool.to_disk_s": rng.choice((1.0, 3.0, 30.0)),
        "spool.sync_s": rng.choice((0.2, 1.0, 2.0)),
        "spool.durability": rng.choice(("process", "process", "power")),
        "transcripts.file.fsync": rng.choice(("record", "never")),
        "backfill.enabled": rng.random() < 0.8,
        "backfill.after_s": rng.choice((2.0, 10.0)),
    }
