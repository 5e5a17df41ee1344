"""The books of a run, with a real spool, real sinks, and pictures of both: what a kill at that instant leaves."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edged import books as module
from edged.audio import Block
from edged.books import Books
from edged.errors import EdgedError
from edged.gate.gate import Close, Open
from edged.gate.intake import Audio
from edged.ranges import Ranges
from edged.recognizer.compose import place
from edged.service.clock import boottime_s, timestamp, wall_offset_s
from edged.settings import File, Settings, Spool, Transcripts
from edged.spool import files, items
from edged.spool.spool import Spool as RealSpool
from edged.stream.account import Account, Released
from edged.stream.effects import Evicted, Handed, SetAside
from edged.stream.scribe import Uttered
from edged.stream.session import Noted
from edged.stream.timeline import Timeline
from edged.transcripts.delivery import Delivery
from edged.transcripts.jsonl import JsonLines
from edged.transcripts.record import Record, decode, encode
from edged.transcripts.utterance import Spoken, Utterance

RATE = 16_000
AT_S = 1000.0
"""Boot time of a run's first sample, in times of day that nobody else has."""

Backlog = tuple[str, int, tuple[Handed, ...]]


class Life:
    """One process's books, below a directory of its own."""

    def __init__(self, base: Path, run: str, loop: asyncio.AbstractEventLoop, *, enabled: bool = True) -> None:
        self.base, self.run = base, run
        self.settings = Settings(
            spool=Spool(enabled=enabled, directory=str(base / "disk"), runtime_directory=str(base / "runtime")),
            transcripts=Transcripts(sinks=["file"], file=File(path=str(base / "records.jsonl"))),
        )
        self.sink: JsonLines = JsonLines(self.settings.transcripts.file)
        self.delivery = Delivery({"file": self.sink}, 100, lambda event: self.books.delivered(event))
        self.timeline, self.account = Timeline(RATE), Account()
        self.backlog: list[Backlog] = []
        self.books = Books(
            self.settings,
            run,
            self.timeline,
            self.delivery,
            loop.call_soon_threadsafe,
            lambda *backlog: self.backlog.append(backlog),
            self.account,
        )

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
                self.books.captured(Block(at, part, AT_S + at / RATE), anchor_s, let_to=end)
                self.books.let(Open(start))
            self.books.let(Audio(at, part, ((at, at + len(part) // 2),)))
        if over:
            self.books.let(Close(end))

    def utter(self, start: int, end: int, text: str = "ah", run: str | None = None) -> None:
        """A lane has a record of these."""
        word = Spoken(start + 100, end - 100, text, text, 0.9, None)
        self.books.effect(run or self.run, Uttered(Utterance(start, end, (word,), "request", False)))

    async def waiting(self, run: str | None = None) -> list[tuple[int, int]]:
        """What the spool has of a run; all that was told before is stored by then."""
        pieces = await self.books.load(run or self.run, 0, 1 << 40)
        return [(at, at + len(pcm) // 2) for at, pcm in pieces]

    async def written(self, count: int) -> list[Record]:
        """When the file has so many records."""
        async with asyncio.timeout(10):
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
            await asyncio.wait_for(body(one), 20)
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


# -- words ------------------------------------------------------------------------------------------------------------


def test_a_record_is_in_the_spool_before_any_sink_sees_it(tmp_path: Path) -> None:
    """And its audio is not, any more: the two are one transaction."""
    seen: list[bool] = []

    class Looking(JsonLines):
        def deliver(self, records: Sequence[Record]) -> None:
            known = outbox(tmp_path)
            seen.extend(record.id in known for record in records)
            super().deliver(records)

    async def body(life: Life) -> None:
        life.hear(0, 16_000)
        life.utter(0, 8000)
        life.utter(8000, 16_000)
        await life.written(2)
        assert await life.waiting() == []

    def looking(one: Life) -> Coroutine[Any, Any, None]:
        one.sink.__class__ = Looking
        return body(one)

    live(tmp_path, looking)
    assert seen == [True, True]
    assert set(outbox(tmp_path).values()) == {True}


def test_a_record_tells_when_and_where_its_words_were_said(tmp_path: Path) -> None:
    async def body(life: Life) -> None:
        life.books.device = "plughw:CARD=A"
        life.hear(16_000, 32_000)
        life.utter(16_000, 32_000)
        (record,) = await life.written(1)
        assert record.start == timestamp(AT_S + 1 + 100 / RATE + wall_offset_s())
        assert (record.run, record.from_, record.to, record.device) == ("run-1", 16_000, 32_000, "plughw:CARD=A")
        assert (life.books.counts.utterances, life.books.counts.words) == (1, 1)

    live(tmp_path, body)


def test_what_is_settled_as_silence_or_evicted_waits_no_longer(tmp_path: Path) -> None:
    """What is handed over goes on waiting: another lane has it. What is recorded goes with its record."""

    async def body(life: Life) -> None:
        life.hear(0, 16_000)
        for start, fate in ((0, "silence"), (1600, "evicted"), (3200, "handed over"), (4800, "recorded")):
            life.books.effect("run-1", Released(start, start + 1600, fate))  # type: ignore[arg-type]
        assert await life.waiting() == [(at, at + 1600) for at in range(3200, 16_000, 1600)]

    live(tmp_path, body)


def test_what_a_lane_drops_or_meets_is_counted_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "edged")

    async def body(life: Life) -> None:
        for _ in range(2):
            life.books.effect("run-1", Evicted(RATE // 2))
            life.books.effect("run-1", Noted("odd things"))
        life.books.effect("run-1", SetAside(RATE))
        assert life.books.counts.evicted_s == 1

    live(tmp_path, body)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert sum("more speech waits than replay.max_s = 120 allows" in text for text in warnings) == 1
    assert sum("1.0 s of audio ended three connections" in text for text in warnings) == 1
    assert caplog.text.count("the server sent odd things; ignored") == 1


def test_at_the_end_the_sinks_get_even_what_can_not_be_stored(tmp_path: Path) -> None:
    """Somebody holds the database, as a card that stalls would: the last record is not lost for that."""

    async def body(life: Life) -> None:
        life.hear(0, 16_000)
        await life.waiting()
        holder = sqlite3.connect(tmp_path / "runtime" / "spool.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        life.utter(0, 16_000)
        await life.books.flush(0.05)
        counts = life.delivery.counts()["file"]
        assert counts.pending + counts.delivered == 1
        assert [record.to for record in await life.written(1)] == [16_000]
        holder.execute("ROLLBACK")
        holder.close()

    live(tmp_path, body)


# -- without a spool --------------------------------------------------------------------------------------------------


def test_without_a_spool_records_go_to_the_sinks_and_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    async def body(life: Life) -> None:
        life.hear(0, 16_000)
        life.utter(0, 16_000)
        life.books.effect("run-1", Released(0, 100, "silence"))
        life.books.tick()
        assert not life.books.keeps_backlog
        await life.written(1)
        with pytest.raises(RuntimeError):
            await life.books.load("run-1", 0, 1)

    live(tmp_path, body, enabled=False)
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


# -- after a kill -----------------------------------------------------------------------------------------------------


def after_a_kill(tmp_path: Path, before: Body, *, delivers: bool = True) -> Path:
    """What the process leaves that is killed when it has done this."""
    taken: list[Path] = []

    async def body(life: Life) -> None:
        await before(life)
        taken.append(await life.picture(tmp_path / "left"))

    live(tmp_path / "first", body, delivers=delivers)
    return taken[0]


async def nothing(_: Life) -> None:
    """Begin, and end."""


def test_a_record_that_no_sink_has_is_delivered_word_for_word_once(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        life.hear(0, 16_000)
        life.utter(0, 16_000)

    left = after_a_kill(tmp_path, before, delivers=False)
    (id_,) = outbox(left)
    live(left, nothing, "run-2")
    (record,) = records(left)
    assert (record.id, record.run, record.text) == (id_, "run-1", "ah")
    live(left, nothing, "run-3")
    assert len(records(left)) == 1
    assert outbox(left) == {id_: True}


def test_a_record_that_the_file_has_already_is_not_delivered_again(tmp_path: Path) -> None:
    """The kill came between the writing and the mark."""

    async def before(life: Life) -> None:
        life.hear(0, 32_000)
        life.utter(0, 16_000)
        life.utter(16_000, 32_000, "oh")

    left = after_a_kill(tmp_path, before, delivers=False)
    one, two = sorted(outbox(left))
    with closing(sqlite3.connect(left / "runtime" / "spool.db")) as database:
        ((text,),) = database.execute("SELECT record FROM outbox WHERE id = ?", (one,))
    (left / "records.jsonl").write_bytes(encode(decode(text)) + b"\n")
    live(left, nothing, "run-2")
    assert [record.id for record in records(left)] == [one, two]
    assert outbox(left) == {one: True, two: True}


def test_what_waits_of_an_earlier_run_is_handed_to_backfill_and_dated_right(tmp_path: Path) -> None:
    """By segments, with what was heard as voice in them."""

    async def before(life: Life) -> None:
        life.hear(0, 16_000)
        life.hear(160_000, 176_000, over=False)
        life.utter(0, 8000)
        await life.written(1)

    left = after_a_kill(tmp_path, before)

    async def after(life: Life) -> None:
        ((run, rate, stretches),) = life.backlog
        assert (run, rate) == ("run-1", RATE)
        assert [(start, end) for start, end, _ in stretches] == [(8000, 16_000), (160_000, 176_000)]
        assert all(voiced for _, _, voiced in stretches)
        assert sum(len(pcm) // 2 for _, pcm in await life.books.load("run-1", 8000, 176_000)) == 24_000
        life.utter(160_000, 176_000, "oh", run="run-1")
        record = (await life.written(2))[1]
        assert record.start == timestamp(AT_S + 10 + 100 / RATE + wall_offset_s())
        assert record.run == "run-1"
        assert record.delayed_s == pytest.approx(max(0.0, boottime_s() - AT_S - 11), abs=5)
        assert record.id not in {each.id for each in life.records[:1]}
        assert Ranges(await life.waiting("run-1")) == Ranges([(8000, 16_000)])

    live(left, after, "run-2")


def test_in_another_boot_it_is_dated_by_the_clock_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says whether that one was set; how late it is, is told across the two."""
    monkeypatch.setattr(module, "Synchronization", lambda: lambda: "synchronized")
    monkeypatch.setattr(module, "wall_offset_s", lambda: 1_700_000_000.0)
    monkeypatch.setattr(files, "boot_id", lambda: "boot-1")

    async def before(life: Life) -> None:
        life.books.tick()
        life.hear(0, 16_000)

    left = after_a_kill(tmp_path, before)
    now_s = boottime_s()
    monkeypatch.setattr(module, "Synchronization", lambda: lambda: "unsynchronized")
    monkeypatch.setattr(module, "wall_offset_s", lambda: 1_700_086_400.0)
    monkeypatch.setattr(files, "boot_id", lambda: "boot-2")

    async def after(life: Life) -> None:
        assert len(life.backlog) == 1
        life.utter(0, 16_000, run="run-1")
        (record,) = await life.written(1)
        assert record.start == timestamp(AT_S + 100 / RATE + 1_700_000_000)
        assert record.clock == "synchronized"
        assert record.delayed_s == pytest.approx(max(0.0, now_s + 86_400 - AT_S - 1), abs=5)

    live(left, after, "run-2")


def test_pieces_of_one_long_segment_are_one_stretch(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        life.hear(0, 16_000, over=False)
        life.books.let(Close(16_000, continues=True))
        life.books.let(Open(16_000))
        life.books.let(Audio(16_000, bytes(3200), ()))
        life.books.let(Close(17_600))

    left = after_a_kill(tmp_path, before)

    async def after(life: Life) -> None:
        ((_, _, stretches),) = life.backlog
        assert [(start, end) for start, end, _ in stretches] == [(0, 17_600)]

    live(left, after, "run-2")


SPOKEN = place([("one", 0.54, 0.9)], 1.4)


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


def test_a_voice_that_the_gate_had_not_decided_on_is_let_through(tmp_path: Path) -> None:
    """The kill came while a word began: what there is of it waits, from before its beginning, in its run."""
    left = after_a_kill(tmp_path, undecided(words=True))

    async def after(life: Life) -> None:
        ((run, rate, stretches),) = life.backlog
        assert (run, rate) == ("run-1", RATE)
        ((start, end, voiced),) = stretches
        assert start < SPOKEN.words[0].start < 9600 <= end
        assert voiced
        pieces = await life.books.load("run-1", 0, end)
        assert b"".join(pcm for _, pcm in pieces) == SPOKEN.pcm[2 * start : 2 * end]
        life.utter(SPOKEN.words[0].start, SPOKEN.words[0].end, "one", run="run-1")
        (record,) = await life.written(1)
        assert record.start == timestamp(AT_S + 0.54 + 100 / RATE + wall_offset_s())
        assert record.run == "run-1"

    live(left, after, "run-2")


def test_noise_that_the_gate_had_not_decided_on_is_not(tmp_path: Path) -> None:
    left = after_a_kill(tmp_path, undecided(words=False))

    async def after(life: Life) -> None:
        assert life.backlog == []

    live(left, after, "run-2")


def test_what_was_let_through_is_not_taken_from_the_ring_again(tmp_path: Path) -> None:
    """It is in the spool, or answered."""

    async def before(life: Life) -> None:
        life.hear(0, 12_800, SPOKEN.pcm[:25_600])
        for at in range(1600, 12_800, 1600):
            life.books.captured(Block(at, SPOKEN.pcm[2 * at : 2 * at + 3200], AT_S + at / RATE), None, let_to=12_800)
        life.utter(0, 12_800)
        await life.written(1)

    left = after_a_kill(tmp_path, before)

    async def after(life: Life) -> None:
        assert life.backlog == []

    live(left, after, "run-2")


def test_after_an_end_in_order_no_ring_is_left(tmp_path: Path) -> None:
    live(tmp_path, undecided(words=True))
    assert not (tmp_path / "runtime" / "ring").exists()


# -- when it can't be stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["runtime", "disk"])
def test_while_a_database_fails_lanes_keep_their_backlog(tmp_path: Path, where: items.Where) -> None:
    """Both are needed: what is handed over may lie in either."""

    async def body(life: Life) -> None:
        tell, kept = life.books._on_spool, [life.books.keeps_backlog]
        for event in (items.Failing(where, "disk I/O error"), items.Failing(where, "again"), items.Working(where)):
            tell(event)
            kept.append(life.books.keeps_backlog)
        assert kept == [True, False, False, True]

    live(tmp_path, body)


def test_what_could_not_be_stored_is_given_again_as_far_as_it_waits(tmp_path: Path) -> None:
    """From the lane's memory, in its place; nothing of another run, and nothing that was answered meanwhile."""

    async def body(life: Life) -> None:
        life.account.open(0)
        for at in range(0, 16_000, 1600):
            life.account.append(at, bytes([at // 1600]) * 3200)
        life.account.release(4800, 6400, "recorded")
        life.books.let(Open(0))
        life.books._on_spool(items.Wanted("run-1", ((1600, 3200), (4000, 8000))))
        life.books._on_spool(items.Wanted("run-0", ((8000, 16_000),)))
        pieces = await life.books.load("run-1", 0, 16_000)
        heard = {at + n: pcm[2 * n] for at, pcm in pieces for n in range(0, len(pcm) // 2, 400)}
        assert all(value == position // 1600 for position, value in heard.items())
        assert {1600, 4000, 6400, 7600} <= heard.keys()
        assert not any(position < 1600 or 3200 <= position < 4000 or 4800 <= position < 6400 for position in heard)

    live(tmp_path, body)


def test_a_backlog_that_can_not_be_read_now_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so at debug level only: the spool has told of its outage."""
    load, failures = RealSpool.load, [EdgedError("not now")]

    async def flaky(self: RealSpool, *arguments: Any) -> list[tuple[int, bytes]]:
        if failures:
            raise failures.pop()
        return await load(self, *arguments)

    async def body(life: Life) -> None:
        life.hear(0, 3200)
        assert await life.waiting() == [(0, 1600), (1600, 3200)]
        assert life.books.keeps_backlog

    monkeypatch.setattr(RealSpool, "load", flaky)
    monkeypatch.setattr(asyncio, "sleep", lambda _, sleep=asyncio.sleep: sleep(0))
    live(tmp_path, body)
