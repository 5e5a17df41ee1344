"""Onsets in literal frames of 20 samples."""

import pytest

from edged.config.settings import GateSettings
from edged.gate.onset import OnsetDetector


def feed(onset: OnsetDetector, picture: str, start: int = 0) -> list[bool]:
    """Feed a frame for each mark: `v` is a voiced one."""
    return [onset.feed(start + i * 20, start + i * 20 + 20, mark == "v") for i, mark in enumerate(picture)]


@pytest.mark.parametrize(
    ("picture", "expected"),
    [("vv", False), ("v.v.v", True), ("v...v...v", False), ("vvv", True), ("vvv..", True), ("vvv...", False)],
)
def test_three_of_the_last_five_frames_are_an_onset(picture: str, expected: bool) -> None:
    assert feed(OnsetDetector(5, 0.6, 20), picture)[-1] is expected


def test_the_memory_can_be_longer_than_the_onset_window() -> None:
    onset = OnsetDetector(5, 0.6, 20, more_samples=200)
    assert not any(feed(onset, "v.......v.v"))
    assert onset.take() == [(0, 20), (160, 180), (200, 220)]


def test_frames_before_the_memory_are_forgotten() -> None:
    onset = OnsetDetector(5, 0.6, 20, more_samples=100)
    feed(onset, "v" + "." * 10)
    assert onset.take() == []


def test_frames_that_were_taken_are_forgotten() -> None:
    onset = OnsetDetector(5, 0.6, 20)
    feed(onset, "vvv")
    onset.take()
    assert feed(onset, ".", 60) == [False]


def test_the_settings_define_an_onset_in_milliseconds() -> None:
    assert (
        OnsetDetector.from_settings(GateSettings(onset_ms=160, frame_ms=20), 16_000, more_samples=1000).window_samples
        == 2560 + 1000
    )
