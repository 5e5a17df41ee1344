"""Hours without a connection, by simulated clock: what waits is handed over, and comes back beside live speech."""

from collections import Counter, deque
from itertools import pairwise

import pytest

from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import Block
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.protocol import Limits
from edged.stream.events import BacklogHandedOver, BacklogRange, SenderEvent
from edged.stream.sender import Sender
from edged.testkit.compose import compose, sentences
from edged.testkit.script import Script
from tests.simulation import BLOCK_S, World

AHEAD_S = 20.0


class Backfilling(World):
    """A second connection, fed with stretches instead of a microphone."""

    has_source = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stretches: deque[BacklogRange] = deque()

    def _microphone(self) -> None:
        while self.stretches and self.lane.backlog < AHEAD_S * self.rate:
            stretch = self.stretches.popleft()
            self._do(self.lane.feed(SegmentOpened(stretch.start)))
            voiced = stretch.voiced
            for at in range(stretch.start, stretch.end, self.rate):
                end = min(stretch.end, at + self.rate)
                self._do(self.lane.feed(SegmentAudio(at, said(self.script, at, end), voiced)))
                voiced = ()
            self._do(self.lane.feed(SegmentClosed(stretch.end)))


class Hours(World):
    """The script, over and over; a backlog goes to a lane of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lane = Sender(
            self.settings,
            self.rate,
            utterance_max_s=self.utterance_max_s,
            keep_max_s=self.keep_max_s,
            hand_over_s=10.0,
        )
        self.behind = Backfilling(self.script, perturbations=self.perturbations, limits=self.limits, seed=self.seed + 1)
        self.most_in_memory = 0

    def _microphone(self) -> None:
        size = round(BLOCK_S * self.rate)
        while not self.finished and (self.played + size) / self.rate <= self.now + 1e-9:
            pcm = said(self.script, self.played, self.played + size)
            self.waiting_blocks.append(Block(self.played, pcm, self.played / self.rate))
            self.played += size

    def _step(self) -> None:
        super()._step()
        self.most_in_memory = max(self.most_in_memory, self.lane.backlog)
        if self.now >= self.refused_until:
            self.behind.now = self.now
            self.behind._step()

    def _do(self, effects: list[SenderEvent]) -> None:
        super()._do(effects)
        for effect in effects:
            if isinstance(effect, BacklogHandedOver):
                self.behind.stretches += effect.stretches
                self.behind.lane.mark_sent_before(effect.sent_to)


def said(script: Script, start: int, end: int) -> bytes:
    """The script's audio at positions beyond its end: it begins again."""
    length = len(script.pcm) // 2
    at = start % length
    return (script.pcm[at * 2 :] + script.pcm)[: (end - start) * 2]


def through_an_outage(script: Script, seed: int, outage_s: float) -> Hours:
    """A world that has had one and has caught up, with every word once."""
    length_s = len(script.pcm) / 2 / script.rate
    world = Hours(script, perturbations=Perturbations.all(), limits=Limits(), seed=seed)
    world.run(length_s)
    world.refused_until = world.now + outage_s
    world.reset()
    world.run(world.refused_until)
    rounds = int(world.now / length_s) + 4
    world.run(rounds * length_s)
    while world.behind.stretches or world.behind.lane.backlog:
        rounds += 1
        world.run(rounds * length_s)
        assert rounds * length_s < 3 * (outage_s + 3600), "the backlog does not shrink"
    world.finish()

    words = Counter(word.word for word in [*world.words, *world.behind.words])
    assert words == dict.fromkeys(script.texts, rounds)
    world.check_account()
    world.behind.check_account()
    assert world.evicted == world.behind.evicted == 0
    ranges = sorted((u.start, u.end) for u in [*world.utterances, *world.behind.utterances])
    assert all(start >= end for (_, end), (start, _) in pairwise(ranges))
    assert world.most_in_memory < 60 * world.rate
    return world


@pytest.mark.slow
@pytest.mark.parametrize("outage_h", [0.02, 8.0])
def test_after_an_outage_every_word_is_there_once_and_live_speech_did_not_wait(outage_h: float) -> None:
    """Speech a third of the time; both connections unkind; memory bounded by what one pause takes to come."""
    script = compose(sentences(4, 12), seed=5, silence_s=9.0, pause_s=(0.06, 0.4))
    world = through_an_outage(script, 7, outage_h * 3600)
    back_at = world.refused_until + 30  # a wait of up to 30 s may lie before the next try
    late = [
        at - utterance.end / world.rate
        for at, utterance in zip(world.uttered_at, world.utterances, strict=True)
        if utterance.start / world.rate > back_at
    ]
    assert late
    assert max(late) < 20, "live speech waited for the backlog"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_an_outage_in_talk_without_a_pause_every_word_is_there_once(seed: int) -> None:
    """The outage lasts six minutes, three times the memory: the sender cuts the backlog in the quietest places."""
    script = compose(sentences(8, 12), seed=seed, lead_s=0.1, tail_s=0.1, silence_s=0.1, pause_s=(0.0, 0.06))
    world = through_an_outage(script, seed, 360)
    assert world.lane.pending.released_samples["handed over"] > 300 * world.rate
