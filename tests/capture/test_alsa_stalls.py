"""A microphone that stands still, for less than its buffer or for so long that its reads hang."""

import time
from itertools import pairwise

import pytest

from edged.capture import pcm_reader
from edged.capture.alsa import AlsaSource
from edged.capture.level import StallDetector
from edged.capture.timeline import Timeline
from edged.model.audio import Block, Overrun, SourceOpened
from tests.capture.conftest import NEAR, EventLog, Microphone, Running, settings, speech_like

STALL_S = 0.6


@pytest.mark.slow
def test_audio_after_a_short_stall_has_the_right_time_and_stays_in_one_piece(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    """The stall comes within the first second, before the rate of the card is measured."""
    audio = speech_like(6)
    virtual = microphone(audio)
    running(AlsaSource(settings(buffer_ms=1000), events.put))
    events.wait(Block, 5)
    virtual.stall()
    time.sleep(STALL_S)
    virtual.resume()
    overrun = events.wait(Overrun)
    blocks = events.all(Block)
    assert overrun.late_from is not None
    assert STALL_S - 0.25 < overrun.lost_samples / 16_000 < STALL_S + 0.25
    assert all(before.end == block.position for before, block in pairwise(blocks))

    timeline = Timeline(16_000)
    for block in blocks:
        timeline.observe(block.position, len(block.pcm) // 2, block.at_s)
    timeline.shift(overrun.late_from, overrun.lost_samples / 16_000)
    behind = next(block for block in blocks if block.position == overrun.late_from)
    true_s = timeline.at_s(0) + audio.find(behind.pcm) / 2 / 16_000
    assert abs(timeline.at_s(behind.position) - true_s) < 0.15


@pytest.mark.slow
def test_a_long_stall_was_reported_and_is_no_overrun_when_it_ends(
    microphone: Microphone, events: EventLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader was blocked all the time: nothing was too slow."""
    monkeypatch.setattr(pcm_reader, "STALL_S", 0.3)
    audio = speech_like(3)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    before = events.wait(Block, 5)
    virtual.stall()
    time.sleep(0.5)
    count_before = len(events.all(Block))
    virtual.resume()
    after = events.wait(Block, count_before + 2)
    assert events.summary == ["SourceOpened", *["Block"] * len(events.all(Block))]
    assert abs(after.position - audio.find(after.pcm) // 2) < NEAR
    assert 0 < source.counters.lost_samples < after.position - before.end
    assert source.counters.overruns == 0


def test_a_stall_shows_in_the_counters_and_does_not_delay_the_stop(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    virtual = microphone(speech_like(0.5))
    source = running(AlsaSource(settings(), events.put))
    events.wait(Block, 3)
    virtual.stall()
    time.sleep(0.1)
    last_s = source.counters.last_block_s
    assert last_s is not None
    assert StallDetector().check(last_s + 2.1, source.counters.last_block_s) is not None
    assert not source.stop(0.1), "the thread hangs in libasound"
    count_before = len(events.all(Block))
    virtual.resume()
    assert source.stop(2)
    assert len(events.all(Block)) == count_before, "nothing is delivered after a stop"


@pytest.mark.slow
def test_a_hung_read_is_left_behind_and_the_device_reopened(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    audio = speech_like(5)
    virtual = microphone(audio)
    source = running(AlsaSource(settings(), events.put))
    events.wait(Block, 3)
    virtual.hang()
    time.sleep(0.3)
    count_before, last_s = len(events.all(Block)), source.counters.last_block_s
    source.reopen()
    block = events.wait_after(events.wait(SourceOpened, 2), 3)[0]
    assert abs(block.position - audio.find(block.pcm) // 2) < NEAR
    assert last_s is not None
    assert source.counters.last_block_s is not None
    assert source.counters.last_block_s > last_s
    virtual.resume()
    count = len(events.all(Block))
    events.wait(Block, count + 20)
    blocks = events.all(Block)[count_before:]
    assert all(a.end == b.position for a, b in pairwise(blocks)), "audio that the hung read returns is dropped"
