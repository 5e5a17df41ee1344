"""Signals in which nothing can be heard."""

import random
import struct
from itertools import pairwise

import pytest

from edged.capture.level import pick_channel
from edged.capture.signal_faults import (
    CANCELLING_CHANNELS,
    FAINT,
    FaintSignalDetector,
    StuckValueDetector,
    channels_cancel,
)
from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

RATE = 100


def pcm(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def feed(detector: StuckValueDetector, frames: list[int], channels: int = 1) -> SignalChange | None:
    block = pcm(frames)
    return detector.feed(pick_channel(block, channels, 0), block)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "delivers digital silence: is it muted, or its volume at 0?"),
        (-1, "delivers one value only (-1): its data line is stuck"),
        (1234, "delivers one value only (1234): its data line is stuck"),
        (32767, "delivers one value only (32767), full scale: does it have a DC offset"),
        (-32768, "delivers one value only (-32768), full scale: does it have a DC offset"),
    ],
)
def test_ten_seconds_of_one_value_are_one_fault_that_sound_ends(value: int, text: str) -> None:
    detector = StuckValueDetector(RATE, 1, 0)
    feed(detector, [value + 1 if value < 0 else value - 1] * 99 + [value])
    assert [feed(detector, [value] * 100) for _ in range(9)] == [None] * 9
    fault = feed(detector, [value] * 100)
    assert fault is not None
    assert fault.fault
    assert fault.text.startswith(text)
    assert fault.text.endswith("reopening it at growing intervals")
    assert feed(detector, [value] * 100) is None
    assert feed(detector, [value] * 9 + [17]) is None
    assert feed(detector, [5, 17] * 25) == SignalChange("delivers sound again", False, MessageId.MICROPHONE_SILENT)
    assert feed(detector, [1, 2] * 50) is None


def test_a_single_different_sample_restarts_the_count() -> None:
    detector = StuckValueDetector(RATE, 1, 0)
    for _ in range(5):
        assert feed(detector, [0] * 900) is None
        assert feed(detector, [0, -1]) is None


def test_neither_a_moment_of_sound_at_each_opening_nor_another_value_ends_the_fault() -> None:
    """A rate converter with a stuck input delivers this."""
    detector = StuckValueDetector(RATE, 1, 0)
    changes = []
    for second in range(100):
        changes.append(feed(detector, [-1 - second // 30] * RATE))
        if detector.wants_reopening:
            detector.note_reopening()
            changes.append(feed(detector, [0, 0, -1, -1]))
    assert len([signal for signal in changes if signal]) == 1


def test_another_channel_with_signal_is_named_and_reopening_is_no_cure() -> None:
    detector = StuckValueDetector(RATE, 3, 0)
    frames = [0, 0, 5, 0, 0, 6] * 500
    faults = [feed(detector, frames, channels=3) for _ in range(3)]
    [fault] = filter(None, faults)
    assert "signal on channel 2: set capture.channel = 2" in fault.text
    assert not detector.wants_reopening


def test_reopening_is_wanted_at_growing_intervals_and_its_success_reported() -> None:
    detector = StuckValueDetector(RATE, 1, 0)
    asked = []
    for second in range(20_000):
        feed(detector, [0] * RATE)
        if detector.wants_reopening:
            asked.append(second)
            detector.note_reopening()
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps[:9] == [20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert set(gaps[9:]) == {3600}
    changes = feed(detector, [1, 2] * 50)
    assert changes == SignalChange("delivers sound again", False, MessageId.MICROPHONE_SILENT), (
        "long after the last opening"
    )
    for _ in range(600):
        feed(detector, [0] * RATE)
    assert detector.wants_reopening
    detector.note_reopening()
    changes = feed(detector, [1, 2] * 50)
    assert changes == SignalChange("delivers sound again after it was reopened", False, MessageId.MICROPHONE_SILENT)


def test_a_microphone_that_is_silent_between_words_is_reported_once_and_left_open() -> None:
    """Headsets with a noise gate of their own deliver exact zeros in each pause."""
    detector = StuckValueDetector(RATE, 1, 0)
    changes, asked = [], 0
    for minute in range(60):
        for _ in range(14 + minute % 6):
            changes.append(feed(detector, [0] * RATE))
            if detector.wants_reopening:
                asked += 1
                detector.note_reopening()
        changes += [feed(detector, [1, 2] * 50) for _ in range(40)]
    assert [signal.fault for signal in changes if signal] == [True, False]
    assert asked == 1
    changes = [feed(detector, [0] * RATE) for _ in range(60)]
    assert any(changes), "what lasts longer than ever is a fault"
    assert detector.wants_reopening


def noise(peak: int, seed: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randint(-peak, peak) for _ in range(100)]


def test_two_minutes_far_below_speech_and_their_end_are_reported_once() -> None:
    faint = FaintSignalDetector(RATE)
    changes = [faint.feed(pcm(noise(FAINT - 1, second))) for second in range(600)]
    [at] = [number for number, signal in enumerate(changes) if signal]
    assert at in (119, 120)
    assert (signal := changes[at])
    assert signal.text.startswith("gave nothing louder than -54 dBFS for 2 min")
    assert faint.feed(pcm(noise(3000, 1))) == SignalChange("is loud enough now", False, MessageId.MICROPHONE_FAINT)
    assert [faint.feed(pcm(noise(5, second))) for second in range(600)] == [None] * 600


def test_a_quiet_night_after_speech_is_no_fault_but_a_quiet_day_is() -> None:
    faint = FaintSignalDetector(RATE)
    for second in range(40):
        assert faint.feed(pcm(noise(3000, second))) is None
    quiet = pcm(noise(20, 1)) * 60
    changes = [faint.feed(quiet) for _ in range(60 * 25)]
    [at] = [minute for minute, signal in enumerate(changes) if signal]
    assert 60 * 24 - 2 <= at <= 60 * 24 + 2


def test_the_click_of_its_opening_does_not_make_a_faint_microphone_a_good_one() -> None:
    faint = FaintSignalDetector(RATE)
    faint.feed(pcm(noise(9000, 1)))
    assert any(faint.feed(pcm(noise(20, second))) for second in range(200))


@pytest.mark.parametrize("peak", [FAINT + 8, 200, 256, 300, 5000])
def test_ten_seconds_of_sound_each_minute_are_not_faint(peak: int) -> None:
    faint = FaintSignalDetector(RATE)
    blocks = [noise(peak if second % 60 > 49 else 20, second) for second in range(600)]
    assert [faint.feed(pcm(block)) for block in blocks] == [None] * 600


def test_two_channels_cancel_if_they_are_opposed_up_to_their_noise() -> None:
    voice = noise(4000, 1)
    hiss = noise(20, 2)
    opposed = [side for value, error in zip(voice, hiss, strict=True) for side in (value, error - value)]
    alike = [side for value, error in zip(voice, hiss, strict=True) for side in (value, error + value)]
    one_sided = [side for value in voice for side in (value, 0)]
    assert channels_cancel(pcm(opposed))
    for frames in (alike, one_sided, [0, 0] * 100, [1, -1] * 100):
        assert not channels_cancel(pcm(frames))
    assert CANCELLING_CHANNELS.fault
