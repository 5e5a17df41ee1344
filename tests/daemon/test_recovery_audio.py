"""Audio of an earlier process: what waits of it is transcribed, in its own run, and dated by its own clock."""

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from edged.daemon import daemon, persistence, run_records
from edged.daemon.ring_recovery import read_ring
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.ranges import Ranges
from edged.model.record import Record
from edged.service.clock import boottime_s, timestamp, wall_offset_s
from edged.spool import directories
from edged.spool.ring import Ring
from tests.life import AT_S, RATE, SPOKEN, Body, Life, after_a_kill, live, undecided


def test_what_waits_of_an_earlier_run_is_handed_to_backfill_and_dated_right(tmp_path: Path) -> None:
    """The hand-over is by segments, with the ranges that the gate heard as voice."""

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
        assert sum(len(pcm) // 2 for _, pcm in await life.persistence.load("run-1", 8000, 176_000)) == 24_000
        life.utter(160_000, 176_000, "oh", run="run-1")
        record = (await life.written(2))[1]
        assert record.start == timestamp(AT_S + 10 + 100 / RATE + wall_offset_s())
        assert record.run == "run-1"
        assert record.delayed_s == pytest.approx(max(0.0, boottime_s() - AT_S - 11), abs=5)
        assert record.id not in {each.id for each in life.records[:1]}
        assert Ranges(await life.waiting("run-1")) == Ranges([(8000, 16_000)])

    live(left, after, "run-2")


async def heard(life: Life) -> None:
    """Let through, and nothing of it answered."""
    life.hear(0, 9600, SPOKEN.pcm[:19_200])


LEFT = pytest.mark.parametrize("before", [heard, undecided(words=True)], ids=["in the spool", "in the ring"])
"""Places in which a killed process leaves its audio."""


def in_boot(monkeypatch: pytest.MonkeyPatch, number: int, wall_offset_s: float, state: str) -> None:
    """Start a new boot for all processes from now on."""
    monkeypatch.setattr(daemon, "Synchronization", lambda: lambda: state)
    for module in (persistence, run_records):
        monkeypatch.setattr(module, "wall_offset_s", lambda: wall_offset_s)
    monkeypatch.setattr(directories, "boot_id", lambda: f"boot-{number}")


async def said_one(life: Life) -> Record:
    """The record of the word that the run before left."""
    assert len(life.backlog) == 1
    life.utter(8640, 9600, "one", run="run-1")
    (record,) = await life.written(1)
    return record


@LEFT
def test_in_another_boot_it_is_dated_by_the_clock_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Body
) -> None:
    """The record says whether that boot's clock was set, and its delay is computed across both boots."""
    in_boot(monkeypatch, 1, 1_700_000_000.0, "synchronized")

    async def told(life: Life) -> None:
        life.persistence.tick()
        await before(life)

    left = after_a_kill(tmp_path, told)
    now_s = boottime_s()
    in_boot(monkeypatch, 2, 1_700_086_400.0, "unsynchronized")

    async def after(life: Life) -> None:
        record = await said_one(life)
        assert record.start == timestamp(AT_S + 8740 / RATE + 1_700_000_000)
        assert record.clock == "synchronized"
        assert record.delayed_s == pytest.approx(max(0.0, now_s + 86_400 - AT_S - 1), abs=5)

    live(left, after, "run-2")


def test_a_ring_of_a_boot_that_nobody_knows_is_of_unknown_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring was left on a disk, the databases are new: its words are not dated by this boot's clock."""
    in_boot(monkeypatch, 1, 1_700_000_000.0, "synchronized")
    left = after_a_kill(tmp_path, undecided(words=True))
    for file in left.glob("*/spool.db*"):
        file.unlink()
    in_boot(monkeypatch, 2, 1_700_086_400.0, "synchronized")

    async def after(life: Life) -> None:
        assert (await said_one(life)).clock == "unknown"

    live(left, after, "run-2")


@pytest.mark.parametrize("foreign", [b"", b"EDR1" + bytes(600), b"EDR9" + bytes(70_000), b"\xff" * 700])
def test_a_ring_of_another_version_or_of_nobody_is_logged_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, foreign: bytes
) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime/ring").write_bytes(foreign)

    async def body(life: Life) -> None:
        assert life.backlog == []
        await undecided(words=True)(life)
        assert (kept := read_ring(life.base / "runtime/ring"))
        assert kept.run == "run-1"

    live(tmp_path, body)
    assert caplog.text.count("ring makes no sense, or is another version's") == 1


