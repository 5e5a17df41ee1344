"""A recording through the gate, seen from inside. 1000 samples a second; webrtcvad is a threshold."""

from array import array

from edged.config.settings import GateSettings
from edged.gate.preview import GatePreview, PreviewSegment, preview
from tests.gate.test_audio_gate import LOUD, Ear, capture, spoken, voiced_frame

RATE = 1000
GATE = GateSettings(onset_ms=60, onset_ratio=0.6, pre_roll_ms=100, hangover_ms=200, look_back_ms=300, patience_ms=0)


def heard(samples: list[int], ear: Ear | None = None, gate: GateSettings = GATE) -> GatePreview:
    return preview(array("h", samples).tobytes(), RATE, gate, voiced_frame, ear)


def test_a_segment_tells_its_pre_roll_its_decision_and_its_hangover() -> None:
    """Voiced from 400 to 500; two frames of three open it; 100 of 200 of the hangover are withheld."""
    assert heard(capture(1000, (400, 500))).segments == [PreviewSegment(300, 400, 440, 600, 500)]


def test_with_a_second_opinion_the_decision_comes_later_and_nothing_else_does() -> None:
    (segment,) = heard(spoken(1500, (400, 900), (600, 900)), Ear()).segments
    assert (segment.start, segment.onset) == (300, 400)
    assert 600 <= segment.decided <= 700


def test_there_is_a_frame_for_each_20_ms_with_what_was_known() -> None:
    found = heard(spoken(1500, (400, 900), (600, 900)), Ear())
    assert len(found.frames) == 75
    assert [i * 20 for i, frame in enumerate(found.frames) if frame.voiced] == list(range(400, 900, 20))
    assert found.frames[10].likelihood is None
    assert found.frames[40].likelihood == 1.0
    assert found.frames[40].is_open


def test_at_the_end_of_a_recording_an_open_segment_ends_with_it() -> None:
    (segment,) = heard(capture(505, (400, 505))).segments
    assert segment.end == 505


def test_pieces_of_a_long_segment_are_sent_as_one() -> None:
    found = heard([LOUD + 1] * 25_000, gate=GateSettings(max_segment_s=10))
    assert len(found.segments) == 3
    assert found.sent == [(0, 25_000)]


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    preview(bytes(2 * 25_000), RATE, GATE, voiced_frame, None, lambda done, total: told.append(done / total))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 2


def test_nothing_is_nothing() -> None:
    found = heard([])
    assert found.frames == []
    assert found.sent == []
