"""Weeks by a simulated clock, through the whole pure chain against the pure recogniser: does anything grow?

By day somebody talks once an hour, at night nobody does; connections break now and then. Silence is stepped through in
seconds and heard by a detector that says so at once: what is asked is what is kept, not what it costs.
"""

import gc
import resource
import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import NamedTuple

from edged.gate.audio_gate import AudioGate
from edged.model.audio import Block
from edged.testkit.compose import compose, sentences
from tests.simulation import BLOCK_S, World

HOUR_S = 3600
TALK_S = 30.0
"""In each hour by day somebody talks so long, pauses not counted; at night nobody does."""
BREAK_EVERY_H = 7
"""The network breaks as often, just before somebody speaks."""
QUIET_STEP_S = 2.0
ROOM = bytes(3200)
"""A block of silence; the detector knows it by its zeros."""


class Look(NamedTuple):
    """After so many hours."""

    hours: int
    objects: int
    """Reachable from the chain."""
    kb: float
    """What they take."""
    rss_kb: int


class Days(World):
    """The script is said once an hour, by day; the rest is silence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.intake = AudioGate(self.gate, self.rate, lambda frame: any(frame))
        self.words_heard = self.hours_of_talk = 0

    def hour(self, number: int) -> None:
        """One hour; `number` counts from midnight of the first day."""
        begin_s = number * HOUR_S
        if 8 <= number % 24 < 22:
            if number % BREAK_EVERY_H == 0:
                self.reset()
            self.hours_of_talk += 1
            self.talk = round(begin_s * self.rate)
            self.run(begin_s + len(self.script.pcm) / 2 / self.rate + 5)
        self.quiet(begin_s + HOUR_S)
        self.words_heard += sum(len(utterance.words) for utterance in self.utterances)
        for kept in (self.utterances, self.uttered_at, self.texts, self.sent, self.errors):
            kept.clear()

    def quiet(self, until_s: float) -> None:
        """Silence, in steps that are longer than speech allows."""
        while self.now < until_s - 1e-9:
            self.now = round(self.now + (QUIET_STEP_S if not self.intake.is_open else BLOCK_S), 6)
            self._step()

    talk = -1

    def _microphone(self) -> None:
        size = round(BLOCK_S * self.rate)
        while not self.finished and (self.played + size) / self.rate <= self.now + 1e-9:
            at = (self.played - self.talk) * 2 if self.talk >= 0 else -1
            pcm = self.script.pcm[at : at + 2 * size] if at >= 0 else b""
            if len(pcm) == 2 * size:
                blocks = 1
            else:
                blocks, pcm = max(1, int((self.now * self.rate - self.played) / size)), ROOM
            self.waiting_blocks.append(Block(self.played, pcm * blocks, self.played / self.rate))
            self.played += size * blocks


def look(world: Days, hours: int) -> Look:
    """Count what the chain holds at this moment."""
    seen: dict[int, object] = {}
    waiting: list[object] = [world.lane, world.intake, world.backoff]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | ModuleType | FunctionType):
            continue
        seen[id(each)] = each
        waiting += gc.get_referents(each)
    return Look(hours, len(seen), _size(seen.values()) / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _size(objects: Iterable[object]) -> float:
    return sum(sys.getsizeof(each) for each in objects)


def days(hours: int, looks: int = 10) -> tuple[list[Look], Days]:
    """Looks at equal distances, each in the middle of a night."""
    world = Days(compose(sentences(round(TALK_S / 5), 8), lead_s=1, silence_s=2.0, tail_s=1.0, seed=6))
    found = []
    every = max(24, hours // looks // 24 * 24)
    for number in range(hours):
        world.hour(number)
        if (number + 1) % every == 3:
            found.append(look(world, number + 1))
    return found, world
