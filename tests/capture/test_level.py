"""Peak, clipping, quiet speech, and stalls."""

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


def test_two_seconds_without_a_block_are_one_fault_until_the_next_block() -> None:
    detector = StallDetector()
    assert detector.check(10.0, None) is None, "not open: that is a Lost, and no fault of this kind"
    assert detector.check(11.9, 10.0) is None
    fault = detector.check(12.1, 10.0)
    assert fault is not None
    assert fault.fault
    assert detector.check(13.1, 10.0) is None
    assert detector.check(14.1, 14.0) == SignalChange("delivers again", False, MessageId.MICROPHONE_STUCK)
    assert detector.check(17.0, 14.0) is not None
    assert detector.check(18.0, None) == SignalChange("was closed", False, MessageId.MICROPHONE_STUCK)


def test_a_stalled_device_is_reopened_at_growing_intervals_and_the_cure_is_reported() -> None:
    detector = StallDetector()
    reopenings = []
    for second in range(2, 8000):
        detector.check(float(second), 0.0)
        if detector.wants_reopening(float(second)):
            reopenings.append(second)
    assert [b - a for a, b in pairwise(reopenings)] == [6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072]
    assert reopenings[0] == 3 + 3
    assert detector.check(8000.0, 7999.0) == SignalChange(
        "delivers again after it was reopened", False, MessageId.MICROPHONE_STUCK
    )
    assert not detector.wants_reopening(9000.0)
    detector.check(9000.0, 8000.0)
    assert detector.check(9001.0, 9001.0) == SignalChange("delivers again", False, MessageId.MICROPHONE_STUCK)


def test_decibels_end_where_the_level_can_not_resolve_more() -> None:
    assert dbfs(32768) == 0
    assert round(dbfs(16384), 2) == -6.02
    assert dbfs(0) == dbfs(PEAK_TOLERANCE)


def check(monitor: LevelMonitor, *counts: tuple[int, int], is_open: bool = False) -> list[str]:
    """Return the faults that these checks of peak and clipped samples report."""
    return [text for peak, clipped in counts if (text := monitor.check(peak, clipped, 0, is_open=is_open))]


def test_persistent_clipping_is_reported_once() -> None:
    monitor = LevelMonitor()
    assert check(monitor, *[(32767, 10 * number) for number in range(1, 5)]) == []
    [text] = check(monitor, *[(32767, 50 + 10 * number) for number in range(100)])
    assert text.startswith("clips: lower capture.volume")


def test_occasional_bangs_and_single_samples_are_no_clipping_fault() -> None:
    bangs = [(32767, 500 * (number // 8)) for number in range(200)]
    assert check(LevelMonitor(), *bangs) == []
    assert check(LevelMonitor(), *[(32767, 9 * number) for number in range(200)]) == []


def test_speech_no_louder_than_a_whisper_is_reported_once() -> None:
    monitor = LevelMonitor()
    assert check(monitor, *[(300, 0)] * 100) == [], "nobody speaks"
    assert check(monitor, *[(300, 0)] * 14, is_open=True) == []
    [text] = check(monitor, *[(300, 0)] * 100, is_open=True)
    assert text == "is very quiet (peak -41 dBFS): raise capture.volume, or set capture.gain_db"
    assert check(LevelMonitor(), *[(512, 0)] * 100, is_open=True) == []


def test_clipping_by_a_dc_offset_is_named() -> None:
    """Gain amplifies the offset until only one end of the scale is left."""
    level, monitor, reports = Level(), LevelMonitor(), []
    for _ in range(10):
        level.feed(pcm([min(32767, 30_000 + each) for each in range(-4000, 4000)]))
        reports.append(monitor.check(level.peak, level.clipped_samples, level.dc_offset, is_open=True))
    [text] = filter(None, reports)
    assert text.startswith("clips for a DC offset of 9")
    assert "lower capture.gain_db" in text
