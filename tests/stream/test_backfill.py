"""Backlog is transcribed, run by run, from where it is stored; whatever happens meanwhile, each word of it once."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from edged.recognizer.protocol import Limits
from edged.spool.model import RunInfo
from edged.spool.spool import Spool
from edged.stream import backfill
from edged.stream.backfill import Backfill
from edged.stream.events import AudioQuarantined
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import ScriptEngineFactory
from tests.patience import PATIENCE_S
from tests.spool.some import with_spool
from tests.stream.behind import RATE, SCRIPT, STRETCHES, Play, playing, until


@pytest.mark.slow
def test_from_the_spool_every_word_comes_once_in_order_where_it_was_said(tmp_path: Path) -> None:
    """With the stretches and the audio that a real spool holds; one connection, ended in order."""

    async def main(spool: Spool, *_: object) -> None:
        async with InstrumentedServer(ScriptEngineFactory(SCRIPT), limits=Limits(max_rate=1000)) as server:
            spool.begin_run(RunInfo("a", spool.boot_id, RATE, 0, "plughw:CARD=Device", 0.0))
            for start, end, voiced in STRETCHES:
                spool.open_segment("a", start)
                spool.put_audio("a", start, SCRIPT.pcm[2 * start : 2 * end], voiced)
                spool.close_segment("a", end)
            play = Play(server)
            play.backfill = Backfill(play.settings, spool.load, play.make_link, play.effect)
            play.backfill.add("a", RATE, STRETCHES)
            play.backfill.finish()
            await asyncio.wait_for(play.backfill.run(), PATIENCE_S)
            play.check()
            assert [account.close_code for account in server.connection_logs] == [1000]
            assert play.backfill.totals == (1, 0, server.received_samples / RATE)

    with_spool(tmp_path, main)


@pytest.mark.slow
def test_what_is_added_while_it_runs_comes_too() -> None:
    """More of the same run comes behind what is there; another run gets its own records."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES[:1])
        await until(play.words)
        play.backfill.add("a", RATE, STRETCHES[1:])
        play.backfill.add("b", RATE, STRETCHES[:2])
        await play.finished(task)
        play.check()
        play.check(SCRIPT.texts[:8], "b")

    playing(body)


@pytest.mark.slow
def test_after_all_is_done_more_may_come() -> None:
    """An hour later: it waits for that, without a connection, and then makes one."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES[:1])
        await until(
            lambda: play.server.connection_logs and play.server.open_connections == 0 and not play.backfill.left_s
        )
        assert not task.done()
        play.backfill.add("a", RATE, STRETCHES[1:])
        await play.finished(task)
        play.check()
        assert len(play.server.connection_logs) == 2

    playing(body)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_connection_that_is_lost_in_mid_word_costs_none() -> None:
    """Audio sent on the lost connection, or by another sender, counts as a replay afterwards."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.server.inject(Fault(FaultKind.RESET, in_word=6))
        play.backfill.add("a", RATE, STRETCHES, STRETCHES[0].end)
        await play.finished(task)
        play.check()
        assert [e.utterance.replayed for _, e in play.effects if isinstance(e, UtteranceReady)][:2] == [True, True]
        assert play.backfill.totals.connections == 2
        assert play.backfill.totals.reconnects == 1

    playing(body)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_no_more_is_loaded_than_is_worth_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits: it stays where it is stored."""
    monkeypatch.setattr(backfill, "AHEAD_S", 0.5)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        play.check()
        assert max(end - start for _, start, end in play.loaded) <= RATE // 2
        assert 0 < play.most_ahead <= RATE, "what is loaded at a time, beyond so much again"

    playing(body)


@pytest.mark.slow
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
        assert play.server.connection_logs == []

    playing(body)


ENDS_THREE = [Fault(FaultKind.CLOSE, code=1011, in_word=7, times=3)]
"""The same word ends each connection that gets there."""


@pytest.mark.slow
def test_what_ends_connection_after_connection_comes_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words behind it come first, and other runs; no word is lost for it."""
    monkeypatch.setattr(backfill, "RETRY_AFTER_S", 1.0)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        play.backfill.add("b", RATE, STRETCHES[:1])
        await until(lambda: play.words("b"))
        assert any(isinstance(effect, AudioQuarantined) for _, effect in play.effects)
        assert play.words()[-4:] == list(SCRIPT.texts[8:])
        assert SCRIPT.texts[7] not in play.words()
        await until(lambda: SCRIPT.texts[7] in play.words())
        await play.finished(task)
        assert sorted(play.words()) == sorted(SCRIPT.texts)
        play.check(SCRIPT.texts[:4], "b")
        assert play.backfill.left_s == 0

    playing(body, faults=ENDS_THREE)


@pytest.mark.slow
def test_what_is_set_aside_when_it_finishes_is_left() -> None:
    """The backfill ends all the same and reports how much audio stays in the spool."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        assert SCRIPT.texts[7] not in play.words()
        assert 0 < play.backfill.left_s < (STRETCHES[1].end - STRETCHES[1].start) / RATE

    playing(body, faults=ENDS_THREE)


def test_what_a_cancelled_backfill_has_loaded_is_left() -> None:
    """A stop in an outage: the exit status and the summary count what is left."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        before_s = play.backfill.left_s
        await until(lambda: play.server.refusals and len(play.loaded) == len(STRETCHES))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert play.backfill.left_s == pytest.approx(before_s)

    playing(body, faults=[Fault(FaultKind.REFUSE, status=503, times=1000)])


@pytest.mark.slow
def test_more_set_aside_than_is_loaded_ahead_does_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "AHEAD_S", 0.7)

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        play.backfill.add("a", RATE, STRETCHES)
        await play.finished(task)
        assert play.words()[-4:] == list(SCRIPT.texts[8:])

    playing(body, faults=ENDS_THREE)


def test_a_fault_of_our_own_ends_it() -> None:
    """The fault is raised, and no connection stays behind."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        async def broken(*_: object) -> list[tuple[int, bytes]]:
            raise ZeroDivisionError

        play.backfill = Backfill(play.settings, broken, play.make_link, play.effect)
        play.backfill.add("a", RATE, STRETCHES)
        with pytest.raises(ZeroDivisionError):
            await play.backfill.run()
        assert play.server.open_connections == 0

    playing(body)
