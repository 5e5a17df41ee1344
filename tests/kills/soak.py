"""All faults at once, for minutes or hours: what happens is drawn by seed, and in the end every word is asked for."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edged.recognizer.handshake import PATH
from edged.recognizer.perturbations import Perturbations
from edged.service.clock import State
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from tests.kills.campaign import MOST_S, end, talk
from tests.kills.ear import Verdict
from tests.kills.evidence import Evidence
from tests.kills.instance import Instance
from tests.kills.machine import Machine, turn
from tests.kills.network import Network, Weather

MOST_MINUTES = MOST_S / 60

SAMPLE_S = 1.0
"""Interval between two samples of memory and file descriptors."""

TMPFS_MB = 24
"""Size of each directory that may become full: many times what a spool takes here."""

HISTORY = 20_000
"""Messages of one connection that are remembered: half an hour's."""

CALM_S = 4.0
"""A first start without faults, to compare with."""


ONE_LIFE = 1 / 3
"""Part of the time, at its end, in which no kill comes, so that growth with age shows."""

DAY_S = 86_400.0
STATES: tuple[State, ...] = ("synchronized", "unsynchronized")


class Sample(NamedTuple):
    """Resources of a process at one time."""

    at_s: float
    start: int
    """The number of the process in the run, counted from 1."""
    rss_kb: int
    descriptors: int
    threads: int


