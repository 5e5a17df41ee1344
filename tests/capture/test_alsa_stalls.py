"""A microphone that stands still for less than its buffer: what it loses meanwhile is no overrun for ALSA."""

import time
from collections.abc import Callable
from itertools import pairwise

from edged.capture.alsa import AlsaSource
from edged.capture.source import Source
from edged.capture.timeline import Timeline
from edged.model.audio import Block, Overrun
from tests.capture.conftest import Microphone, Tape, settings, speech_like

Running = Callable[[Source], Source]

STALL_S = 0.6


def test_what_is_heard_behind_a_short_stall_is_dated_right_and_stays_in_one_piece(
    microphone: Microphone, tape: Tape, running: Running
) -> None:
    """Before its rate is measured too: the stall comes within the first second."""
    audio = speech_like(6)
    virtual = microphone(audio)
    running(AlsaSource(settings(buffer_ms=1000), tape.put))
    tape.wait(Block, 5)
    virtual.stall()
    time.sleep(STALL_S)
    virtual.resume()
    overrun = tape.wait(Overrun)
    blocks = tape.all(Block)
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
