"""Records of an earlier process: each sink gets each once, word for word; what one has is not made again."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from edged.config.settings import FileSinkSettings
from edged.daemon import recovery
from edged.model.ranges import Ranges
from edged.model.record import decode, encode
from edged.spool import spool
from edged.transcripts.file_readback import find_in_file
from edged.transcripts.sinks.file import FileSink
from tests.life import SPOKEN, Life, after_a_kill, live, nothing, outbox, records


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


# -- commits that were lost -------------------------------------------------------------------------------------------


async def rolled_back(life: Life, to: Path) -> None:
    """Two records are delivered; what is left has them in the file, and a spool as it was before them."""
    life.hear(0, 48_000)
    await life.picture(to)
    life.utter(0, 16_000)
    life.utter(16_000, 32_000, "oh")
    await life.written(2)
    shutil.copy(to.parent / "first" / "records.jsonl", to)


def test_what_a_sink_answers_already_is_not_transcribed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A power cut rolled their commits back: they are stored again, as delivered, and only the rest waits."""
    caplog.set_level("INFO", "edged")
    left = tmp_path / "left"
    live(tmp_path / "first", lambda life: rolled_back(life, left))
    before = records(left)

    async def after(life: Life) -> None:
        ((run, _, stretches),) = life.backlog
        assert (run, [(start, end) for start, end, _ in stretches]) == ("run-1", [(32_000, 48_000)])
        assert Ranges(await life.waiting("run-1")) == Ranges([(32_000, 48_000)])

    live(left, after, "run-2")
    assert records(left) == before
    assert outbox(left) == {record.id: True for record in before}
    assert caplog.text.count("2 records were delivered, but their commit was lost") == 1
    live(left, after, "run-3")
    assert caplog.text.count("their commit was lost") == 1, "from then on the spool knows them"


def test_what_one_sink_has_and_another_lacks_is_delivered_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, as it was reread."""
    left = tmp_path / "left"
    live(tmp_path / "first", lambda life: rolled_back(life, left))
    one, two = records(left)
    other = left / "other"
    other.mkdir()
    (other / "records.jsonl").write_bytes(encode(one) + b"\n")
    looks = {
        sink: partial(find_in_file, place / "records.jsonl") for sink, place in {"file": left, "journal": other}.items()
    }
    monkeypatch.setattr(recovery, "readbacks", lambda _: looks)
    second = FileSink(FileSinkSettings(path=str(other / "records.jsonl")))
    for run in ("run-2", "run-3"):
        live(left, nothing, run, journal=second)
        assert records(left) == records(other) == [one, two]
        assert outbox(left) == {one.id: True, two.id: True}


def test_a_record_that_was_delivered_while_the_card_stalled_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither it nor its audio came into the spool before the kill: the audio is in the ring."""
    monkeypatch.setattr(spool, "OVERDUE_S", 0.0)

    async def before(life: Life) -> None:
        await life.waiting()
        holder = sqlite3.connect(life.base / "runtime" / "spool.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        life.hear(0, 22_400, SPOKEN.pcm)
        life.utter(0, 12_000, "one")
        life.persistence.tick()
        await life.written(1)
        await asyncio.to_thread(shutil.copytree, life.base, tmp_path / "left")
        holder.close()

    live(tmp_path / "first", before)
    (record,) = records(tmp_path / "left")
    assert outbox(tmp_path / "left") == {}

    async def after(life: Life) -> None:
        rest = [(start, end) for _, _, stretches in life.backlog for start, end, _ in stretches]
        assert rest
        assert all(start >= record.to for start, _ in rest)
        assert Ranges(await life.waiting("run-1")) == Ranges(rest)

    live(tmp_path / "left", after, "run-2")
    assert records(tmp_path / "left") == [record]
    assert outbox(tmp_path / "left") == {record.id: True}
