"""The controls that `capture.volume` sets, with libasound's own mixer."""

import logging

import pytest

from edged.capture.alsa import AlsaSource
from edged.model.audio import SourceOpened
from tests.capture.conftest import EventLog, Microphone, Running, settings

VOLUME, SWITCH = "Mic Capture Volume", "Mic Capture Switch"


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        pytest.param(
            {(VOLUME, 0): 0, (SWITCH, 0): 0, (VOLUME, 1): 0, (SWITCH, 1): 0},
            {(VOLUME, 0): 80, (SWITCH, 0): 1, (VOLUME, 1): 80, (SWITCH, 1): 1},
            id="two inputs of one name",
        ),
        pytest.param(
            {("Headset Playback Volume", 0): 50, ("Headset Capture Volume", 1): 0, ("Headset Capture Switch", 1): 0},
            {("Headset Capture Volume", 1): 80, ("Headset Capture Switch", 1): 1},
            id="the second of a name is the microphone's",
        ),
        pytest.param(
            {("Mic Capture Volume", 3): 0},
            {("Mic Capture Volume", 3): 80},
            id="only an index of 3",
        ),
        pytest.param({(VOLUME, 0): 0}, {(VOLUME, 0): 80}, id="a volume without a switch"),
        pytest.param(
            {(VOLUME, 0): 0, ("Capture Switch", 0): 0},
            {(VOLUME, 0): 80, ("Capture Switch", 0): 1},
            id="the switch is called Capture",
        ),
        pytest.param(
            {("ADC Capture Volume", 0): 0, ("ADC Capture Switch", 0): 0, ("Capture Switch", 0): 0},
            {("ADC Capture Volume", 0): 80, ("ADC Capture Switch", 0): 1, ("Capture Switch", 0): 1},
            id="its own switch and one called Capture",
        ),
        pytest.param(
            {("Digital Capture Volume", 0): 0, ("ADC Capture Volume", 0): 0},
            {("Digital Capture Volume", 0): 80, ("ADC Capture Volume", 0): 80},
            id="no usual name",
        ),
        pytest.param(
            {(VOLUME, 0): 0, ("Line Capture Volume", 0): 10, ("Line Capture Switch", 0): 0},
            {(VOLUME, 0): 80},
            id="the line is not mixed in",
        ),
        pytest.param(
            {("Digital Capture Volume", 0): 0, ("ADC Capture Switch", 0): 0},
            {("Digital Capture Volume", 0): 80, ("ADC Capture Switch", 0): 1},
            id="no usual name, and the switch is another's",
        ),
        pytest.param(
            {("Mic Playback Volume", 0): 0, ("Headset Capture Volume", 0): 0, ("Headset Capture Switch", 0): 0},
            {("Headset Capture Volume", 0): 80, ("Headset Capture Switch", 0): 1},
            id="the control of the usual name does not capture",
        ),
        pytest.param(
            {(VOLUME, 0): 0, ("Mic Playback Switch", 0): 0, ("Mic Playback Volume", 0): 0, ("Auto Gain Control", 0): 0},
            {(VOLUME, 0): 80},
            id="sidetone and automatic gain are left alone",
        ),
    ],
)
def test_only_the_controls_of_the_microphone_are_set(
    microphone: Microphone,
    events: EventLog,
    running: Running,
    before: dict[tuple[str, int], int],
    changed: dict[tuple[str, int], int],
) -> None:
    virtual = microphone(b"")
    virtual.set_controls(before)
    running(AlsaSource(settings(volume=80), events.put))
    events.wait(SourceOpened)
    assert virtual.controls == before | changed


def test_a_switch_without_a_volume_is_turned_on_and_the_missing_volume_reported(
    microphone: Microphone, events: EventLog, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    virtual = microphone(b"")
    virtual.set_controls({("Capture Switch", 0): 0})
    running(AlsaSource(settings(volume=80), events.put))
    events.wait(SourceOpened)
    assert virtual.controls == {("Capture Switch", 0): 1}
    (warning,) = (record.message for record in caplog.records if record.levelno >= logging.WARNING)
    assert warning == "capture.volume can't be set: virtual has no capture volume; its capture switch is on"
