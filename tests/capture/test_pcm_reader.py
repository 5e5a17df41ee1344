"""The length of reads: one period while somebody speaks, and all that has arrived in a rest while nobody does."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import alsaaudio
import pytest

from edged.capture import pcm_reader
from edged.capture.alsa import AlsaSource
from edged.capture.pcm_reader import PcmReader, ReadPacing
from edged.model.audio import Block, Overrun
from tests.capture.conftest import NEAR, EventLog, Microphone, Running, joined, settings, speech_like

PERIOD = 320
"""Samples: 20 ms. A rest of 0.3 s is cut to the half of the buffer, five periods."""


@pytest.mark.slow
def test_with_a_read_interval_several_periods_are_one_block_to_the_bit(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    audio = speech_like(3)
    microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    source.set_read_interval(0.3)
    events.wait(Block, 12)
    assert source.stop(1)
    blocks = events.all(Block)
    assert joined(blocks) == audio[: len(joined(blocks))]
    assert {len(block.pcm) // 2 % PERIOD for block in blocks} == {0}
    assert all(len(block.pcm) // 2 >= 4 * PERIOD for block in blocks[3:])
    assert all(a.end == b.position for a, b in pairwise(blocks))
    assert not events.all(Overrun)
    times = [block.at_s - block.position / 16_000 for block in blocks]
    assert max(times) - min(times) < 0.02, "stamped with the first sample of all"


@pytest.mark.slow
def test_a_rest_ends_when_the_interval_becomes_0_and_at_a_stop(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    microphone(speech_like(3))
    source = running(AlsaSource(settings(buffer_ms=6000), events.put))
    events.wait(Block, 2)
    source.set_read_interval(3.0)
    time.sleep(0.3)
    count_before = len(events.all(Block))
    source.set_read_interval(0.0)
    began_s = time.monotonic()
    first = events.wait(Block, count_before + 1)
    assert time.monotonic() - began_s < 1
    assert len(first.pcm) // 2 == PERIOD, "what has come is read as it came: the gate opens at the first that is voice"
    source.set_read_interval(3.0)
    time.sleep(0.1)
    assert source.stop(1)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["overrun", "stall"])
def test_a_hole_lies_between_blocks_and_never_within_one(
    microphone: Microphone, events: EventLog, running: Running, fault: str
) -> None:
    audio = speech_like(4)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    source.set_read_interval(0.3)
    events.wait(Block, 6)
    virtual.stall()
    time.sleep(0.4)
    virtual.overrun() if fault == "overrun" else virtual.resume()
    blocks = events.wait_after(events.wait(Overrun), 3)
    for block in events.all(Block):
        assert block.pcm in audio
    assert abs(blocks[0].position - audio.find(blocks[0].pcm) // 2) < NEAR


class Clock:
    """A replacement of the module `time` whose clock advances when something waits."""

    CLOCK_BOOTTIME = 0

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def clock_gettime(self, _: int) -> float:
        return self.now_s


class EndlessPacing(ReadPacing):
    """A read interval that nobody ends; the clock advances in each rest."""

    def __init__(self, clock: Clock, rest_s: float = 0.3) -> None:
        super().__init__()
        self.set_interval(rest_s)
        self._clock = clock

    def wait(self, seconds: float) -> bool:
        self._clock.now_s += seconds
        return True


class Card:
    """A PCM like alsaaudio's: periods arrive by the clock, and a read of a period that has not arrived blocks.

    `count` turns the available periods into the count that it reports. `pace` is its time for a second of audio.
    """

    def __init__(
        self,
        clock: Clock,
        count: Callable[[int], int] = lambda there: there,
        *,
        buffer: int = 10 * PERIOD,
        broken_at: int = -1,
        pace: float = 1.0,
    ) -> None:
        self._clock, self._count, self._buffer, self._broken_at = clock, count, buffer, broken_at
        self._period_s = PERIOD / 16_000 * pace
        self._from_s = clock.now_s
        self._read = 0
        self.waited = 0

    @property
    def there(self) -> int:
        there = int((self._clock.now_s - self._from_s) / self._period_s + 1e-6) - self._read
        assert there * PERIOD <= self._buffer, "an overrun"
        return there

    def stand(self, seconds: float) -> None:
        """Deliver nothing for this long."""
        self._from_s += seconds

    def info(self) -> dict[str, int]:
        return {"period_size": PERIOD, "buffer_size": self._buffer}

    def state(self) -> int:
        broken = self._read == self._broken_at
        return int(alsaaudio.PCM_STATE_XRUN if broken else alsaaudio.PCM_STATE_RUNNING)

    def read(self) -> tuple[int, bytes]:
        if self._read == self._broken_at:
            self._broken_at = -1
        if self.there <= 0:
            self.waited += 1
            self._clock.now_s = self._from_s + (self._read + 1) * self._period_s
        self._read += 1
        return PERIOD, bytes(2 * PERIOD)

    def htimestamp(self) -> tuple[int, int, int]:
        now_s = self._clock.now_s
        return int(now_s), int(now_s % 1 * 1e9), self._count(self.there * PERIOD)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pcm_reader, "time", clock)
    return clock


def periods_per_read(card: Any, clock: Clock, rest_s: float = 0.3) -> Iterator[int]:
    """Yield the number of periods in each read."""
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock, rest_s)
    while True:
        read = reader.read(pacing)
        assert read
        yield read.samples // PERIOD


def test_available_periods_are_read_without_blocking(clock: Clock) -> None:
    card = Card(clock)
    found = periods_per_read(card, clock)
    assert [next(found) for _ in range(5)] == [1, 5, 5, 5, 5]
    assert card.waited == 1, "the first"


def test_audio_of_a_long_delay_is_read_in_pieces(clock: Clock) -> None:
    """One long block would not fit into the ring."""
    card = Card(clock, buffer=500 * PERIOD)
    found = periods_per_read(card, clock, rest_s=0.03)
    assert next(found) == 1
    clock.now_s += 60 * PERIOD / 16_000
    assert [next(found) for _ in range(4)][:3] == [25, 25, 14]
    assert card.waited == 1


@pytest.mark.parametrize("count", [lambda _: -1, lambda _: 10**9], ids=["an error", "nonsense"])
def test_a_card_without_a_count_is_read_one_period_at_a_time(clock: Clock, count: Callable[[int], int]) -> None:
    card = Card(clock, count)
    found = periods_per_read(card, clock)
    assert [next(found) for _ in range(5)] == [1] * 5
    assert card.waited == 5


@pytest.mark.parametrize("rest_s", [0.03, 0.04, 0.06, 0.1])
@pytest.mark.parametrize(
    "count", [lambda _: 0, lambda there: max(0, there - 2 * PERIOD)], ids=["nothing", "too little"]
)
def test_a_chain_that_counts_too_little_is_read_in_time_and_then_distrusted(
    clock: Clock, count: Callable[[int], int], rest_s: float
) -> None:
    """The periods are read before the buffer is full, whatever the rest: the card of this test fails otherwise."""
    card = Card(clock, count)
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock, rest_s)
    for _ in range(300):
        reader.read(pacing)
    for _ in range(20):
        read = reader.read(pacing)
        assert read
        assert (read.samples // PERIOD, read.stamped_by_card) == (1, False)
        assert clock.now_s - read.at_s < 0.021
        assert card.there == 0, "nothing is left in the buffer"


def test_a_chain_that_counts_too_much_is_distrusted(clock: Clock) -> None:
    card = Card(clock, lambda there: there + 3 * PERIOD)
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock)
    found = [reader.read(pacing) for _ in range(100)]
    assert [(read.samples // PERIOD, read.stamped_by_card) for read in found[-20:] if read] == [(1, False)] * 20


@pytest.mark.parametrize("pace", [0.999, 1.001, 1.06, 0.7])
def test_a_card_that_counts_right_is_trusted_with_a_wrong_clock(clock: Clock, pace: float) -> None:
    card = Card(clock, pace=pace)
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock)
    found = [reader.read(pacing) for _ in range(1000)]
    assert all(read and read.stamped_by_card for read in found)
    assert sum(read.samples for read in found if read) > 4 * 900 * PERIOD


def test_a_period_that_blocked_within_a_read_begins_the_next_one(clock: Clock) -> None:
    """The card stood still, so audio after the hole is another read."""
    card = Card(clock, buffer=100 * PERIOD)
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock)
    assert reader.read(pacing)
    card.stand(0.27)
    found = [reader.read(pacing) for _ in range(3)]
    ends = [round((clock.now_s - read.at_s) * 16_000 / PERIOD) for read in found if read]
    assert [read.samples // PERIOD for read in found if read][:2] == [1, 1]
    assert ends[0] > ends[1]


def test_with_a_small_buffer_each_period_is_a_read(clock: Clock) -> None:
    """The buffer holds two periods, and half of it is no rest."""
    card = Card(clock, buffer=2 * PERIOD)
    found = periods_per_read(card, clock)
    assert [next(found) for _ in range(5)] == [1] * 5


def test_audio_after_an_overrun_begins_a_read(clock: Clock) -> None:
    card = Card(clock, broken_at=3)
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock)
    found = [reader.read(pacing) for _ in range(3)]
    assert [(read.samples // PERIOD, read.overrun) for read in found if read] == [(1, False), (2, False), (8, True)]


class Overrunning(Card):
    """A card that overruns when more has arrived than its buffer holds."""

    @property
    def there(self) -> int:
        return int((self._clock.now_s - self._from_s) / self._period_s + 1e-6) - self._read

    def read(self) -> tuple[int, bytes]:
        if self.there * PERIOD > self._buffer:
            self._from_s, self._read = self._clock.now_s, 0
            return -32, b""
        return super().read()


@pytest.mark.parametrize("faster", [2.5, 4])
def test_a_card_much_faster_than_its_rate_overruns_at_most_twice_before_rests_are_short_enough(
    clock: Clock, faster: float
) -> None:
    reader, pacing = PcmReader(Overrunning(clock, pace=1 / faster), 16_000), EndlessPacing(clock)
    found = [reader.read(pacing) for _ in range(200)]
    assert sum(read.overrun for read in found if read) <= 2
    assert sum(read is None for read in found) <= 2


@pytest.mark.slow
def test_rests_grow_again_long_after_an_overrun(clock: Clock) -> None:
    card = Overrunning(clock)
    reader, pacing = PcmReader(card, 16_000), EndlessPacing(clock)
    reader.read(pacing)
    clock.now_s += 1
    found = [reader.read(pacing) for _ in range(20_000)]
    lengths = [read.samples // PERIOD for read in found if read]
    assert min(lengths[5:50]) < 4
    assert set(lengths[-50:]) == {5}
