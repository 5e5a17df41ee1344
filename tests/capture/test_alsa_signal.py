"""Faults of a microphone's signal, and what reopening the device does about them."""

import array
import time

import pytest

from edged.capture import alsa, signal_faults
from edged.capture.alsa import AlsaSource
from edged.model.audio import Block, SignalChange, SourceLost, SourceOpened
from edged.model.message_ids import MessageId
from tests.capture.conftest import NEAR, EventLog, Microphone, Running, settings, speech_like


@pytest.mark.slow
def test_digital_silence_and_its_end_are_reported_and_the_mixer_is_left_alone(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the reopening nor the hole is an event. Somebody may have muted the device in the mixer on purpose."""
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.1)
    monkeypatch.setattr(signal_faults, "CURED_S", 0.0)
    virtual = microphone(speech_like(3))
    virtual.set_mixer(10, False)
    source = running(AlsaSource(settings(volume=80), events.put))
    events.wait(Block, 2)
    virtual.set_mixer(0, False)
    virtual.mute()
    assert events.wait(SignalChange).fault
    time.sleep(0.8)
    virtual.resume()
    assert events.wait(SignalChange, 2) == SignalChange("delivers sound again", False, MessageId.MICROPHONE_SILENT)
    assert source.counters.openings == 1
    assert virtual.mixer == (0, False)
    assert [type(item) for item in events.items if not isinstance(item, Block)] == [
        SourceOpened,
        SignalChange,
        SignalChange,
    ]


@pytest.mark.slow
def test_zeros_that_last_until_the_device_is_reopened_are_cured_and_that_is_reported(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.2)
    audio = speech_like(5)
    virtual = microphone(audio)
    running(AlsaSource(settings(), events.put))
    events.wait(Block, 3)
    virtual.die()
    change = events.wait(SignalChange, 2)
    assert change == SignalChange("delivers sound again after it was reopened", False, MessageId.MICROPHONE_SILENT)
    block = events.wait_after(change, 2)[0]
    assert abs(block.position - audio.find(block.pcm) // 2) < NEAR
    assert not events.all(SourceLost)


@pytest.mark.slow
def test_two_channels_that_cancel_each_other_are_named(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.2)
    one = array.array("h", speech_like(3))
    microphone(array.array("h", (side for value in one for side in (value, -value))).tobytes(), channels=2, card=True)
    running(AlsaSource(settings("plughw:CARD=Virtual"), events.put))
    assert "digital silence" in events.wait(SignalChange).text
    assert "cancel each other: set capture.channels = 2" in events.wait(SignalChange, 2).text


@pytest.mark.slow
def test_a_mute_that_outlasts_a_replug_is_reported_again(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of one that does not is not reported: the outage has ended it."""
    monkeypatch.setattr(signal_faults, "STUCK_S", 0.1)
    monkeypatch.setattr(alsa, "POLL_S", 0.05)
    virtual = microphone(speech_like(5))
    running(AlsaSource(settings(), events.put))
    virtual.mute()
    for number in (1, 2):
        assert events.wait(SignalChange, number).fault
        virtual.unplug()
        events.wait(SourceLost, number)
        virtual.mute() if number == 1 else virtual.replug()
    events.wait_after(events.wait(SourceOpened, 3), 10)
    assert [type(item) for item in events.items if not isinstance(item, Block)] == [
        *(SourceOpened, SignalChange, SourceLost),
        *(SourceOpened, SignalChange, SourceLost),
        SourceOpened,
    ]
