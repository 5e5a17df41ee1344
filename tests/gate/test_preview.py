"""The preview of a recording. At 1000 samples a second; webrtcvad is a threshold."""

from array import array

from edged.config.settings import GateSettings
from edged.gate.preview import GatePreview, PreviewSegment, preview
from tests.gate.test_audio_gate import LOUD, FakeDetector, capture, spoken, voiced_frame

RATE = 1000
GATE = GateSettings(onset_ms=60, onset_ratio=0.6, pre_roll_ms=100, hangover_ms=200, look_back_ms=300, patience_ms=0)


def preview_of(samples: list[int], detector: FakeDetector | None = None, gate: GateSettings = GATE) -> GatePreview:
    return preview(array("h", samples).tobytes(), RATE, gate, voiced_frame, detector)


def test_a_segment_shows_its_pre_roll_decision_and_hangover() -> None:
    """The voice lasts from 400 to 500; two frames of three open the gate; 100 of 200 of the hangover are withheld."""
    assert preview_of(capture(1000, (400, 500))).segments == [PreviewSegment(300, 400, 440, 600, 500)]


def test_a_second_opinion_delays_only_the_decision() -> None:
    (segment,) = preview_of(spoken(1500, (400, 900), (600, 900)), FakeDetector()).segments
    assert (segment.start, segment.onset) == (300, 400)
    assert 600 <= segment.decided <= 700


def test_there_is_a_frame_for_each_20_ms_with_its_verdicts() -> None:
    result = preview_of(spoken(1500, (400, 900), (600, 900)), FakeDetector())
    assert len(result.frames) == 75
    assert [i * 20 for i, frame in enumerate(result.frames) if frame.voiced] == list(range(400, 900, 20))
    assert result.frames[10].likelihood is None
    assert result.frames[40].likelihood == 1.0
    assert result.frames[40].is_open


def test_at_the_end_of_a_recording_an_open_segment_ends_with_it() -> None:
    (segment,) = preview_of(capture(505, (400, 505))).segments
    assert segment.end == 505


def test_pieces_of_a_long_segment_are_one_range() -> None:
    result = preview_of([LOUD + 1] * 25_000, gate=GateSettings(max_segment_s=10))
    assert len(result.segments) == 3
    assert result.sent == [(0, 25_000)]


def test_progress_is_reported_up_to_the_end() -> None:
    shares: list[float] = []
    preview(bytes(2 * 25_000), RATE, GATE, voiced_frame, None, lambda done, total: shares.append(done / total))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 2


def test_an_empty_recording_has_no_frames() -> None:
    result = preview_of([])
    assert result.frames == []
    assert result.sent == []
