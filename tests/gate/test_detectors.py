"""The real webrtcvad."""

import pytest

from edged.gate.detectors import webrtc
from edged.testkit.compose import compose


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 48000])
@pytest.mark.parametrize("frame_ms", [10, 20, 30])
def test_every_configurable_rate_and_frame_works_and_zeros_are_not_voiced(rate: int, frame_ms: int) -> None:
    assert webrtc(2, rate)(bytes(rate * frame_ms // 1000 * 2)) is False


def test_a_voice_is_voiced_and_a_quiet_room_is_not() -> None:
    """The room has very quiet noise; the detector lingers a little after a voice."""
    script = compose(["badada"], lead_s=1.0, tail_s=0.5, word_s=(0.5, 0.5))
    detector = webrtc(2, 16_000)
    word = script.words[0]
    verdicts = {at: detector(script.pcm[at * 2 : (at + 320) * 2]) for at in range(0, len(script.pcm) // 2 - 320, 320)}
    assert not any(voiced for at, voiced in verdicts.items() if at + 320 <= word.start)
    spoken = [voiced for at, voiced in verdicts.items() if word.start <= at and at + 320 <= word.end]
    assert sum(spoken) >= 0.8 * len(spoken)
