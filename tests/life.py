"""A process's books for tests, with a real spool, real sinks, and pictures of both: what a kill leaves."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

from edged.capture.timeline import Timeline
from edged.config.settings import FileSinkSettings, Settings, SpoolSettings, TranscriptsSettings
from edged.daemon.persistence import Persistence
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import Block
from edged.model.record import Record, decode
from edged.model.utterance import PlacedWord, Utterance
from edged.stream.events import BacklogRange
from edged.stream.pending_audio import PendingAudio
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.compose import place
from edged.transcripts.delivery import Delivery
from edged.transcripts.sinks.base import Sink
from edged.transcripts.sinks.file import FileSink
from tests.patience import PATIENCE_S

RATE = 16_000
AT_S = 1000.0
"""Boot time of a run's first sample, in times of day that nobody else has."""

Backlog = tuple[str, int, tuple[BacklogRange, ...]]


class Life:
    """One process's books, below a directory of its own."""

    def __init__(
        self,
        base: Path,
        run: str,
        loop: asyncio.AbstractEventLoop,
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
        self.delivery = Delivery(sinks, 100, lambda event: self.books.delivered(event))
        self.timeline, self.account = Timeline(RATE), PendingAudio()
        self.backlog: list[Backlog] = []
        self.evicted: list[tuple[object, ...]] = []
        """Run, start and end of what the spool let go."""
        self.lost_s = 0.0
        """How much of that nobody has."""
        self.books = Persistence(
            self.settings,
            run,
            self.timeline,
            self.delivery,
            loop.call_soon_threadsafe,
            lambda *backlog: self.backlog.append(backlog),
            self._forget,
            self.account,
        )

    def _forget(self, *evicted: object) -> float:
        self.evicted.append(evicted)
        return self.lost_s

    @property
    def records(self) -> list[Record]:
        """What the file holds."""
        return records(self.base)

    def hear(self, start: int, end: int, pcm: bytes | None = None, *, over: bool = True) -> None:
        """A segment that the gate let through."""
        anchor_s = self.timeline.observe(start, end - start, AT_S + start / RATE)
        pcm = pcm or bytes(2 * (end - start))
        for at in range(start, end, 1600):
            part = pcm[2 * (at - start) : 2 * (min(at + 1600, end) - start)]
            if at == start:
                self.books.let(SegmentOpened(start))
            self.books.let(SegmentAudio(at, part, ((at, at + len(part) // 2),)))
            self.books.captured(Block(at, part, AT_S + at / RATE), anchor_s if at == start else None, let_to=end)
        if over:
            self.books.let(SegmentClosed(end))

    def utter(self, start: int, end: int, text: str = "ah", run: str | None = None) -> None:
        """A lane has a record of these."""
        word = PlacedWord(start + 100, end - 100, text, text, 0.9, None)
        self.books.effect(run or self.run, UtteranceReady(Utterance(start, end, (word,), "request", False)))

    async def waiting(self, run: str | None = None) -> list[tuple[int, int]]:
        """What the spool has of a run; all that was told before is stored by then."""
        pieces = await self.books.load(run or self.run, 0, 1 << 40)
        return [(at, at + len(pcm) // 2) for at, pcm in pieces]

    async def written(self, count: int) -> list[Record]:
        """When the file has so many records."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.records) < count:  # noqa: ASYNC110  the file has no event
                await asyncio.sleep(0.005)
        return self.records

    async def picture(self, to: Path) -> Path:
        """What a kill at this instant leaves."""
        if self.settings.spool.enabled:
            await self.waiting()
        await asyncio.to_thread(shutil.copytree, self.base, to)
        return to


Body = Callable[[Life], Coroutine[Any, Any, None]]


def live(base: Path, body: Body, run: str = "run-1", *, delivers: bool = True, **options: Any) -> None:
    """A process that opens its books, does this, and ends in order."""

    async def main() -> None:
        one = Life(base, run, asyncio.get_running_loop(), **options)
        await one.books.open()
        try:
            if delivers:
                one.delivery.start()
            await asyncio.wait_for(body(one), PATIENCE_S)
        finally:
            await one.books.flush(5)
            await one.delivery.close(5)
            await one.books.close(5)

    asyncio.run(main())


def records(base: Path) -> list[Record]:
    """What the file sink has."""
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
    """What the process leaves that is killed when it has done this."""
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
            life.books.captured(Block(at, pcm, AT_S + at / RATE), anchor_s if at == 0 else None, let_to=0)

    return before