def test_an_empty_ring_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stop erased it and could not delete it, or a kill came before the first block."""
    (tmp_path / "runtime").mkdir()
    Ring(tmp_path / "runtime/ring", "run-0", "boot", RATE, 1.0)

    async def body(life: Life) -> None:
        assert life.backlog == []

    live(tmp_path, body)
    assert "ring" not in caplog.text


@LEFT
def test_it_is_of_the_device_that_was_opened(tmp_path: Path, before: Body) -> None:
    """Not of the setting, which is `auto`; and of the one that was opened last."""

    async def opened(life: Life) -> None:
        for device in ("plughw:CARD=A", "plughw:CARD=B"):
            life.open_device(device)
        await before(life)

    left = after_a_kill(tmp_path, opened)

    async def after(life: Life) -> None:
        assert (await said_one(life)).device == "plughw:CARD=B"
        assert life.persistence._device == "auto"

    live(left, after, "run-2")


def test_pieces_of_one_long_segment_are_one_stretch(tmp_path: Path) -> None:
    async def before(life: Life) -> None:
        life.hear(0, 16_000, over=False)
        life.persistence.store_segment(SegmentClosed(16_000, continues=True))
        life.persistence.store_segment(SegmentOpened(16_000))
        life.persistence.store_segment(SegmentAudio(16_000, bytes(3200), ()))
        life.persistence.store_segment(SegmentClosed(17_600))

    left = after_a_kill(tmp_path, before)

    async def after(life: Life) -> None:
        ((_, _, stretches),) = life.backlog
        assert [(start, end) for start, end, _ in stretches] == [(0, 17_600)]

    live(left, after, "run-2")


def test_a_voice_that_the_gate_had_not_decided_on_is_passed_on(tmp_path: Path) -> None:
    """The kill came while a word began: what there is of it waits, from before its beginning, in its run."""
    left = after_a_kill(tmp_path, undecided(words=True))

    async def after(life: Life) -> None:
        ((run, rate, stretches),) = life.backlog
        assert (run, rate) == ("run-1", RATE)
        ((start, end, voiced),) = stretches
        assert start < SPOKEN.words[0].start < 9600 <= end
        assert voiced
        pieces = await life.persistence.load("run-1", 0, end)
        assert b"".join(pcm for _, pcm in pieces) == SPOKEN.pcm[2 * start : 2 * end]
        life.utter(SPOKEN.words[0].start, SPOKEN.words[0].end, "one", run="run-1")
        (record,) = await life.written(1)
        assert record.start == timestamp(AT_S + 0.54 + 100 / RATE + wall_offset_s())
        assert record.run == "run-1"

    live(left, after, "run-2")


@pytest.mark.slow
def test_the_ring_holds_half_a_minute_of_what_could_not_be_stored(tmp_path: Path) -> None:
    """A card stalls for as long as that, and nothing of it is in the spool meanwhile: let through or not."""

    async def body(life: Life) -> None:
        await life.waiting()
        holder = sqlite3.connect(life.base / "runtime" / "spool.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        life.hear(0, 40 * RATE)
        kept = read_ring(life.base / "runtime/ring")
        assert kept is not None
        assert (kept.position, kept.passed_to, len(kept.pcm) // 2) == (10 * RATE, 0, 30 * RATE)
        holder.close()
        while life.persistence._spool and life.persistence._spool.unstored_from is not None:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
        life.hear(40 * RATE, 41 * RATE)
        kept = read_ring(life.base / "runtime/ring")
        assert kept is not None
        assert kept.passed_to >= 40 * RATE, "what is stored need not be in it"

    live(tmp_path, body)


def test_noise_that_the_gate_had_not_decided_on_is_not(tmp_path: Path) -> None:
    left = after_a_kill(tmp_path, undecided(words=False))

    async def after(life: Life) -> None:
        assert life.backlog == []

    live(left, after, "run-2")


def test_audio_that_passed_the_gate_is_not_taken_from_the_ring_again(tmp_path: Path) -> None:
    """Audio that passed the gate is in the spool already, or settled."""

    async def before(life: Life) -> None:
        life.hear(0, 12_800, SPOKEN.pcm[:25_600])
        life.utter(0, 12_800)
        await life.written(1)

    left = after_a_kill(tmp_path, before)

    async def after(life: Life) -> None:
        assert life.backlog == []

    live(left, after, "run-2")


def test_a_ring_for_which_there_was_no_room_is_made_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill after that loses no more than any other; what was too small to be one is no ring."""
    caplog.set_level("INFO", "edged")
    full = OSError(errno.ENOSPC, "No space left on device")

    def no_room(*_: int) -> None:
        raise full

    async def body(life: Life) -> None:
        ring = life.base / "runtime/ring"
        assert not ring.exists()
        life.persistence.tick()
        monkeypatch.undo()
        while not ring.exists():
            await asyncio.sleep(0.01)
            life.persistence.tick()
        if life.persistence._ring_task:
            await life.persistence._ring_task
        life.hear(0, RATE, over=False)
        assert read_ring(ring)

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    live(tmp_path, body)
    told = [record.message for record in caplog.records if record.message.startswith("ring: ")]
    assert len(told) == 2
    assert told[0].endswith("(`df -h` and `df -i` show where); until it can be made, a kill loses seconds more")
    assert told[1].startswith("ring: works again after ")


def test_after_an_end_in_order_no_ring_is_left(tmp_path: Path) -> None:
    live(tmp_path, undecided(words=True))
    assert not (tmp_path / "runtime" / "ring").exists()
