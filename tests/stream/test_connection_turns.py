"""Live speech and backlog, with one connection for both: they take turns, and a backlog that presses goes first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edged.daemon.ring_recovery import segment_ranges
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentOpened
from edged.stream import client, connection_limiter
from edged.stream.client import ReconnectingClient
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import SenderEvent
from edged.stream.sender import Sender
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.compose import compose, sentences
from tests.stream.behind import Play, let_through, playing, until

TELEVISION = compose([*sentences(3, 4), " ".join(sentences(12, 4)[3:])], lead_s=0.6, silence_s=1.2, tail_s=0.6)
"""Three sentences, and one that does not end: 36 words."""

RATE = TELEVISION.rate
LET = let_through(TELEVISION)
*BEHIND, ON_AIR = segment_ranges(LET)
assert len(BEHIND) == 3


def words(first: int, last: int | None = None) -> list[str]:
    return [word.text for word in TELEVISION.words[first:last]]


class Live:
    """The other lane, with what does not end."""

    def __init__(self, play: Play) -> None:
        play.share = ConnectionLimiter(1)
        self.words: list[str] = []
        self.lane = Sender(play.settings.deepgram, RATE, utterance_max_s=5, keep_max_s=120)
        self.link = ReconnectingClient(play.settings, self.lane, None, None, play.share, self.effect)

    def effect(self, effect: SenderEvent) -> None:
        if isinstance(effect, UtteranceReady):
            self.words += (word.word for word in effect.utterance.words)

    async def speak(self) -> None:
        """Ten times as fast as people do, as the recogniser here can follow."""
        for event in LET[LET.index(SegmentOpened(ON_AIR.start)) :]:
            self.lane.feed(event)
            self.link.wake()
            await asyncio.sleep(0.01 if isinstance(event, SegmentAudio) else 0)


@asynccontextmanager
async def on_air(play: Play) -> AsyncIterator[Live]:
    """Somebody speaks, and has the connection."""
    live = Live(play)
    tasks = [asyncio.create_task(live.link.run()), asyncio.create_task(live.speak())]
    try:
        await until(lambda: live.words)
        yield live
        await tasks[1]
        live.link.finish()
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can wait for."""
    monkeypatch.setattr(connection_limiter, "ASK_S", 0.02)
    monkeypatch.setattr(connection_limiter, "TURN_S", 0.0)
    monkeypatch.setattr(client, "PAUSE_S", 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("presses", [False, True])
def test_a_backlog_that_presses_does_not_wait_until_a_speaker_makes_a_pause(presses: bool) -> None:
    """One that does not press comes when he has ended. Either way each word comes once."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        spoken: list[int] = []
        async with on_air(play) as live:
            play.backfill.set_urgent(presses=presses)
            play.backfill.add("a", RATE, tuple(BEHIND))
            await until(lambda: len(play.words()) == 12)
            spoken.append(len(live.words))
        await play.finished(task)
        assert play.words() == words(0, 12)
        assert live.words == words(12)
        assert (spoken[0] < 36) is presses
        assert all(account.close_code == 1000 for account in play.server.connection_logs) is not presses

    playing(body, TELEVISION)


@pytest.mark.slow
def test_one_who_begins_to_press_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """The limiter notices urgency that begins during the wait."""
    caplog.set_level("INFO")

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        async with on_air(play) as live:
            play.backfill.add("a", RATE, tuple(BEHIND))
            await asyncio.sleep(0.05)
            play.backfill.set_urgent(presses=True)
            await until(lambda: len(play.words()) == 12)
            assert len(live.words) < 36
        assert live.words == words(12)
        assert live.link.counts.reconnects == 0, "nobody lost it"

    playing(body, TELEVISION)
    assert caplog.text.count("connection given up in mid-speech: others can't wait any longer") == 1
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.slow
def test_a_backlog_without_a_pause_does_not_keep_a_speaker_waiting() -> None:
    """The backlog goes on where it was interrupted when the speaker has ended; each word comes once."""

    async def body(play: Play, task: "asyncio.Task[None]") -> None:
        live = Live(play)
        play.backfill.add("a", RATE, (ON_AIR,))
        await until(lambda: play.lanes and play.lanes[-1].sent_samples > 2 * RATE)
        for event in LET[: LET.index(SegmentOpened(ON_AIR.start))]:
            live.lane.feed(event)
        running = asyncio.create_task(live.link.run())
        await until(lambda: len(live.words) == 12)
        assert len(play.words()) < 36
        live.link.finish()
        await running
        await play.finished(task)
        assert live.words == words(0, 12)
        assert play.words() == words(12)

    playing(body, TELEVISION)
