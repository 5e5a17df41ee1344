"""How fast a card really is."""

import random

import pytest

from edged.capture.rate_monitor import RateMonitor
from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

RATE = 16_000
BLOCK = 1600


def heard(
    pace: RateMonitor, real: float, seconds: int, *, late_s: float = 0.0, holes_s: tuple[float, ...] = (), seed: int = 1
) -> list[SignalChange]:
    """What is told of so much audio at a real rate, stamped up to so late, with audio missing unseen now and then."""
    chance, at_s, told = random.Random(seed), 1000.0, []
    holes = iter(holes_s)
    for number in range(seconds * 10):
        if number % 97 == 96:
            at_s += next(holes, 0.0)
        told.append(pace.feed(BLOCK, at_s + chance.random() * late_s, after_hole=number == 0))
        at_s += BLOCK / real
    return [signal for signal in told if signal]


@pytest.mark.parametrize("real", [16_000, 16_000 * (1 + 500e-6), 15_920, 16_080])
@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_a_card_that_keeps_its_rate_or_nearly_is_not_spoken_of(real: float, late_s: float) -> None:
    for seed in range(20):
        pace = RateMonitor(RATE)
        assert heard(pace, real, 60, late_s=late_s, holes_s=(0.3,), seed=seed) == []
        assert pace.clock_s_per_audio_s == 1.0


@pytest.mark.parametrize(("real", "within_s"), [(24_000, 10), (10_667, 10), (15_000, 20), (17_000, 20), (15_625, 45)])
def test_a_card_that_does_not_is_told_of_once_with_its_rate(real: int, within_s: int) -> None:
    pace = RateMonitor(RATE)
    [told] = heard(pace, real, within_s, late_s=0.05)
    assert (told.fault, told.message_id) == (True, MessageId.MICROPHONE_RATE)
    assert float(told.text.split()[1]) == pytest.approx(real, rel=0.02)
    assert f"too {'slow' if real > RATE else 'fast'}" in told.text
    assert heard(pace, real, 60, late_s=0.05) == []
    assert pace.clock_s_per_audio_s == pytest.approx(RATE / real, rel=0.005)


def test_a_rate_that_can_be_set_is_the_cure() -> None:
    [told] = heard(RateMonitor(RATE), 48_100, 10)
    assert told.text.endswith("set capture.rate = 48000")
    [told] = heard(RateMonitor(RATE), 24_000, 10)
    assert "asound.conf" in told.text


def test_it_is_told_when_it_is_right_again_and_the_measure_outlasts_an_opening() -> None:
    pace = RateMonitor(RATE)
    heard(pace, 15_000, 20)
    assert pace.feed(BLOCK, 5000.0, after_hole=True) is None
    assert pace.clock_s_per_audio_s != 1.0
    [told] = heard(pace, 16_000, 120)
    assert told == SignalChange("keeps its rate again", False, MessageId.MICROPHONE_RATE)


def test_nothing_is_known_at_first() -> None:
    pace = RateMonitor(RATE)
    heard(pace, 16_000, 3)
    assert pace.clock_s_per_audio_s is None
