"""A process's persistence for tests: real spool, real sinks, the daemon's routing, and copies of what a kill leaves."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from edged.config.settings import FileSinkSettings, Settings, SpoolSettings, TranscriptsSettings
from edged.daemon import daemon
from edged.daemon.daemon import Daemon
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import Block, SourceOpened
from edged.model.record import Record, decode
from edged.model.utterance import PlacedWord, Utterance
from edged.stream.backfill import AudioMissing
from edged.stream.events import BacklogRange, SenderEvent
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.compose import place
from edged.transcripts.sinks.base import Sink
from edged.transcripts.sinks.file import FileSink
from tests.patience import PATIENCE_S

RATE = 16_000
AT_S = 1000.0
"""Boot time of a run's first sample, in times of day that nobody else has."""

Backlog = tuple[str, int, tuple[BacklogRange, ...]]


class Life:
    """One process below a directory of its own: a daemon without a microphone, a server or backfill."""

    def __init__(
        self,
        base: Path,
        run: str,
        *,
        enabled: bool = True,
        journal: Sink | None = None,
    ) -> None:
        """`journal`: a second sink, that may be no journal."""
        self.base, self.run = base, run
        self.settings = Settings(
            spool=SpoolSettings(enabled=enabled, directory=str(base / "disk"), runtime_directory=str(base / "runtime")),
            transcripts=TranscriptsSettings(
                sinks=["file", "journal"] if journal else ["file"],
                file=FileSinkSettings(path=str(base / "records.jsonl")),
            ),
        )
        self.sink: FileSink = FileSink(self.settings.transcripts.file)
        sinks: dict[str, Sink] = {"file": self.sink, "journal": journal} if journal else {"file": self.sink}
        self.daemon = Daemon(self.settings, None)
        self.daemon.run_id = run
        with patch.object(daemon, "make_sinks", lambda _: sinks):
            self.daemon._wire()
        self.daemon._backfill = self  # type: ignore[assignment]  # what would be transcribed is noted only
        self.delivery, self.persistence = self.daemon._delivery, self.daemon._persistence
        self.timeline, self.pending = self.daemon._timeline, self.daemon._sender.pending
        self.backlog: list[Backlog] = []
        self.evicted: list[tuple[object, ...]] = []
        """Run, start and end of the speech that the spool evicted."""
        self.lost_s = 0.0
        """The part of it that no sender has in memory, in seconds."""

    def add(self, *backlog: Any) -> None:
        """Take the place of `Backfill.add`."""
        self.backlog.append(backlog)

    def forget(self, *evicted: object) -> float:
        """Take the place of `Backfill.forget`."""
        self.evicted.append(evicted)
        return self.lost_s

    def report(self, run: str, event: SenderEvent | AudioMissing) -> None:
        """Have a sender that transcribes a run report an event."""
        self.daemon._on_sender_event(run, event)

    def open_device(self, name: str) -> None:
        """Have the source open a device."""
        self.daemon._on_capture_event(SourceOpened(name, "as asked"))

    async def open(self) -> None:
        """Open the spool, and route what earlier processes left."""
        self.daemon._on_recovery(await self.persistence.open())

    @property
    def records(self) -> list[Record]:
        """Return the records in the file."""
        return records(self.base)

    def hear(self, start: int, end: int, pcm: bytes | None = None, *, over: bool = True) -> None:
        """Have the gate pass a segment."""
        anchor_s = self.timeline.observe(start, end - start, AT_S + start / RATE)
        pcm = pcm or bytes(2 * (end - start))
        for at in range(start, end, 1600):
            part = pcm[2 * (at - start) : 2 * (min(at + 1600, end) - start)]
            if at == start:
                self.persistence.store_segment(SegmentOpened(start))
            self.persistence.store_segment(SegmentAudio(at, part, ((at, at + len(part) // 2),)))
            self.persistence.store_captured(
                Block(at, part, AT_S + at / RATE), anchor_s if at == start else None, passed_to=end
            )
        if over:
            self.persistence.store_segment(SegmentClosed(end))

    def utter(self, start: int, end: int, text: str = "ah", run: str | None = None) -> None:
        """Have a sender report an utterance."""
        word = PlacedWord(start + 100, end - 100, text, text, 0.9, None)
        self.report(run or self.run, UtteranceReady(Utterance(start, end, (word,), "request", False)))

    async def waiting(self, run: str | None = None) -> list[tuple[int, int]]:
        """Return the spool's waiting audio of a run, after all reports until now are stored."""
        pieces = await self.persistence.load(run or self.run, 0, 1 << 40)
        return [(at, at + len(pcm) // 2) for at, pcm in pieces]

    async def written(self, count: int) -> list[Record]:
        """When the file has so many records."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.records) < count:  # noqa: ASYNC110  the file has no event
                await asyncio.sleep(0.005)
        return self.records

    async def picture(self, to: Path) -> Path:
        """Return the files and state that a kill at this instant leaves."""
        if self.settings.spool.enabled:
            await self.waiting()
        await asyncio.to_thread(shutil.copytree, self.base, to)
        return to


Body = Callable[[Life], Coroutine[Any, Any, None]]


def live(base: Path, body: Body, run: str = "run-1", *, delivers: bool = True, **options: Any) -> None:
    """Run a process that opens its spool, does this, and ends in order."""

    async def main() -> None:
        one = Life(base, run, **options)
        await one.open()
        try:
            if delivers:
                one.delivery.start()
            await asyncio.wait_for(body(one), PATIENCE_S)
        finally:
            await one.daemon._records.flush(5)
            await one.delivery.close(5)
            await one.persistence.close(5)

    asyncio.run(main())


def records(base: Path) -> list[Record]:
    """Return the records of the file sink."""
    file = base / "records.jsonl"
    return [decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def outbox(base: Path) -> dict[str, bool]:
    """The ids of the records in both databases, and whether all sinks have them."""
    found: dict[str, bool] = {}
    for directory in ("runtime", "disk"):
        with closing(sqlite3.connect(f"file:{base}/{directory}/spool.db?mode=ro", uri=True)) as database:
            found |= {id_: bool(done) for id_, done in database.execute("SELECT id, done FROM outbox")}
    return found


def after_a_kill(tmp_path: Path, before: Body, *, delivers: bool = True, **options: Any) -> Path:
    """Return what a process leaves that is killed at this point."""
    taken: list[Path] = []

    async def body(life: Life) -> None:
        await before(life)
        taken.append(await life.picture(tmp_path / "left"))

    live(tmp_path / "first", body, delivers=delivers, **options)
    return taken[0]


async def nothing(_: Life) -> None:
    """Begin, and end."""


SPOKEN = place([("one", 0.54, 0.9)], 1.4)
"""A word, in the middle of 1.4 s."""


def undecided(words: bool) -> Body:
    """Captured, and nothing of it was let through yet: the first 60 ms of a word are in it, or none.

    That is too little to open the gate.
    """

    async def before(life: Life) -> None:
        start, end = (0, 9600) if words else (0, 8000)
        anchor_s = life.timeline.observe(0, 1600, AT_S)
        for at in range(start, end, 1600):
            pcm = SPOKEN.pcm[2 * at : 2 * (at + 1600)]
            life.persistence.store_captured(
                Block(at, pcm, AT_S + at / RATE), anchor_s if at == 0 else None, passed_to=0
            )

    return before
