"""The books of a run, with a real spool and real sinks; what a next process makes of them is in test_takeover."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from edged.gate.gate import SegmentOpened
from edged.model.errors import EdgedError
from edged.model.ranges import Ranges
from edged.model.record import Record
from edged.service.clock import timestamp, wall_offset_s
from edged.spool import model
from edged.spool.spool import Spool as RealSpool
from edged.stream.backfill import AudioMissing
from edged.stream.events import AudioEvicted, AudioQuarantined
from edged.stream.pending_audio import AudioReleased
from edged.stream.session import ServerNotice
from edged.transcripts.sinks.file import FileSink
from tests.life import AT_S, RATE, Life, live, outbox

# -- words ------------------------------------------------------------------------------------------------------------


def test_a_record_is_in_the_spool_before_any_sink_sees_it(tmp_path: Path) -> None:
    """The record's audio leaves the spool in the same transaction."""
    seen: list[bool] = []

    class Looking(FileSink):
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
        life.open_device("plughw:CARD=A")
        life.hear(16_000, 32_000)
        life.utter(16_000, 32_000)
        (record,) = await life.written(1)
        assert record.start == timestamp(AT_S + 1 + 100 / RATE + wall_offset_s())
        assert (record.run, record.from_, record.to, record.device) == ("run-1", 16_000, 32_000, "plughw:CARD=A")
        assert (life.daemon._records.utterances, life.daemon._records.words) == (1, 1)

    live(tmp_path, body)


def test_what_is_settled_as_silence_or_evicted_waits_no_longer(tmp_path: Path) -> None:
    """Audio that was handed over still waits, as another sender has it. Recorded audio leaves with its record."""

    async def body(life: Life) -> None:
        life.hear(0, 16_000)
        for start, fate in ((0, "silence"), (1600, "evicted"), (3200, "handed over"), (4800, "recorded")):
            life.report("run-1", AudioReleased(start, start + 1600, fate))  # type: ignore[arg-type]
        assert Ranges(await life.waiting()) == Ranges([(3200, 16_000)])

    live(tmp_path, body)


def test_what_a_sender_drops_or_meets_is_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edged")

    async def body(life: Life) -> None:
        for _ in range(2):
            life.report("run-1", AudioEvicted(RATE // 2))
            life.report("run-1", ServerNotice("odd things"))
        life.report("run-1", AudioQuarantined(RATE))
        assert life.daemon._sender_monitor.lost_s == 1
        assert life.daemon._sender_monitor.ignored_messages == 2

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
        await life.daemon._records.flush(0.05)
        counts = life.delivery.counts()["file"]
        assert counts.pending + counts.delivered == 1
        assert [record.to for record in await life.written(1)] == [16_000]
        holder.execute("ROLLBACK")
        holder.close()

    live(tmp_path, body)


@pytest.mark.parametrize(("lost_s", "said"), [(1.5, 1), (0.0, 0)])
def test_what_the_spool_lets_go_is_lost_only_as_far_as_nobody_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lost_s: float, said: int
) -> None:
    """A lane that has it in memory sends it: it is not counted, and will be answered."""

    async def body(life: Life) -> None:
        life.lost_s = lost_s
        life.persistence._on_spool_event(model.SpeechEvicted("run-0", 100, 200, 99.0, "max_mb"))
        assert life.evicted == [("run-0", 100, 200)]
        assert life.daemon._sender_monitor.lost_s == lost_s
        life.hear(0, 16_000)
        life.report("run-1", AudioMissing(RATE // 2))
        assert life.daemon._sender_monitor.lost_s == lost_s + 0.5

    live(tmp_path, body)
    assert caplog.text.count("more speech waits than spool.max_mb allows: the oldest goes") == said
    assert ("speech that waited is not in the spool any more" in caplog.text) is not bool(said), "said once"


# -- without a spool --------------------------------------------------------------------------------------------------


def test_without_a_spool_records_go_to_the_sinks_and_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    async def body(life: Life) -> None:
        life.hear(0, 16_000)
        life.utter(0, 16_000)
        life.report("run-1", AudioReleased(0, 100, "silence"))
        life.persistence.tick()
        assert not life.persistence.keeps_backlog
        await life.written(1)
        with pytest.raises(RuntimeError):
            await life.persistence.load("run-1", 0, 1)

    live(tmp_path, body, enabled=False)
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


# -- when it can't be stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["runtime", "disk"])
def test_while_a_database_fails_senders_keep_their_backlog(tmp_path: Path, where: model.Tier) -> None:
    """Both are needed: what is handed over may lie in either."""

    async def body(life: Life) -> None:
        tell, kept = life.persistence._on_spool_event, [life.persistence.keeps_backlog]
        for event in (
            model.DatabaseFailing(where, "disk I/O error"),
            model.DatabaseFailing(where, "again"),
            model.DatabaseWorking(where),
        ):
            tell(event)
            kept.append(life.persistence.keeps_backlog)
        assert kept == [True, False, False, True]

    live(tmp_path, body)


def test_what_could_not_be_stored_is_given_again_as_far_as_it_waits(tmp_path: Path) -> None:
    """The sender's memory supplies the audio in its place: nothing of another run, nothing settled meanwhile."""

    async def body(life: Life) -> None:
        life.pending.open(0)
        for at in range(0, 16_000, 1600):
            life.pending.append(at, bytes([at // 1600]) * 3200)
        life.pending.release(4800, 6400, "recorded")
        life.persistence.store_segment(SegmentOpened(0))
        life.persistence._on_spool_event(model.AudioRequested("run-1", ((1600, 3200), (4000, 8000))))
        life.persistence._on_spool_event(model.AudioRequested("run-0", ((8000, 16_000),)))
        pieces = await life.persistence.load("run-1", 0, 16_000)
        heard = {at + n: pcm[2 * n] for at, pcm in pieces for n in range(0, len(pcm) // 2, 400)}
        assert all(value == position // 1600 for position, value in heard.items())
        assert {1600, 4000, 6400, 7600} <= heard.keys()
        assert not any(position < 1600 or 3200 <= position < 4000 or 4800 <= position < 6400 for position in heard)

    live(tmp_path, body)


def test_a_backlog_that_can_not_be_read_now_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry is logged at debug level only, as the spool has reported its outage."""
    load, failures = RealSpool.load, [EdgedError("not now")]

    async def flaky(self: RealSpool, *arguments: Any) -> list[tuple[int, bytes]]:
        if failures:
            raise failures.pop()
        return await load(self, *arguments)

    async def body(life: Life) -> None:
        life.hear(0, 3200)
        assert await life.waiting() == [(0, 1600), (1600, 3200)]
        assert life.persistence.keeps_backlog

    monkeypatch.setattr(RealSpool, "load", flaky)
    monkeypatch.setattr(asyncio, "sleep", lambda _, sleep=asyncio.sleep: sleep(0))
    live(tmp_path, body)
