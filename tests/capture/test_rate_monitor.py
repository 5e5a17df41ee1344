"""The true rate of a card."""

import random

import pytest

from edged.capture.rate_monitor import RateMonitor
from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

RATE = 16_000
BLOCK = 1600


def feed(
    monitor: RateMonitor,
    real: float,
    seconds: int,
    *,
    late_s: float = 0.0,
    holes_s: tuple[float, ...] = (),
    seed: int = 1,
) -> list[SignalChange]:
    """Return the reports about audio at a true rate, with stamps up to `late_s` late and unnoticed holes."""
    chance, at_s, change = random.Random(seed), 1000.0, []
    holes = iter(holes_s)
    for number in range(seconds * 10):
        if number % 97 == 96:
            at_s += next(holes, 0.0)
        change.append(monitor.feed(BLOCK, at_s + chance.random() * late_s, after_hole=number == 0))
        at_s += BLOCK / real
    return [signal for signal in change if signal]


@pytest.mark.parametrize("real", [16_000, 16_000 * (1 + 500e-6), 15_920, 16_080])
@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_a_card_that_nearly_keeps_its_rate_is_not_reported(real: float, late_s: float) -> None:
    for seed in range(20):
        monitor = RateMonitor(RATE)
        assert feed(monitor, real, 60, late_s=late_s, holes_s=(0.3,), seed=seed) == []
        assert monitor.clock_s_per_audio_s == 1.0


@pytest.mark.parametrize(("real", "within_s"), [(24_000, 10), (10_667, 10), (15_000, 20), (17_000, 20), (15_625, 45)])
def test_a_card_with_a_wrong_rate_is_reported_once_with_its_rate(real: int, within_s: int) -> None:
    monitor = RateMonitor(RATE)
    [change] = feed(monitor, real, within_s, late_s=0.05)
    assert (change.fault, change.message_id) == (True, MessageId.MICROPHONE_RATE)
    assert float(change.text.split()[1]) == pytest.approx(real, rel=0.02)
    assert f"too {'slow' if real > RATE else 'fast'}" in change.text
    assert feed(monitor, real, 60, late_s=0.05) == []
    assert monitor.clock_s_per_audio_s == pytest.approx(RATE / real, rel=0.005)


def test_a_true_rate_that_can_be_configured_is_the_cure() -> None:
    [change] = feed(RateMonitor(RATE), 48_100, 10)
    assert change.text.endswith("set capture.rate = 48000")
    [change] = feed(RateMonitor(RATE), 24_000, 10)
    assert "asound.conf" in change.text


def test_the_end_of_a_wrong_rate_is_reported_and_the_measurement_outlasts_an_opening() -> None:
    monitor = RateMonitor(RATE)
    feed(monitor, 15_000, 20)
    assert monitor.feed(BLOCK, 5000.0, after_hole=True) is None
    assert monitor.clock_s_per_audio_s != 1.0
    [change] = feed(monitor, 16_000, 120)
    assert change == SignalChange("keeps its rate again", False, MessageId.MICROPHONE_RATE)


def test_the_rate_is_unknown_at_first() -> None:
    monitor = RateMonitor(RATE)
    feed(monitor, 16_000, 3)
    assert monitor.clock_s_per_audio_s is None
