"""A backfill at work beside a recogniser that keeps up, with three sentences that wait."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from typing import Any

from edged.audio import Block
from edged.gate.detectors import webrtc
from edged.gate.intake import Intake, Let
from edged.recognizer.compose import compose, sentences
from edged.recognizer.protocol import Limits
from edged.recognizer.script import Script, ScriptEngines
from edged.recognizer.server import Server
from edged.settings import Deepgram, Gate, Reconnect, Settings
from edged.stream.backfill import Backfill, Missing
from edged.stream.effects import LaneEffect
from edged.stream.lane import Lane
from edged.stream.link import Link
from edged.stream.scribe import Uttered
from edged.stream.share import Share
from edged.takeover import segments
from edged.transcripts.utterance import Spoken
from tests.patience import PATIENCE_S

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

    def __init__(self, server: Server, script: Script = SCRIPT) -> None:
        self.script = script
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
        self.effects: list[tuple[str, LaneEffect | Missing]] = []
        self.on_effect: Callable[[LaneEffect | Missing], None] = lambda _: None
        self.lanes: list[Lane] = []
        self.most_ahead = 0

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        self.loaded.append((run, start, end))
        await asyncio.sleep(0)
        there = [
            at for at in range(start, end, 1600) if not any(low < at + 1600 and at < high for low, high in self.gone)
        ]
        return [(at, self.script.pcm[2 * at : 2 * min(at + 1600, end)]) for at in there]

    def make_link(self, lane: Lane, on_effect: Callable[[LaneEffect], None]) -> Link:
        self.lanes.append(lane)
        return Link(self.settings, lane, None, None, self.share, on_effect)

    def effect(self, run: str, effect: LaneEffect | Missing) -> None:
        self.effects.append((run, effect))
        self.most_ahead = max(self.most_ahead, self.lanes[-1].unsent)
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


def playing(
    body: Callable[[Play, "asyncio.Task[None]"], Awaitable[None]], script: Script = SCRIPT, **options: Any
) -> None:
    """Run `body` while a backfill runs."""

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            Server(ScriptEngines(script), limits=Limits(max_rate=1000), **options) as server,
        ):
            play = Play(server, script)
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
