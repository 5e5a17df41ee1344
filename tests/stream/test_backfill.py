"""Backlog is transcribed, run by run, from where it is stored; whatever happens meanwhile, each word of it once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edged.audio import Block
from edged.gate.detectors import webrtc
from edged.gate.intake import Intake, Let
from edged.recognizer.compose import compose, sentences
from edged.recognizer.faults import Fault, Verb
from edged.recognizer.protocol import Limits
from edged.recognizer.script import Script, ScriptEngines
from edged.recognizer.server import Server
from edged.settings import Deepgram, Gate, Reconnect, Settings
from edged.spool.items import Run
from edged.spool.spool import Spool
from edged.stream import backfill
from edged.stream.backfill import Backfill
from edged.stream.effects import LaneEffect, SetAside
from edged.stream.lane import Lane
from edged.stream.link import Link
from edged.stream.scribe import Uttered
from edged.stream.share import Share
from edged.takeover import segments
from edged.transcripts.utterance import Spoken
from tests.spool.some import with_spool

SCRIPT = compose(sentences(3, 4), lead_s=0.6, silence_s=1.2, tail_s=0.6)
RATE = SCRIPT.rate
WITHIN = RATE // 20
"""Word times are good to 50 ms."""


def let_through(script: Script) -> list[Let]:
    """What the gate lets through of a recording."""
    intake = Intake(Gate(), script.rate, webrtc(2, script.rate))
    let: list[Let] = []
    for at in range(0, len(script.pcm) // 2, 1600):
        let += intake.block(Block(at, script.pcm[2 * at : 2 * at + 3200], at / script.rate))
    return let + intake.finish()


STRETCHES = segments(let_through(SCRIPT))
assert len(STRETCHES) == 3, "one a sentence"


class Play:
    """A backfill beside a recogniser that keeps up; what is loaded is the script's."""

    def __init__(self, server: Server) -> None:
        self.settings = Settings(
            deepgram=Deepgram(url=server.url, replay_rate=10, finalize_timeout_s=0.3),
            reconnect=Reconnect(initial_s=0.05, max_s=0.05),
        )
        self.server = server
        self.share = Share(2)
        self.backfill = Backfill(self.settings, self.load, self.make_link, self.effect)
        self.gone: list[tuple[int, int]] = []
        """Positions that are not stored any more."""
        self.loaded: list[tuple[str, int, int]] = []
        self.effects: list[tuple[str, LaneEffect]] = []
        self.on_effect: Callable[[LaneEffect], None] = lambda _: None
        self.lanes: list[Lane] = []
        self.most_ahead = 0

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        self.loaded.append((run, start, end))
        await asyncio.sleep(0)
        there = [
            at for at in range(start, end, 1600) if not any(low < at + 1600 and at < high for low, high in self.gone)
        ]
        return [(at, SCRIPT.pcm[2 * at : 2 * min(at + 1600, end)]) for at in there]

    def make_link(self, lane: Lane, on_effect: Callable[[LaneEffect], None]) -> Link:
        self.lanes.append(lane)
        return Link(self.settings, lane, None, None, self.share, on_effect)

    def effect(self, run: str, effect: LaneEffect) -> None:
        self.effects.append((run, effect))
        self.most_ahead = max(self.most_ahead, self.lanes[-1].backlog)
        self.on_effect(effect)

    def spoken(self, run: str = "a") -> list[Spoken]:
        """The words of a run's records, in the order in which they came."""
        return [
            word for name, e in self.effects if name == run and isinstance(e, Uttered) for word in e.utterance.words
        ]

    def words(self, run: str = "a") -> list[str]:
        return [word.word for word in self.spoken(run)]

    def check(self, expected: Iterable[str] = SCRIPT.texts, run: str = "a") -> None:
        """These words, once, in order and in their places; no two records share a sample."""
        assert self.words(run) == list(expected)
        true = {word.text: word for word in SCRIPT.words}
        for word in self.spoken(run):
            assert abs(word.start - true[word.word].start) <= WITHIN
            assert abs(word.end - true[word.word].end) <= WITHIN
        ranges = sorted(
            (e.utterance.start, e.utterance.end) for n, e in self.effects if n == run and isinstance(e, Uttered)
        )
        assert all(end <= start for (_, end), (start, _) in pairwise(ranges))

    async def finished(self, task: "asyncio.Task[None]") -> None:
        """To its end."""
        self.backfill.finish()
        await task


