"""The end of an audio block."""

from edged.model.audio import Block


def test_a_blocks_end_is_the_position_after_its_last_sample() -> None:
    assert Block(1600, bytes(3200), 7.0).end == 3200