@dataclass
class Report:
    """The outcome of a soak."""

    seconds: float
    faults: Counter[str]
    starts: int
    verdict: Verdict
    in_logs: list[str]
    samples: list[Sample]
    without: list[str] = field(default_factory=list)
    """Kinds of fault that this machine can't do."""

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, nothing in a log that must not be there."""
        return self.verdict.good and not self.in_logs

    def __str__(self) -> str:
        """Describe the outcome for people."""
        lines = [f"{self.seconds:.0f} s, {self.faults.total()} faults, {self.starts} starts"]
        lines += [f"  {count:4} {name}" for name, count in sorted(self.faults.items())]
        lines += [f"  not done: {text}" for text in self.without]
        if self.samples:
            last = [sample for sample in self.samples if sample.start == self.samples[-1].start]
            lines.append(
                f"memory at most {max(s.rss_kb for s in self.samples) / 1024:.1f} MB, file descriptors at most"
                f" {max(s.descriptors for s in self.samples)}, threads at most {max(s.threads for s in self.samples)};"
                f" in the last process {last[0].descriptors} at first, {last[-1].descriptors} in the end"
            )
        return "\n".join([*lines, str(self.verdict), *self.in_logs])


@dataclass
class Soak:
    """One soak run. The same seed gives the same plan for each kind of fault (not the same moments)."""

    directory: Path
    minutes: float
    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    _wrong_s: set[float] = field(default_factory=set)
    """Errors of the clock so far, in seconds."""

    _machine: Machine = field(default_factory=Machine)

    async def run(self) -> Report:
        """All of it; takes a minute longer than the recording."""
        begun_s = self._begun_s = time.monotonic()
        script = await asyncio.to_thread(talk, self.minutes * 60, self.seed)
        self._diary = (self.directory / "faults").open("w", buffering=1)
        evidence = Evidence(script, self.directory)
        without: list[str] = []
        with self._diary, ExitStack() as stack:
            for name in ("out", "spool", "runtime"):
                if not stack.enter_context(small_disk(self.directory / name)):
                    without.append(f"a full {name} (mounting needs root)")
            async with (
                InstrumentedServer(
                    evidence, perturbations=Perturbations.all(), seed=self.seed, history=HISTORY
                ) as server,
                Network(server.port) as network,
                Instance(
                    self.directory,
                    script,
                    f"ws://127.0.0.1:{network.port}{PATH}",
                    {"spool.to_disk_s": 5, "spool.runtime_max_mb": TMPFS_MB // 2, "reconnect.max_s": 2},
                ) as instance,
            ):
                self._server, self._network, self._instance = server, network, instance
                self._process = asyncio.Lock()
                self._turn_machine()
                instance.program = ("tests.kills.machine", str(self.directory / "machine"))
                await instance.start()
                await instance.says("capturing")
                await asyncio.sleep(CALM_S)
                troubles: list[Callable[[random.Random], Awaitable[None]]] = [
                    self._bad_network,
                    self._bad_server,
                    self._bad_microphone,
                    self._bad_process,
                    self._bad_clock,
                    self._slow_card,
                ]
                if not without:
                    troubles.append(self._bad_disk)
                tasks = [asyncio.create_task(self._message_id(i, message_id)) for i, message_id in enumerate(troubles)]
                watch = asyncio.create_task(self._watch())
                try:
                    done, _ = await asyncio.wait(
                        [*tasks, watch], timeout=max(0.0, instance.left_s - 5), return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        task.result()  # none ends by itself, but by a failure
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                await self._calm()
                await asyncio.sleep(max(0.0, instance.left_s))
                await end(instance)
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                evidence.keep(server, instance.ear.heard)
                verdict, in_logs = instance.verdict(self._wrong_s), instance.faults_in_logs()
        return Report(time.monotonic() - begun_s, self.faults, instance.starts, verdict, in_logs, self.samples, without)

    async def _calm(self) -> None:
        """The end of all faults, whichever were going on."""
        self._network.turn("fine")
        self._instance.microphone.resume()
        self._turn_machine(stalls=False)
        for name in ("out", "spool", "runtime"):
            (self.directory / name / "filler").unlink(missing_ok=True)
        if self._instance.running:
            self._instance.process.send_signal(signal.SIGCONT)
            if self._instance.stopping:
                await self._instance.ended()
        if not self._instance.running:
            await self._instance.start()

    async def _message_id(self, number: int, message_id: Callable[[random.Random], Awaitable[None]]) -> None:
        rng = random.Random(f"{self.seed}/{number}")
        while True:
            await asyncio.sleep(rng.uniform(3, 15))
            await message_id(rng)

    def _note(self, fault: str) -> None:
        self.faults[fault] += 1
        room_s = self._instance.at / self._instance.script.rate
        self._diary.write(f"{time.strftime('%H:%M:%S')} {room_s:8.2f} {fault}\n")

    # -- what may happen ----------------------------------------------------------------------------------------------

    async def _bad_network(self, rng: random.Random) -> None:
        weather: Weather = rng.choice(("reset", "reset", "refuse", "hole", "slow"))
        self._note(f"network: {weather}")
        self._network.turn(weather)
        await asyncio.sleep(rng.choice((rng.uniform(0.2, 5), rng.uniform(5, 25))))
        self._network.turn("fine")

    async def _bad_server(self, rng: random.Random) -> None:
        fault = rng.choice(
            (
                Fault(FaultKind.CLOSE, code=1000),
                Fault(FaultKind.CLOSE, code=1008, reason="DATA-0000"),
                Fault(FaultKind.CLOSE, code=1011, reason="NET-0001"),
                Fault(FaultKind.CLOSE, code=1012),
                Fault(FaultKind.CLOSE, code=4999),
                Fault(FaultKind.RESET),
                Fault(FaultKind.BLACK_HOLE),
                Fault(FaultKind.STALL, variant="forever"),
                Fault(FaultKind.STALL, variant="until_close"),
                Fault(FaultKind.GARBAGE),
                Fault(FaultKind.SLOW, rate=0.7),
                Fault(FaultKind.REFUSE, status=429, times=2),
                Fault(FaultKind.REFUSE, status=503, times=3),
                Fault(FaultKind.REFUSE, status=401),
                Fault(FaultKind.PORTAL, variant="html"),
                Fault(FaultKind.HANG),
            )
        )
        what = {FaultKind.CLOSE: f" {fault.code}", FaultKind.REFUSE: f" {fault.status}"}.get(fault.kind, "")
        self._note(f"server: {fault.kind.value}{what}")
        self._server.inject(fault)

    async def _bad_microphone(self, rng: random.Random) -> None:
        microphone = self._instance.microphone
        fault = rng.choice(("unplug", "hold_open", "fail_reads", "stall", "overrun"))
        self._note(f"microphone: {fault}")
        if fault == "hold_open":  # it was pulled out, and somebody else takes it first
            microphone.unplug()
            await asyncio.sleep(0.5)
        getattr(microphone, fault)()
        if fault != "overrun":
            await asyncio.sleep(rng.uniform(0.3, 4))
            microphone.resume()

    async def _bad_disk(self, rng: random.Random) -> None:
        """One is full. A process that dies while the spool can't be written loses what it has; so it does not die."""
        name = rng.choice(("out", "spool", "runtime"))
        async with self._process:
            self._note(f"disk: {name} is full")
            filler = self.directory / name / "filler"
            await asyncio.to_thread(_fill, filler)
            await asyncio.sleep(rng.uniform(1, 6))
            filler.unlink()
            await self._instance.until(self._stores, "the spool's recovery", 90)

    def _stores(self) -> bool:
        """The spool is not failing, as far as it has said."""
        state = dict.fromkeys(("spool (runtime)", "spool (disk)"), True)
        for line in self._instance.log.splitlines():
            for name in state:
                if f" {name}: " in line:
                    state[name] = "works again" in line
        return all(state.values())

    async def _bad_process(self, rng: random.Random) -> None:
        deaths = ("SIGKILL", "SIGKILL", "SIGTERM")
        instance = self._instance
        left = instance.left_s / (self.minutes * 60)
        fault = rng.choice(("SIGSTOP", "SIGHUP", *(deaths if left > ONE_LIFE else ())))
        async with self._process:
            self._note(f"process: {fault}")
            if fault == "SIGHUP":
                if "capturing" in instance.log:  # before it listens to signals, this one would end it
                    instance.process.send_signal(signal.SIGHUP)
            elif fault == "SIGSTOP":
                instance.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(rng.uniform(0.2, 6))
                instance.process.send_signal(signal.SIGCONT)
            else:
                if fault == "SIGTERM":
                    await instance.stop(120)
                else:
                    await instance.kill()
                await asyncio.sleep(rng.choice((0.0, rng.uniform(0, 3))))
                await instance.start()

    async def _bad_clock(self, rng: random.Random) -> None:
        """Set right or wrong; or it is the one that a machine without a battery clock has until NTP sets it."""
        wrong_s = rng.choice((0.0, rng.uniform(-30, 30), 3600.0, -300 * DAY_S))
        state = rng.choice(STATES)
        self._note(f"clock: {state}")
        self._turn_machine(wrong_s=wrong_s, state=state)

    async def _slow_card(self, rng: random.Random) -> None:
        """Stall the card as one that tidies up: audio of a process that dies meanwhile is in its ring only."""
        self._note("disk: the card stalls")
        self._turn_machine(stalls=True)
        await asyncio.sleep(rng.uniform(0.5, 8))
        self._turn_machine(stalls=False)

    def _turn_machine(self, **changes: Any) -> None:
        self._machine = self._machine._replace(**changes)
        self._wrong_s.add(self._machine.wrong_s)
        turn(self.directory / "machine", self._machine)

    # -- watching -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Looks at a process while it works; what it takes in starting and stopping is no sign of growth."""
        while True:
            instance = self._instance
            works = instance.running and not instance.stopping and "capturing" in instance.log
            if works and (sample := self._look(instance.process.pid)):
                self.samples.append(sample)
            await asyncio.sleep(SAMPLE_S)

    def _look(self, pid: int) -> Sample | None:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            if "VmRSS" in status:
                return Sample(
                    time.monotonic() - self._begun_s,
                    self._instance.starts,
                    int(status["VmRSS"].split()[0]),
                    len(os.listdir(f"/proc/{pid}/fd")),
                    int(status["Threads"]),
                )
        return None


@contextmanager
def small_disk(at: Path) -> Iterator[bool]:
    """A small tmpfs there, if that is permitted."""
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(at)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            kept = {file: file.read_bytes() for file in at.iterdir() if file.is_file() and file.name != "filler"}
            subprocess.run(["umount", "--lazy", str(at)], check=True)
            for file, data in kept.items():
                file.write_bytes(data)


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as out:  # until it is full
        while True:
            out.write(bytes(4096))
