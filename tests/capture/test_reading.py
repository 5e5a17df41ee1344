"""How much is read at a time: a period while somebody speaks, what has come in a rest while nobody does."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import alsaaudio
import pytest

from edged.audio import Block, Overrun
from edged.capture.alsa import AlsaSource
from edged.capture.reading import Patience, Reading
from edged.capture.source import Source
from tests.capture.conftest import Microphone, Tape, joined, settings, speech_like

Running = Callable[[Source], Source]

PERIOD = 320
"""Samples: 20 ms. A rest of 0.3 s is cut to the half of the buffer, five periods."""

NEAR = 3 * PERIOD


def test_while_nobody_hurries_some_periods_come_as_one_block_to_the_bit(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    audio = speech_like(3)
    microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    source.rest(0.3)
    tape.wait(Block, 12)
    assert source.stop(1)
    blocks = tape.all(Block)
    assert joined(blocks) == audio[: len(joined(blocks))]
    assert {len(block.pcm) // 2 % PERIOD for block in blocks} == {0}
    assert all(len(block.pcm) // 2 >= 4 * PERIOD for block in blocks[3:])
    assert all(a.end == b.position for a, b in pairwise(blocks))
    assert not tape.all(Overrun)
    times = [block.at_s - block.position / 16_000 for block in blocks]
    assert max(times) - min(times) < 0.02, "stamped with the first sample of all"


def test_a_rest_ends_when_somebody_hurries_or_at_a_stop(microphone: Microphone, tape: Tape, running: Running) -> None:
    microphone(speech_like(3))
    source = running(AlsaSource(settings(buffer_ms=6000), tape.put))
    tape.wait(Block, 2)
    source.rest(3.0)
    time.sleep(0.3)
    heard = len(tape.all(Block))
    source.rest(0.0)
    began_s = time.monotonic()
    first = tape.wait(Block, heard + 1)
    assert time.monotonic() - began_s < 1
    assert len(first.pcm) // 2 == PERIOD, "what has come is read as it came: the gate opens at the first that is voice"
    source.rest(3.0)
    time.sleep(0.1)
    assert source.stop(1)


@pytest.mark.parametrize("fault", ["overrun", "stall"])
def test_a_hole_lies_between_two_blocks_and_never_in_the_midst_of_one(
    microphone: Microphone, tape: Tape, running: Running, fault: str
) -> None:
    audio = speech_like(4)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), tape.put))
    source.rest(0.3)
    tape.wait(Block, 6)
    virtual.stall()
    time.sleep(0.4)
    virtual.overrun() if fault == "overrun" else virtual.resume()
    blocks = tape.wait_after(tape.wait(Overrun), 3)
    for block in tape.all(Block):
        assert block.pcm in audio
    assert abs(blocks[0].position - audio.find(blocks[0].pcm) // 2) < NEAR


class Unhurried(Patience):
    """Nobody hurries; no time passes in a rest, but so many periods come as would in it."""

    def __init__(self, card: "Card") -> None:
        super().__init__()
        self.rest(0.3)
        self._card = card

    def wait(self, seconds: float) -> bool:
        self._card.come(round(seconds * 16_000) // PERIOD)
        return True


class Card:
    """As alsaaudio's PCM; a read of what has not come waits for one period. `says`: of how much it knows."""

    def __init__(self, says: Callable[[int], int], *, buffer: int = 10 * PERIOD, broken_at: int = -1) -> None:
        self._says, self._buffer, self._broken_at = says, buffer, broken_at
        self._there = self._read = 0
        self.waited = 0

    def come(self, periods: int) -> None:
        self._there += periods
        assert self._there * PERIOD <= self._buffer, "an overrun"

    def info(self) -> dict[str, int]:
        return {"period_size": PERIOD, "buffer_size": self._buffer}

    def state(self) -> int:
        broken = self._read == self._broken_at
        return int(alsaaudio.PCM_STATE_XRUN if broken else alsaaudio.PCM_STATE_RUNNING)

    def read(self) -> tuple[int, bytes]:
        if self._read == self._broken_at:
            self._broken_at = -1
        if self._there == 0:
            self.waited += 1
        self._there = max(0, self._there - 1)
        self._read += 1
        return PERIOD, bytes(2 * PERIOD)

    def htimestamp(self) -> tuple[int, int, int]:
        now_s = time.monotonic()
        return int(now_s), int(now_s % 1 * 1e9), self._says(self._there * PERIOD)


def stretches(card: Any) -> Iterator[int]:
    """How many periods come at a time."""
    opened, patience = Reading(card, 16_000), Unhurried(card)
    while True:
        stretch = opened.next(patience)
        assert stretch
        yield stretch.samples // PERIOD


def test_what_has_come_is_read_without_waiting_for_more() -> None:
    card = Card(lambda there: there)
    found = stretches(card)
    assert [next(found) for _ in range(5)] == [1, 5, 5, 5, 5]
    assert card.waited == 1, "the first"


def test_what_has_come_in_a_long_delay_is_read_in_pieces() -> None:
    """Else it would be too long for the ring."""
    card = Card(lambda there: there, buffer=500 * PERIOD)
    found = stretches(card)
    assert next(found) == 1
    card.come(60)
    assert [next(found) for _ in range(7)] == [25, 25, 25, 25, 25, 25, 15]
    assert card.waited == 1


@pytest.mark.parametrize("says", [lambda _: -1, lambda _: 10**9], ids=["an error", "nonsense"])
def test_a_card_that_does_not_say_how_much_has_come_is_waited_for_period_by_period(says: Callable[[int], int]) -> None:
    card = Card(says)
    found = stretches(card)
    assert [next(found) for _ in range(5)] == [1] * 5
    assert card.waited == 5


def test_a_card_that_says_too_little_is_believed_once() -> None:
    """What it has is read before the buffer is full: the card of this test fails if it is not."""
    found = stretches(Card(lambda _: 0))
    assert [next(found) for _ in range(20)] == [1] * 20


def test_with_a_small_buffer_every_period_is_waited_for() -> None:
    """Two periods: half of it is no rest."""
    card = Card(lambda there: there, buffer=2 * PERIOD)
    found = stretches(card)
    assert [next(found) for _ in range(5)] == [1] * 5


def test_what_comes_behind_an_overrun_is_a_stretch_of_its_own() -> None:
    card = Card(lambda there: there, broken_at=3)
    opened, patience = Reading(card, 16_000), Unhurried(card)
    found = [opened.next(patience) for _ in range(3)]
    assert [(one.samples // PERIOD, one.overrun) for one in found if one] == [(1, False), (2, False), (8, True)]
