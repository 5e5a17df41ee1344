"""Peak, clipping, digital silence, and no audio at all."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edged.capture.level import PEAK_TOLERANCE, Level, LevelMonitor, StallDetector, dbfs, pick_channel
from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId

samples = st.lists(st.integers(-32768, 32767), min_size=1, max_size=50)


def pcm(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


@given(st.lists(st.one_of(samples, st.lists(st.integers(-300, 300), min_size=1, max_size=50)), min_size=1))
def test_clipping_is_exact_and_the_peak_nearly_whatever_the_blocks(blocks: list[list[int]]) -> None:
    level = Level()
    for block in blocks:
        level.feed(pcm(block))
    every = [value for block in blocks for value in block]
    assert 0 <= max(map(abs, every)) - level.peak <= PEAK_TOLERANCE
    assert level.clipped_samples == sum(value in (32767, -32768) for value in every)


@given(samples, st.integers(1, 4))
def test_one_channel_is_every_nth_sample(values: list[int], channels: int) -> None:
    values *= channels
    for channel in range(channels):
        assert pick_channel(pcm(values), channels, channel) == pcm(values[channel::channels])


def test_no_block_for_two_seconds_is_a_fault_once_until_one_comes() -> None:
    watch = StallDetector()
    assert watch.check(10.0, None) is None, "not open: that is a Lost, and no fault of this kind"
    assert watch.check(11.9, 10.0) is None
    fault = watch.check(12.1, 10.0)
    assert fault is not None
    assert fault.fault
    assert watch.check(13.1, 10.0) is None
    assert watch.check(14.1, 14.0) == SignalChange("delivers again", False, MessageId.MICROPHONE_STUCK)
    assert watch.check(17.0, 14.0) is not None
    assert watch.check(18.0, None) == SignalChange("was closed", False, MessageId.MICROPHONE_STUCK)


def test_a_read_that_hangs_is_opened_again_at_growing_intervals_and_what_helped_is_said() -> None:
    watch = StallDetector()
    asked = []
    for second in range(2, 8000):
        watch.check(float(second), 0.0)
        if watch.wants_reopening(float(second)):
            asked.append(second)
    assert [b - a for a, b in pairwise(asked)] == [6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072]
    assert asked[0] == 3 + 3
    assert watch.check(8000.0, 7999.0) == SignalChange(
        "delivers again after it was reopened", False, MessageId.MICROPHONE_STUCK
    )
    assert not watch.wants_reopening(9000.0)
    watch.check(9000.0, 8000.0)
    assert watch.check(9001.0, 9001.0) == SignalChange("delivers again", False, MessageId.MICROPHONE_STUCK)


def test_a_magnitude_in_decibels_goes_down_to_what_is_seen() -> None:
    assert dbfs(32768) == 0
    assert round(dbfs(16384), 2) == -6.02
    assert dbfs(0) == dbfs(PEAK_TOLERANCE)


def looks(monitor: LevelMonitor, *seen: tuple[int, int], is_open: bool = False) -> list[str]:
    """What is told of so many looks at peak and clipped samples."""
    return [text for peak, clipped in seen if (text := monitor.check(peak, clipped, 0, is_open=is_open))]


def test_clipping_that_persists_is_told_once() -> None:
    monitor = LevelMonitor()
    assert looks(monitor, *[(32767, 10 * look) for look in range(1, 5)]) == []
    [text] = looks(monitor, *[(32767, 50 + 10 * look) for look in range(100)])
    assert text.startswith("clips: lower capture.volume")


def test_a_bang_now_and_then_and_single_samples_are_no_clipping() -> None:
    bangs = [(32767, 500 * (look // 8)) for look in range(200)]
    assert looks(LevelMonitor(), *bangs) == []
    assert looks(LevelMonitor(), *[(32767, 9 * look) for look in range(200)]) == []


def test_speech_that_is_never_louder_than_a_whisper_is_told_once() -> None:
    monitor = LevelMonitor()
    assert looks(monitor, *[(300, 0)] * 100) == [], "nobody speaks"
    assert looks(monitor, *[(300, 0)] * 14, is_open=True) == []
    [text] = looks(monitor, *[(300, 0)] * 100, is_open=True)
    assert text == "is very quiet (peak -41 dBFS): raise capture.volume, or set capture.gain_db"
    assert looks(LevelMonitor(), *[(512, 0)] * 100, is_open=True) == []


def test_clipping_by_a_dc_offset_is_named() -> None:
    """Gain amplifies the offset, until one end of the scale is all that is left."""
    level, monitor, told = Level(), LevelMonitor(), []
    for _ in range(10):
        level.feed(pcm([min(32767, 30_000 + each) for each in range(-4000, 4000)]))
        told.append(monitor.check(level.peak, level.clipped_samples, level.dc_offset, is_open=True))
    [text] = filter(None, told)
    assert text.startswith("clips for a DC offset of 9")
    assert "lower capture.gain_db" in text