def playing(body: Callable[[Play, "asyncio.Task[None]"], Awaitable[None]], **options: Any) -> None:
    """Run `body` while a backfill runs."""

    async def main() -> None:
        async with (
            asyncio.timeout(30),
            Server(ScriptEngines(SCRIPT), limits=Limits(max_rate=1000), **options) as server,
        ):
            play = Play(server)
            task = asyncio.create_task(play.backfill.run())
            try:
                await body(play, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    """Wait for what other tasks bring about."""
    while not condition():  # noqa: ASYNC110  it has no event
        await asyncio.sleep(0.005)


def test_from_the_spool_every_word_comes_once_in_order_where_it_was_said(tmp_path: Path) -> None:
    """With the stretches and the audio that a real spool holds; one connection, ended in order."""

    async def main(spool: Spool, *_: object) -> None:
        async with Server(ScriptEngines(SCRIPT), limits=Limits(max_rate=1000)) as server:
            spool.begin_run(Run("a", spool.boot_id, RATE, 0, "plughw:CARD=Device", 0.0))
            for start, end, voiced in STRETCHES:
                spool.segment_open("a", start)
                spool.audio("a", start, SCRIPT.pcm[2 * start : 2 * end], voiced)
                spool.segment_close("a", end)
            play = Play(server)
            play.backfill = Backfill(play.settings, spool.load, play.make_link, play.effect)
            play.backfill.add("a", RATE, STRETCHES)
            play.backfill.finish()
            await asyncio.wait_for(play.backfill.run(), 20)
            play.check()
            assert [account.close_code for account in server.accounts] == [1000]
            assert play.backfill.totals == (1, 0, server.received_samples / RATE)

    with_spool(tmp_path, main)


def test_what_is_added_while_it_runs_comes_too() -> None:
    """Of the same run, behind what is there; and of another one, whose records are its own."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES[:1])
        await until(play.words)
        play.backfill.add("a", RATE, STRETCHES[1:])
        play.backfill.add("b", RATE, STRETCHES[:2])
        await play.finished(task)
        play.check()
        play.check(SCRIPT.texts[:8], "b")

    playing(body)


def test_after_all_is_done_more_may_come() -> None:
    """An hour later: it waits for that, without a connection, and then makes one."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES[:1])
        await until(lambda: play.server.accounts and play.server.open_connections == 0 and not play.backfill.left_s)
        assert not task.done()
        play.backfill.add("a", RATE, STRETCHES[1:])
        await play.finished(task)
        play.check()
        assert len(play.server.accounts) == 2

    playing(body)


def test_a_stretch_that_lies_before_those_at_work_is_taken_up_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found late, on a disk that could not be read at first."""
    monkeypatch.setattr(backfill, "AHEAD_S", 0.7)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES[1:])
        await until(lambda: play.loaded)
        play.backfill.add("a", RATE, STRETCHES[:1])
        await play.finished(task)
        play.check([*SCRIPT.texts[4:], *SCRIPT.texts[:4]])

    playing(body)


def test_a_connection_that_is_lost_in_mid_word_costs_none() -> None:
    """What was sent to it counts as a replay from then on; so does what another lane had sent."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.server.order(Fault(Verb.RESET, in_word=6))
        play.backfill.add("a", RATE, STRETCHES, STRETCHES[0].end)
        await play.finished(task)
        play.check()
        assert [e.utterance.replayed for _, e in play.effects if isinstance(e, Uttered)][:2] == [True, True]
        assert play.backfill.totals.connections == 2
        assert play.backfill.totals.reconnects == 1

    playing(body)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_what_was_evicted_meanwhile_is_passed_over(gone: int) -> None:
    """A whole stretch of it; the others come."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.gone = [STRETCHES[gone][:2]]
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        play.check([word for n, word in enumerate(SCRIPT.texts) if n // 4 != gone])
        assert play.backfill.left_s == 0

    playing(body)


def test_a_hole_in_a_stretch_costs_the_words_in_it_only() -> None:
    word = SCRIPT.words[5]

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.gone = [(word.start, word.end)]
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        touched = {w.text for w in SCRIPT.words if w.start < word.end + 1600 and w.end > word.start - 1600}
        words = [w for w in SCRIPT.texts if w not in touched]
        assert [w for w in play.words() if w not in touched] == words
        assert word.text not in play.words()

    playing(body)


def test_no_more_is_loaded_than_is_worth_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits: it stays where it is stored."""
    monkeypatch.setattr(backfill, "AHEAD_S", 0.5)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        play.check()
        assert max(end - start for _, start, end in play.loaded) <= RATE // 2
        assert play.most_ahead <= 2 * RATE + RATE // 2

    playing(body)


def test_what_is_left_shrinks_to_nothing_and_is_never_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "AHEAD_S", 0.7)
    whole_s = sum(end - start for start, end, _ in STRETCHES) / RATE

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        seen: list[float] = []
        play.on_effect = lambda _: seen.append(play.backfill.left_s)
        assert play.backfill.left_s == 0
        play.backfill.add("a", RATE, STRETCHES)
        assert play.backfill.left_s == pytest.approx(whole_s)
        await play.finished(task)
        assert max(seen) <= whole_s + 1e-6
        assert all(later <= before + 1e-6 for before, later in pairwise(seen))
        assert play.backfill.left_s == 0

    playing(body)


