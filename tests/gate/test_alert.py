"""Which blocks may wait in a quiet room: those that nobody speaks in, while the gate is shut."""

import pytest

from edged.audio import Block
from edged.gate.alert import Alert
from edged.settings import Gate

RATE = 16_000
VOICE, QUIET = b"\1\1" * 320, bytes(640)
"""Frames of 20 ms, for a detector that hears every sound."""


def alert(*, on: bool = False) -> Alert:
    made = Alert(Gate(), RATE, lambda frame: any(frame))
    made.on = on
    return made


@pytest.mark.parametrize(
    ("on", "pcm", "may_wait"),
    [
        (False, QUIET * 5, True),
        (False, QUIET * 4 + VOICE, False),
        (False, VOICE + QUIET * 4, False),
        (True, QUIET * 5, False),
        (False, QUIET[:320], False),
        (False, QUIET + VOICE[:320], True),
    ],
    ids=["quiet", "voice at its end", "voice at its start", "the gate is open", "under a frame", "voice behind frames"],
)
def test_a_block_may_wait_if_the_gate_is_shut_and_no_frame_of_it_is_voice(on: bool, pcm: bytes, may_wait: bool) -> None:
    """What is shorter than a frame can't be judged: at the end of a block it comes again with the next one's start."""
    assert alert(on=on).may_wait(Block(0, pcm, 0.0)) is may_wait


def test_until_it_is_told_otherwise_every_block_counts() -> None:
    assert not Alert(Gate(), RATE, lambda _: False).may_wait(Block(0, QUIET * 5, 0.0))
