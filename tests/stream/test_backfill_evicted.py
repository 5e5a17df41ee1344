"""Eviction and backfill: audio evicted before a sender has it is lost, and counted once.

A sender's audio is in memory, and transcribed.
"""

import asyncio

import pytest

from edged.model.ranges import Ranges
from edged.stream import backfill
from edged.stream.backfill import AudioMissing
from tests.stream.behind import RATE, SCRIPT, STRETCHES, Play, playing, until

FIRST, SECOND, THIRD = STRETCHES


def length_s(start: int, end: int) -> float:
    return (end - start) / RATE


def missing(play: Play) -> int:
    """Samples that were missed at loading."""
    return sum(effect.samples for _, effect in play.effects if isinstance(effect, AudioMissing))


@pytest.mark.slow
def test_what_nobody_has_yet_is_lost_and_waits_no_longer() -> None:
    """Only audio of this run counts, and a second report of it is ignored.

    The backfill never loads it, so nothing is missing.
    """

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        play.backfill.add("b", RATE, STRETCHES[:1])
        whole_s = play.backfill.left_s
        lost_s = length_s(FIRST.start, FIRST.end)
        assert play.backfill.forget("a", 0, FIRST.end) == pytest.approx(lost_s)
        assert play.backfill.forget("a", 0, FIRST.end) == 0
        assert play.backfill.left_s == pytest.approx(whole_s - lost_s)
        await play.finished(task)
        play.check(SCRIPT.texts[4:])
        play.check(SCRIPT.texts[:4], "b")
        assert not any(run == "a" and start < SECOND.start for run, start, _ in play.loaded)
        assert missing(play) == 0

    playing(body)


@pytest.mark.slow
def test_a_part_of_a_stretch_may_go() -> None:
    """The middle of it, with a word; the words on both sides come."""
    word = SCRIPT.words[5]

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        assert play.backfill.forget("a", word.start, word.end) == pytest.approx(length_s(word.start, word.end))
        await play.finished(task)
        assert play.words() == [text for text in SCRIPT.texts if text != word.text]
        loaded = Ranges(each[1:] for each in play.loaded)
        assert not loaded.overlaps(word.start, word.end)

    playing(body)


def test_audio_that_a_sender_has_is_not_lost() -> None:
    """The sender loaded the audio before: memory has it, and its words come."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES[:1])
        await until(lambda: play.loaded and play.backfill.left_s)
        await asyncio.sleep(0.01)
        play.gone = [(0, THIRD.end)]
        assert play.backfill.forget("a", 0, THIRD.end) == 0
        await play.finished(task)
        play.check(SCRIPT.texts[:4])
        assert missing(play) == 0

    playing(body)


@pytest.mark.slow
def test_the_rest_of_a_stretch_may_go_while_its_beginning_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loaded part ends there and is transcribed; audio behind the evicted part comes as usual."""
    monkeypatch.setattr(backfill, "AHEAD_S", 0.7)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await until(lambda: len(play.loaded) == 2)
        upto = play.loaded[-1][2]
        assert upto < FIRST.end
        assert play.backfill.forget("a", upto, FIRST.end) == pytest.approx(length_s(upto, FIRST.end))
        play.gone = [(upto, FIRST.end)]
        await play.finished(task)
        assert not any(upto <= start < FIRST.end for _, start, _ in play.loaded)
        assert play.words()[-8:] == list(SCRIPT.texts[4:])
        assert play.backfill.left_s == 0

    playing(body)


@pytest.mark.slow
def test_what_was_gone_before_it_was_loaded_is_missed_once() -> None:
    """No eviction was reported, or one of audio that a sender had then and gave back since."""
    start, end = SECOND.start, SECOND.start + 3200

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.gone = [(start, end)]
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        assert missing(play) == end - start
        assert play.backfill.left_s == 0

    playing(body)


def test_audio_on_its_way_to_a_sender_is_left_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that can't be read keeps it there; what goes meanwhile is missed when it comes."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        load, free = play.backfill._load, asyncio.Event()

        async def slow(run: str, start: int, end: int) -> list[tuple[int, bytes]]:
            await free.wait()
            return await load(run, start, end)

        monkeypatch.setattr(play.backfill, "_load", slow)
        play.backfill.add("a", RATE, STRETCHES[:1])
        whole_s = play.backfill.left_s
        await asyncio.sleep(0.01)
        assert play.backfill.left_s == pytest.approx(whole_s)
        assert play.backfill.forget("a", 0, FIRST.end) == 0
        play.gone = [(FIRST.start, FIRST.start + 1600)]
        free.set()
        await play.finished(task)
        assert missing(play) == 1600
        assert play.backfill.left_s == 0

    playing(body)
