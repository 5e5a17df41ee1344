"""Peak, clipping, digital silence, and no audio at all."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from edged.audio import Signal
from edged.capture.level import UNSEEN, DigitalSilence, Level, Loudness, Watch, dbfs, pick
from edged.troubles import Trouble

samples = st.lists(st.integers(-32768, 32767), min_size=1, max_size=50)


def pcm(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


@given(st.lists(st.one_of(samples, st.lists(st.integers(-300, 300), min_size=1, max_size=50)), min_size=1))
def test_clipping_is_exact_and_the_peak_nearly_whatever_the_blocks(blocks: list[list[int]]) -> None:
    level = Level()
    for block in blocks:
        level.hear(pcm(block))
    every = [value for block in blocks for value in block]
    assert 0 <= max(map(abs, every)) - level.peak <= UNSEEN
    assert level.clipped == sum(value in (32767, -32768) for value in every)


@given(samples, st.integers(1, 4))
def test_one_channel_is_every_nth_sample(values: list[int], channels: int) -> None:
    values *= channels
    for channel in range(channels):
        assert pick(pcm(values), channels, channel) == pcm(values[channel::channels])


def hear(silence: DigitalSilence, frames: list[int], channels: int = 1) -> Signal | None:
    block = pcm(frames)
    return silence.hear(pick(block, channels, 0), block)


def test_ten_seconds_of_exact_zeros_are_a_fault_once_and_one_sound_ends_it() -> None:
    silence = DigitalSilence(100, 1, 0)
    assert [hear(silence, [0] * 100) for _ in range(9)] == [None] * 9
    fault = hear(silence, [0] * 100)
    assert fault is not None
    assert fault.fault
    assert hear(silence, [0] * 100) is None
    assert hear(silence, [0] * 99 + [1]) == Signal("delivers sound again", False, Trouble.MICROPHONE_SILENT)
    assert hear(silence, [1] * 100) is None


def test_a_single_sample_that_is_not_zero_starts_the_count_again() -> None:
    silence = DigitalSilence(100, 1, 0)
    for _ in range(5):
        assert hear(silence, [0] * 900) is None
        assert hear(silence, [0, -1]) is None


def test_another_channel_with_signal_is_named() -> None:
    silence = DigitalSilence(100, 3, 0)
    frames = [0, 0, 5] * 1000
    fault = hear(silence, frames, channels=3)
    assert fault is not None
    assert "signal on channel 2: set capture.channel = 2" in fault.text


def test_no_block_for_two_seconds_is_a_fault_once_until_one_comes() -> None:
    watch = Watch()
    assert watch.check(10.0, None) is None, "not open: that is a Lost, and no fault of this kind"
    assert watch.check(11.9, 10.0) is None
    fault = watch.check(12.1, 10.0)
    assert fault is not None
    assert fault.fault
    assert watch.check(13.1, 10.0) is None
    assert watch.check(14.1, 14.0) == Signal("delivers again", False, Trouble.MICROPHONE_STUCK)
    assert watch.check(17.0, 14.0) is not None
    assert watch.check(18.0, None) == Signal("was closed", False, Trouble.MICROPHONE_STUCK)


def test_a_magnitude_in_decibels_goes_down_to_what_is_seen() -> None:
    assert dbfs(32768) == 0
    assert round(dbfs(16384), 2) == -6.02
    assert dbfs(0) == dbfs(UNSEEN)


def looks(loudness: Loudness, *seen: tuple[int, int], is_open: bool = False) -> list[str]:
    """What is told of so many looks at peak and clipped samples."""
    return [text for peak, clipped in seen if (text := loudness.check(peak, clipped, is_open=is_open))]


def test_clipping_that_persists_is_told_once() -> None:
    loudness = Loudness()
    assert looks(loudness, *[(32767, 10 * look) for look in range(1, 5)]) == []
    [text] = looks(loudness, *[(32767, 50 + 10 * look) for look in range(100)])
    assert text.startswith("clips: lower capture.volume")


def test_a_bang_now_and_then_and_single_samples_are_no_clipping() -> None:
    bangs = [(32767, 500 * (look // 8)) for look in range(200)]
    assert looks(Loudness(), *bangs) == []
    assert looks(Loudness(), *[(32767, 9 * look) for look in range(200)]) == []


def test_speech_that_is_never_louder_than_a_whisper_is_told_once() -> None:
    loudness = Loudness()
    assert looks(loudness, *[(300, 0)] * 100) == [], "nobody speaks"
    assert looks(loudness, *[(300, 0)] * 14, is_open=True) == []
    [text] = looks(loudness, *[(300, 0)] * 100, is_open=True)
    assert text == "is very quiet (peak -41 dBFS): raise capture.volume, or set capture.gain_db"
    assert looks(Loudness(), *[(512, 0)] * 100, is_open=True) == []