def test_finishing_with_nothing_to_do_ends_it() -> None:
    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        await play.finished(task)
        assert play.server.accounts == []

    playing(body)


ENDS_THREE = [Fault(Verb.CLOSE, code=1011, in_word=7, times=3)]
"""The same word ends each connection that gets there."""


def test_what_ends_connection_after_connection_comes_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words behind it come first, and other runs; no word is lost for it."""
    monkeypatch.setattr(backfill, "ASIDE_S", 1.0)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        play.backfill.add("b", RATE, STRETCHES[:1])
        await until(lambda: play.words("b"))
        assert any(isinstance(effect, SetAside) for _, effect in play.effects)
        assert play.words()[-4:] == list(SCRIPT.texts[8:])
        assert SCRIPT.texts[7] not in play.words()
        await until(lambda: SCRIPT.texts[7] in play.words())
        await play.finished(task)
        assert sorted(play.words()) == sorted(SCRIPT.texts)
        play.check(SCRIPT.texts[:4], "b")
        assert play.backfill.left_s == 0

    playing(body, faults=ENDS_THREE)


def test_what_is_set_aside_when_it_finishes_is_left() -> None:
    """It ends all the same, and tells how much that is: it stays in the spool."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        assert SCRIPT.texts[7] not in play.words()
        assert 0 < play.backfill.left_s < (STRETCHES[1].end - STRETCHES[1].start) / RATE

    playing(body, faults=ENDS_THREE)


def test_more_set_aside_than_is_loaded_ahead_does_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "AHEAD_S", 0.7)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        assert play.words()[-4:] == list(SCRIPT.texts[8:])

    playing(body, faults=ENDS_THREE)


def test_a_fault_of_our_own_ends_it() -> None:
    """It is raised, and no connection stays behind."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        async def broken(*_: object) -> list[tuple[int, bytes]]:
            raise ZeroDivisionError

        play.backfill = Backfill(play.settings, broken, play.make_link, play.effect)
        play.backfill.add("a", RATE, STRETCHES)
        with pytest.raises(ZeroDivisionError):
            await play.backfill.run()
        assert play.server.open_connections == 0

    playing(body)
