"""Gain, volume and channel, through the real libasound."""

import array
import logging

import pytest

from edged.capture.alsa import AlsaSource
from edged.capture.factory import open_source
from edged.model.audio import Block, SourceOpened
from edged.model.errors import ConfigurationError
from tests.capture.conftest import EventLog, Microphone, Running, joined, settings, speech_like


@pytest.mark.parametrize("gain_db", [6.0, 24.0, 48.0])
def test_gain_applies_to_all_32_bits_before_the_reduction_and_saturates(
    microphone: Microphone, events: EventLog, running: Running, gain_db: float
) -> None:
    quiet = array.array("h", speech_like(0.3))
    wide = array.array("i", (value * 300 + 77 for value in quiet))
    wide[5], wide[6] = 2**31 - 1, -(2**31)
    microphone(wide.tobytes(), format="S32_LE", card=True)
    running(AlsaSource(settings("plughw:CARD=Virtual", gain_db=gain_db), events.put))
    events.wait(Block, 5)
    samples = array.array("h", joined(events.all(Block)))
    factor = round(10 ** (gain_db / 20) * 16)
    expected = [min(32767, max(-32768, (value * factor >> 4) >> 16)) for value in wide[: len(samples)]]
    assert max(abs(got - want) for got, want in zip(samples, expected, strict=True)) <= 1  # ALSA multiplies as float
    assert (samples[5], samples[6]) == (32767, -32768)


@pytest.mark.parametrize(("format_", "channels"), [("S32_LE", 1), ("S32_LE", 2), ("S16_LE", 2)])
def test_gain_works_with_every_format_of_the_card(
    microphone: Microphone, events: EventLog, running: Running, format_: str, channels: int
) -> None:
    """Another rate, 2 channels, 16 bits: libasound converts after the gain."""
    one = array.array("i" if format_ == "S32_LE" else "h", [1000 * (1 << 16 if format_ == "S32_LE" else 1)])
    microphone(one.tobytes() * channels * 48_000, rate=48_000, format=format_, channels=channels, card=True)
    running(AlsaSource(settings("plughw:CARD=Virtual", gain_db=12.0412), events.put))
    events.wait(Block, 12)
    samples = array.array("h", joined(events.all(Block)[8:]))
    assert max(abs(value - 4000) for value in samples) <= 2


def test_gain_over_a_custom_definition_is_refused_because_libasound_can_crash() -> None:
    with pytest.raises(ConfigurationError, match=r"put `type route` with `ttable\.0\.0 2` into its definition"):
        open_source(settings("mine", gain_db=6.0206), print)


def test_a_channel_beyond_the_last_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"capture\.channel = 2: with 2"):
        open_source(settings(channels=2, channel=2), print)


def test_an_opening_sets_the_volume_and_turns_the_switch_on(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    virtual = microphone(b"")
    virtual.set_mixer(0, False)
    running(AlsaSource(settings(volume=80), events.put))
    events.wait(SourceOpened)
    assert virtual.mixer == (80, True)


def test_without_the_setting_the_volume_stays(microphone: Microphone, events: EventLog, running: Running) -> None:
    virtual = microphone(b"")
    virtual.set_mixer(10, False)
    running(AlsaSource(settings(), events.put))
    events.wait(Block)
    assert virtual.mixer == (10, False)


def test_a_card_without_a_volume_gives_one_warning_and_captures(
    microphone: Microphone, events: EventLog, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    microphone(b"")
    running(AlsaSource(settings(volume=80), events.put))
    events.wait(Block, 3)
    (warning,) = (record.message for record in caplog.records if record.levelno >= logging.WARNING)
    assert warning.startswith("capture.volume can't be set")
