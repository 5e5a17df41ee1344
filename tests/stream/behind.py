"""A backfill at work beside a recogniser that keeps up, with three sentences that wait."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from typing import Any

from edged.config.settings import DeepgramSettings, GateSettings, ReconnectSettings, Settings
from edged.daemon.ring_recovery import segment_ranges
from edged.gate.audio_gate import AudioGate, SegmentEvent
from edged.gate.detectors import webrtc
from edged.model.audio import Block
from edged.model.utterance import PlacedWord
from edged.recognizer.protocol import Limits
from edged.stream.backfill import AudioMissing, Backfill
from edged.stream.client import ReconnectingClient
from edged.stream.connection_limiter import ConnectionLimiter
from edged.stream.events import SenderEvent
from edged.stream.sender import Sender
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.compose import compose, sentences
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory
from tests.patience import PATIENCE_S

SCRIPT = compose(sentences(3, 4), lead_s=0.6, silence_s=1.2, tail_s=0.6)
RATE = SCRIPT.rate
WITHIN = RATE // 20
"""Word times are good to 50 ms."""


def let_through(script: Script) -> list[SegmentEvent]:
    """Return the gate's events for a recording."""
    intake = AudioGate(GateSettings(), script.rate, webrtc(2, script.rate))
    let: list[SegmentEvent] = []
    for at in range(0, len(script.pcm) // 2, 1600):
        let += intake.feed(Block(at, script.pcm[2 * at : 2 * at + 3200], at / script.rate))
    return let + intake.finish()


STRETCHES = segment_ranges(let_through(SCRIPT))
assert len(STRETCHES) == 3, "one a sentence"


class Play:
    """A backfill beside a recogniser that keeps up; what is loaded is the script's."""

    def __init__(self, server: InstrumentedServer, script: Script = SCRIPT) -> None:
        self.script = script
        self.settings = Settings(
            deepgram=DeepgramSettings(url=server.url, replay_rate=10, finalize_timeout_s=0.3),
            reconnect=ReconnectSettings(initial_s=0.05, max_s=0.05),
        )
        self.server = server
        self.share = ConnectionLimiter(2)
        self.backfill = Backfill(self.settings, self.load, self.make_link, self.effect)
        self.gone: list[tuple[int, int]] = []
        """Positions that are not stored any more."""
        self.loaded: list[tuple[str, int, int]] = []
        self.effects: list[tuple[str, SenderEvent | AudioMissing]] = []
        self.on_effect: Callable[[SenderEvent | AudioMissing], None] = lambda _: None
        self.lanes: list[Sender] = []
        self.most_ahead = 0

    async def load(self, run: str, start: int, end: int) -> list[tuple[int, bytes]]:
        self.loaded.append((run, start, end))
        await asyncio.sleep(0)
        there = [
            at for at in range(start, end, 1600) if not any(low < at + 1600 and at < high for low, high in self.gone)
        ]
        return [(at, self.script.pcm[2 * at : 2 * min(at + 1600, end)]) for at in there]

    def make_link(self, lane: Sender, on_effect: Callable[[SenderEvent], None]) -> ReconnectingClient:
        self.lanes.append(lane)
        return ReconnectingClient(self.settings, lane, None, None, self.share, on_effect)

    def effect(self, run: str, effect: SenderEvent | AudioMissing) -> None:
        self.effects.append((run, effect))
        self.most_ahead = max(self.most_ahead, self.lanes[-1].unsent)
        self.on_effect(effect)

    def spoken(self, run: str = "a") -> list[PlacedWord]:
        """The words of a run's records, in the order in which they came."""
        return [
            word
            for name, e in self.effects
            if name == run and isinstance(e, UtteranceReady)
            for word in e.utterance.words
        ]

    def words(self, run: str = "a") -> list[str]:
        return [word.word for word in self.spoken(run)]

    def check(self, expected: Iterable[str] = SCRIPT.texts, run: str = "a") -> None:
        """Assert that these words came once, in order and in their places, and that no two records share a sample."""
        assert self.words(run) == list(expected)
        true = {word.text: word for word in SCRIPT.words}
        for word in self.spoken(run):
            assert abs(word.start - true[word.word].start) <= WITHIN
            assert abs(word.end - true[word.word].end) <= WITHIN
        ranges = sorted(
            (e.utterance.start, e.utterance.end) for n, e in self.effects if n == run and isinstance(e, UtteranceReady)
        )
        assert all(end <= start for (_, end), (start, _) in pairwise(ranges))

    async def finished(self, task: "asyncio.Task[None]") -> None:
        """Finish the backfill and wait for its end."""
        self.backfill.finish()
        await task


def playing(
    body: Callable[[Play, "asyncio.Task[None]"], Awaitable[None]], script: Script = SCRIPT, **options: Any
) -> None:
    """Run `body` while a backfill runs."""

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            InstrumentedServer(ScriptEngineFactory(script), limits=Limits(max_rate=1000), **options) as server,
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
