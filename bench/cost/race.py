"""Processes side by side: started, looked at, and ended."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.cost.subjects import ROOT, Subject, command, microphone
from bench.cost.usage import Usage, usage
from edged.testkit.compose import compose, sentences
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory

WARM_UP_S = 12.0
"""From the start: imports, the connection and its priming are counted apart."""
MEMORY = Path("/dev/shm")  # noqa: S108  tmpfs on every Debian
DISK = ROOT / ".cache"


@dataclass
class Run:
    """A process of a subject."""

    subject: Subject
    process: asyncio.subprocess.Process
    directory: Path
    """In memory: `log`, the virtual microphone, edged's runtime directory."""
    disk: Path

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.directory / "log").read_text()

    def usage(self) -> Usage:
        """So far. Raises RuntimeError if it has ended."""
        if self.process.returncode is not None:
            raise RuntimeError(f"{self.subject.name} has ended with {self.process.returncode}:\n{self.log[-2000:]}")
        return usage(self.process.pid)

    async def end(self) -> None:
        """In order if it can, at once otherwise."""
        if self.process.returncode is None:
            self.process.terminate() if self.subject.name.startswith("edged") else self.process.kill()
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@contextmanager
def place() -> Iterator[tuple[Path, Path]]:
    """A directory in memory and one on the disk."""
    DISK.mkdir(exist_ok=True)
    directories = [Path(tempfile.mkdtemp(prefix="cost-", dir=base)) for base in (MEMORY, DISK)]
    try:
        yield directories[0], directories[1]
    finally:
        for directory in directories:
            shutil.rmtree(directory)


async def start(
    subject: Subject, url: str, directory: Path, disk: Path, pcm: bytes, *, after: str = "noise", state: bool = False
) -> Run:
    """Start a subject that hears `pcm`, and `after` that noise, or it all again (`loop`). `state`: tells when."""
    audio = directory / "audio.raw"
    audio.write_bytes(pcm)
    clean = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**clean, **microphone(directory, audio, after=after, state=state)}
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command(subject, url, directory, disk),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            env=environment,
            cwd=directory,
        )
    return Run(subject, process, directory, disk)


class Spent(NamedTuple):
    """Resources that a process used in a scene, after settling."""

    cpu_percent: float
    """CPU use as a share of one core."""
    wakeups_per_s: float
    rss_mb: float
    peak_mb: float
    disk_bytes_per_min: float
    sent_bytes_per_min: float
    received_bytes_per_min: float
    start_cpu_s: float
    """Until it had settled: imports and the first connection."""


def spent(before: Usage, after: Usage) -> Spent:
    """Between two looks."""
    seconds = after.at_s - before.at_s
    return Spent(
        100 * (after.cpu_s - before.cpu_s) / seconds,
        (after.wakeups - before.wakeups) / seconds,
        after.rss_kb / 1024,
        after.peak_kb / 1024,
        (after.disk_bytes - before.disk_bytes) / seconds * 60,
        (after.sent_bytes - before.sent_bytes) / seconds * 60,
        (after.received_bytes - before.received_bytes) / seconds * 60,
        before.cpu_s,
    )


def scenes(seconds: float) -> dict[str, Script]:
    """What is heard, a little longer than is measured."""
    length_s = seconds + 2 * WARM_UP_S
    return {
        # Two words at first, so that there is a script; then the noise of a room.
        "quiet room": compose(sentences(1, 2), lead_s=3, tail_s=5),
        # Two people, 45 % of the time.
        "conversation": compose(sentences(round(length_s / 8), 8), lead_s=3, silence_s=4.3, seed=1),
        # Someone who reads aloud: sentences of 5 s, and half a second between them.
        "continuous speech": compose(sentences(round(length_s / 5.5), 10), lead_s=2, silence_s=0.5, seed=2),
    }


async def race(script: Script, seconds: float, subjects: Sequence[Subject]) -> dict[str, Spent]:
    """All of them at the same time, so that whatever else this machine does strikes each alike."""
    async with InstrumentedServer(ScriptEngineFactory(script), history=1000) as server:
        with place() as (memory, disk):
            runs = []
            try:
                for number, subject in enumerate(subjects):
                    directory, own_disk = memory / str(number), disk / str(number)
                    directory.mkdir()
                    own_disk.mkdir()
                    runs.append(await start(subject, server.url, directory, own_disk, script.pcm))
                await asyncio.sleep(WARM_UP_S)
                before = [run.usage() for run in runs]
                await asyncio.sleep(seconds)
                after = [run.usage() for run in runs]
            finally:
                await asyncio.gather(*(run.end() for run in runs))
            return {run.subject.name: spent(a, b) for run, a, b in zip(runs, before, after, strict=True)}
