"""Power cuts: a machine that transcribes is switched off at any moment, and on again, as often as one likes."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

from edged.recognizer.perturbations import Perturbations
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import ScriptEngineFactory
from tests.end_to_end.stage import Setting, until
from tests.kills.campaign import talk
from tests.kills.network import Network
from tests.vm.account import Balance, Life, answered, balance, inside
from tests.vm.disk import Disk
from tests.vm.machine import RATE, Machine
from tests.vm.service import CARD, Service

Durability = Literal["power", "process"]

MOMENTS = ("in an outage", "while catching up", "in mid-speech", "after a record")
"""The order matters: catching up needs an outage before."""

TO_DISK_S = 6.0
"""`spool.to_disk_s`: less than its default (30), so that outages are short."""

SYNC_S = 2.0
"""`spool.sync_s`: its default."""

SLACK_S = 0.7
"""Time from the air to the spool: a period (0.1 s) and the gate's onset (0.16 s), on an emulated processor."""

LIFE_S = 45.0
"""The longest talk from one cut to the next."""

SKIPPED_S = 1.0
"""Part of the recording skipped at a cut: more than may have sounded since the room's last report."""

TIMES_WITHIN_S = 1.0
"""The recogniser's jitter (0.08 s), and how late an emulated processor tells us how far the room is."""

WRITING_S = 1.0
"""Time from the recogniser's answer to the line on the disk."""

LAST_S = 8.0
"""Length of the talk after the last cut."""

CATCH_UP_S = 180.0
"""Time for the whole backlog at the end."""

NOTHING_WAITS = "nothing waits for a transcript"
"""The last line of `edged spool status`."""


class Cuts:
    """One machine, cut at each of these `MOMENTS`; the same seed gives the same plan (not the same instants)."""

    def __init__(self, disk: Disk, directory: Path, durability: Durability, moments: Sequence[str], seed: int) -> None:
        self._rng = random.Random(f"{seed}/{durability}")
        self._disk = disk
        self._directory = directory
        self._durability = durability
        self._moments = moments
        self._seed = seed
        self._lives: list[Life] = []

    async def run(self, say: Callable[[str], None] = lambda line: None) -> Balance:
        """All of it. `say` is told of each cut."""
        self._script = script = await asyncio.to_thread(talk, (len(self._moments) + 1) * LIFE_S, self._seed)
        recording = self._directory / f"{self._durability}.raw"
        recording.write_bytes(script.pcm)
        async with AsyncExitStack() as stack:
            engines = ScriptEngineFactory(script)
            self._server = await stack.enter_async_context(
                InstrumentedServer(engines, perturbations=Perturbations.all(), seed=self._rng.randrange(1 << 30))
            )
            self._network = await stack.enter_async_context(Network(self._server.port))
            self._machine = await stack.enter_async_context(Machine(self._disk, recording))
            self._service = Service(self._machine)
            await self._machine.boot(CARD)
            await self._service.configure(self._network.port, self._settings())
            for moment in self._moments:
                await self._live(moment)
                say(f"{self._durability}: cut {len(self._lives)} of {len(self._moments)}, {self._lives[-1].when}")
            return await self._end()

    def _settings(self) -> dict[str, Setting]:
        return {"spool.durability": self._durability, "spool.to_disk_s": TO_DISK_S, "spool.sync_s": SYNC_S}

    async def _live(self, moment: str) -> None:
        """Run one life from boot to cut. The first life's machine is on already."""
        machine, life = self._machine, Life("", [])
        if self._lives:
            await machine.boot(CARD)
        await self._service.says("capturing")
        life.capture_s = self._service.capture_s
        before, start = len(machine.heard), machine.at and machine.at + round(SKIPPED_S * RATE)
        await self._service.talk(start)
        life.when = f"{self._durability}, {await self._wait(moment, start)}"
        await machine.cut()
        cut_s = time.monotonic()
        self._network.turn("fine")
        life.heard = machine.heard[before:]
        life.promised_s = SLACK_S + self._promised_s(moment, life, cut_s)
        self._lives.append(life)

    async def _wait(self, moment: str, start: int) -> str:
        """Wait for the time to cut; return the moment in some more words."""
        draw, machine = self._rng.uniform, self._machine
        if moment == "in an outage":
            await self._service.told(start + round(draw(2, 6) * RATE))
            how = self._rng.choice(("refused", "a black hole", "unplugged"))
            if how == "unplugged":
                await machine.unplug_network()
            else:
                self._network.turn("refuse" if how == "refused" else "hole")
            length_s = draw(1, SYNC_S + 6) + (TO_DISK_S if self._durability == "process" else 0)
            await self._service.told(machine.at + round(length_s * RATE))
            return f"{length_s:.0f} s into an outage ({how})"
        if moment == "while catching up":
            await asyncio.sleep(draw(0.3, 5))
        elif moment == "in mid-speech":
            await self._service.told(start + round(draw(3, 10) * RATE))
        else:
            done = self._answered(time.monotonic())
            await until(lambda: self._answered(time.monotonic()) != done, "an answer")
            await asyncio.sleep(draw(0, SYNC_S))
        return moment

    def _answered(self, until_s: float) -> set[str]:
        said = (account.sent for account in self._server.connection_logs)
        return set().union(*(answered(each, until_s) for each in said))

    def _promised_s(self, moment: str, life: Life, cut_s: float) -> float:
        """Return how much may be lost, as docs/reliability.md has it."""
        if self._durability == "power":
            return SYNC_S
        if moment == "in an outage":
            return TO_DISK_S + SYNC_S
        done = self._answered(cut_s - WRITING_S)
        open_ = [word.end for heard in life.heard for word in inside(self._script, heard) if word.text not in done]
        return (self._machine.at - min(open_)) / RATE if open_ else 0.0

    async def _end(self) -> Balance:
        """The last life: some more speech, and all that waits is transcribed."""
        machine, service, life = self._machine, self._service, Life("", [])
        await machine.boot(CARD)
        await service.says("capturing")
        life.capture_s = service.capture_s
        before, start = len(machine.heard), machine.at + round(SKIPPED_S * RATE)
        end = start + round(LAST_S * RATE)
        await service.talk(start, end)
        await service.told(end)
        life.heard = machine.heard[before:]
        command = ("/opt/edged/bin/edged", "spool", "status")
        await machine.until(lambda: machine.prints(NOTHING_WAITS, *command), "the end of the backlog", CATCH_UP_S)
        await machine.run("systemctl", "stop", "edged")
        return balance(self._script, [*self._lives, life], await service.records(), within_s=TIMES_WITHIN_S)
