"""Spools for tests: their parts without the thread, so that a test decides when each step happens."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from edged.config.settings import SpoolSettings as Settings
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.ranges import Range, Ranges
from edged.model.record import Record, encode
from edged.service.clock import boottime_s
from edged.spool.audio_table import StoredSegment
from edged.spool.capture_time import Anchor, Boot
from edged.spool.commands import BeginRun, Command, CommitRecord, LoadAudio, PutAnchor, PutAudio, PutBoot, PutSegment
from edged.spool.database_health import DatabaseHealth
from edged.spool.directories import SpoolPaths
from edged.spool.model import RecoveredState, RunInfo, SpoolEvent
from edged.spool.outbox_table import OutboxEntry
from edged.spool.spool import Spool
from edged.spool.worker import SpoolWorker
from tests.transcripts.some import record

EventType = TypeVar("EventType")

RATE = 16_000
BOOT = Boot("boot-1", 1_700_000_000.0, True)
SINKS = ("file", "journal")


def pcm(start: int, end: int, seed: int = 0) -> bytes:
    """The audio of these positions: each sample tells where it belongs."""
    return b"".join(((position * 40_503 + seed) & 0xFFFF).to_bytes(2, "little") for position in range(start, end))


def noise(samples: int, seed: int = 0) -> bytes:
    """Audio that nothing else contains."""
    return random.Random(seed).randbytes(samples * BYTES_PER_SAMPLE)


def run_of(name: str = "run-1", boot_id: str = BOOT.boot_id, started_s: float = 0.0) -> RunInfo:
    return RunInfo(name, boot_id, RATE, 0, "plughw:CARD=Device", started_s)


def settings(base: Path, **changes: Any) -> Settings:
    """A spool below `base`."""
    values: dict[str, Any] = {"directory": str(base / "disk"), "runtime_directory": str(base / "runtime")}
    return Settings(**values | changes)


def answer(number: int, start: int, end: int, run: str = "run-1") -> Record:
    """A record of this range."""
    return record(number, run=run, from_=start, to=end)


def segment(start: int, end: int | None = None, chain: int | None = None, run: str = "run-1") -> PutSegment:
    return PutSegment(StoredSegment(run, start, end, start if chain is None else chain, False))


def audio(start: int, end: int, voiced: tuple[Range, ...] = (), run: str = "run-1") -> PutAudio:
    return PutAudio(run, start, pcm(start, end), voiced)


def commit(what: Record, sinks: tuple[str, ...] = SINKS, committed_s: float = -1.0) -> CommitRecord:
    text, names = encode(what).decode(), ",".join(sinks)
    return CommitRecord(
        what, OutboxEntry(what.id, what.run, what.from_, what.to, text, names, BOOT.boot_id, committed_s, False)
    )


class Bench:
    """A spool without its thread: tests call its health, worker and maintenance step by step."""

    def __init__(self, base: Path, *, this_boot: Boot = BOOT, sinks: tuple[str, ...] = SINKS, **changes: Any) -> None:
        self.settings = settings(base, **changes)
        self.events: list[SpoolEvent] = []
        self.now_s = boottime_s()
        self.health = DatabaseHealth(SpoolPaths.of(self.settings), sinks, self.events.append, lambda: self.now_s)
        self.recovered: RecoveredState = self.health.start(lambda: this_boot)
        self.worker = SpoolWorker(self.settings, self.health, self.events.append)
        self.tiers = self.health.tiers

    def begin(self, run: RunInfo | None = None) -> None:
        run = run or run_of()
        self.do(BeginRun(run), PutBoot(BOOT), PutAnchor(run.run, Anchor(0, run.started_s)))

    def do(self, *commands: Command) -> list[SpoolEvent]:
        """Process these commands in one transaction and return the events. Undated records are committed now."""
        before = len(self.events)
        self.worker.process([self._timed(command) for command in commands], self.now_s)
        return self.events[before:]

    def run_maintenance(self, later_s: float = 100.0) -> None:
        """Run the maintenance that becomes due within `later_s`, each task at its time."""
        until_s = self.now_s + later_s
        while (due_s := self.worker.maintenance.due_s) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            self.worker.maintenance.run_due(self.now_s)
        self.now_s = until_s

    def _timed(self, command: Command) -> Command:
        if isinstance(command, CommitRecord) and command.entry.committed_s < 0:
            return replace(command, entry=command.entry._replace(committed_s=self.now_s))
        return command

    def speak(self, start: int, end: int, run: str = "run-1", *, maintenance_s: float = 0.0) -> None:
        """Store audio in blocks of 100 ms, with the maintenance that is due after each."""
        for at in range(start, end, 1600):
            self.do(audio(at, min(at + 1600, end), run=run))
            if maintenance_s:
                self.run_maintenance(maintenance_s)

    def events_of(self, kind: type[EventType]) -> list[EventType]:
        """Return all events of a type so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def move(self) -> None:
        """Move everything to disk, as at a stop."""
        self.worker.maintenance.move_all(self.now_s + 60)

    def load(self, start: int = 0, end: int = 1 << 40, run: str = "run-1") -> list[tuple[int, bytes]]:
        told: list[list[tuple[int, bytes]] | Exception] = []
        self.do(LoadAudio(run, start, end, told.append))
        [answer] = told
        if isinstance(answer, Exception):
            raise answer
        return answer

    def waiting(self, run: str = "run-1") -> Ranges:
        """Return the stored positions, and check their audio."""
        ranges = Ranges()
        for position, data in self.load(run=run):
            end = position + len(data) // BYTES_PER_SAMPLE
            assert data == pcm(position, end)
            assert not ranges.overlaps(position, end)
            ranges.add(position, end)
        return ranges

    def close(self) -> None:
        """Close it as a process that ends abruptly."""
        self.health.close()


def with_spool(
    base: Path, body: Callable[[Spool, list[SpoolEvent], RecoveredState], Coroutine[Any, Any, None]], **changes: Any
) -> None:
    """Run `body` with an open spool, in an event loop, and stop it."""

    async def main() -> None:
        events: list[SpoolEvent] = []
        spool = Spool(settings(base, **changes), asyncio.get_running_loop().call_soon_threadsafe, events.append)
        recovered = await asyncio.to_thread(spool.open, SINKS, BOOT.wall_offset_s, synchronized=True)
        try:
            await body(spool, events, recovered)
        finally:
            assert await spool.stop(10)

    asyncio.run(main())
