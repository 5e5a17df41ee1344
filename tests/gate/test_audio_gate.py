"""The samples that pass. The value of a sample shows its position here."""

from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edged.config.settings import GateSettings as Settings
from edged.gate.audio_gate import AudioGate, SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.gate.second_opinion import WARM_UP_MS
from edged.model.audio import Block

RATE = 1000
LOUD = 10_000
SETTINGS = Settings(onset_ms=60, onset_ratio=0.6, pre_roll_ms=100, hangover_ms=100)
"""Two voiced frames of three open it; the last 50 ms of a hangover are withheld."""


def voiced_frame(frame: bytes) -> bool:
    """Return whether most samples of a frame are above LOUD, as a detector."""
    samples = array("h", frame)
    return 2 * sum(sample >= LOUD for sample in samples) > len(samples)


def capture(length: int, *voices: tuple[int, int]) -> list[int]:
    """Return samples that count up, and are loud where somebody speaks."""
    return [i + LOUD * any(a <= i < b for a, b in voices) for i in range(length)]


def block(samples: list[int], start: int, end: int) -> Block:
    return Block(start, array("h", samples[start:end]).tobytes(), start / RATE)


def in_blocks(gate: AudioGate, samples: list[int], sizes: list[int], *, start: int = 0) -> list[SegmentEvent]:
    events: list[SegmentEvent] = []
    for i in range(len(samples)):
        end = min(len(samples), start + sizes[i % len(sizes)])
        if start < end:
            events += gate.feed(block(samples, start, end))
        start = end
    return events


def passed_samples(events: list[SegmentEvent]) -> dict[int, int]:
    """Return the samples that passed, by position; fail if one passed twice."""
    passed: dict[int, int] = {}
    for event in events:
        if isinstance(event, SegmentAudio):
            for i, sample in enumerate(array("h", event.pcm)):
                assert event.position + i not in passed, "passed twice"
                passed[event.position + i] = sample
    return passed


def test_the_samples_from_pre_roll_to_hangover_pass() -> None:
    """The voice lasts from 400 to 500, with 100 of pre-roll and 50 of hangover; 50 more are withheld."""
    samples = capture(1000, (400, 500))
    events = in_blocks(AudioGate(SETTINGS, RATE, voiced_frame), samples, [100])
    assert passed_samples(events) == {i: samples[i] for i in range(300, 550)}
    assert events[0] == SegmentOpened(300)
    assert events[-1] == SegmentClosed(550)


def test_voiced_parts_come_once_with_the_audio() -> None:
    events = in_blocks(AudioGate(SETTINGS, RATE, voiced_frame), capture(1000, (400, 500)), [100])
    assert [part for event in events if isinstance(event, SegmentAudio) for part in event.voiced] == [(400, 500)]


@pytest.mark.parametrize("frame_ms", [10, 20, 30])
@pytest.mark.parametrize("sizes", [[100], [1], [7, 130, 33], [1000], [30, 31, 29]])
def test_the_size_of_blocks_makes_no_difference(frame_ms: int, sizes: list[int]) -> None:
    """Frames of 30 ms don't divide blocks of 100 ms: the rest of a block is judged with the next one."""
    samples = capture(1500, (390, 600), (1080, 1110))
    settings = Settings(frame_ms=frame_ms, onset_ms=60, onset_ratio=0.5, pre_roll_ms=90, hangover_ms=120)  # type: ignore[arg-type]
    whole = AudioGate(settings, RATE, voiced_frame)
    parts = AudioGate(settings, RATE, voiced_frame)
    assert passed_samples(in_blocks(parts, samples, sizes)) == passed_samples(in_blocks(whole, samples, [1500]))


def test_a_first_block_may_begin_anywhere() -> None:
    """The first position of a source need not be 0."""
    samples = capture(1000, (500, 1000))
    events = in_blocks(AudioGate(SETTINGS, RATE, voiced_frame), samples, [100], start=500)
    assert events[0] == SegmentOpened(500)
    assert min(passed_samples(events)) == 500


def test_a_long_hole_splits_the_segment_without_inventing_or_losing_a_sample() -> None:
    samples = capture(1000, (300, 1000))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    events = [*gate.feed(block(samples, 0, 450)), *gate.feed(block(samples, 600, 1000))]
    assert [event for event in events if not isinstance(event, SegmentAudio)] == [
        SegmentOpened(200),
        SegmentClosed(450),
        SegmentOpened(600),
    ]
    assert passed_samples(events) == {i: samples[i] for i in [*range(200, 450), *range(600, 1000)]}


def test_a_short_hole_is_bridged() -> None:
    samples = capture(1000, (300, 1000))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    events = [*gate.feed(block(samples, 0, 450)), *gate.feed(block(samples, 500, 1000))]
    assert [event for event in events if not isinstance(event, SegmentAudio)] == [SegmentOpened(200)]
    assert passed_samples(events) == {i: samples[i] for i in [*range(200, 450), *range(500, 1000)]}


def test_at_the_end_samples_that_fill_no_frame_pass_too() -> None:
    samples = capture(455, (300, 455))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    events = [*gate.feed(block(samples, 0, 455)), *gate.finish()]
    assert events[-1] == SegmentClosed(455)
    assert max(passed_samples(events)) == 454


def test_a_gate_can_go_on_after_finish() -> None:
    """A microphone that was unplugged returns, and its audio has later positions."""
    samples = capture(2000, (300, 455), (1500, 2000))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    gate.feed(block(samples, 0, 455))
    gate.finish()
    assert not gate.is_open
    events = gate.feed(block(samples, 1400, 2000))
    assert events[0] == SegmentOpened(1400)
    assert passed_samples(events) == {i: samples[i] for i in range(1400, 2000)}


def test_a_forced_gate_passes_silence() -> None:
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    samples = capture(400)
    assert gate.feed(block(samples, 0, 200)) == []
    assert passed_samples(gate.feed(block(samples, 200, 400), forced=True)) == {i: i for i in range(100, 350)}


@pytest.mark.slow
def test_the_gate_keeps_only_audio_that_a_segment_can_reach_back_to() -> None:
    """An hour of silence needs the memory of a pre-roll."""
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    for i in range(36_000):
        gate.feed(Block(i * 100, bytes(200), i / 10))
    assert sum(len(pcm) for _, pcm in gate._kept) <= 2 * (100 + 60 + 100)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.booleans(), st.sampled_from([0, 0, 0, 20, 90])), min_size=1, max_size=30),
    st.sampled_from([10, 20, 30]),
)
def test_samples_keep_their_positions_on_random_input(pieces: list[tuple[int, bool, int]], frame_ms: int) -> None:
    """Speech, block sizes and holes are random."""
    settings_ = Settings(frame_ms=frame_ms, onset_ms=60, onset_ratio=0.5, pre_roll_ms=50, hangover_ms=100)  # type: ignore[arg-type]
    gate = AudioGate(settings_, RATE, voiced_frame)
    events: list[SegmentEvent] = []
    at = 0
    for length, voice, hole in pieces:
        at += hole
        events += gate.feed(Block(at, array("h", [at + i + LOUD * voice for i in range(length)]).tobytes(), at / RATE))
        at += length
    events += gate.finish()
    passed = passed_samples(events)
    assert all(sample % LOUD == position for position, sample in passed.items())
    assert list(passed) == sorted(passed)
    ends = [event.at for event in events if not isinstance(event, SegmentAudio)]
    assert all(a <= b for a, b in pairwise(ends))


# -- with a second opinion --------------------------------------------------------------------------------------------

WITH_SECOND_OPINION = Settings(
    onset_ms=60, onset_ratio=0.6, pre_roll_ms=100, hangover_ms=100, look_back_ms=300, patience_ms=0, opens_at=0.6
)


class FakeDetector:
    """A second detector that is certain above twice LOUD, and remembers what it heard."""

    chunk_samples = 32

    def __init__(self) -> None:
        self.heard: list[list[int]] = []

    def reset(self) -> None:
        self.heard.append([])

    def __call__(self, pcm: bytes) -> float:
        samples = array("h", pcm)
        self.heard[-1] += samples
        return sum(sample > 2 * LOUD for sample in samples) / len(samples)


def with_second_opinion(settings_: Settings = WITH_SECOND_OPINION) -> tuple[AudioGate, FakeDetector]:
    detector = FakeDetector()
    return AudioGate(settings_, RATE, voiced_frame, detector), detector


def spoken(length: int, voice: tuple[int, int], sure: tuple[int, int]) -> list[int]:
    """Return samples that are loud where webrtcvad finds a voice, and louder where the other detector is certain.

    They show positions up to 2000.
    """
    return [sample + LOUD * (sure[0] <= i < sure[1]) for i, sample in enumerate(capture(length, voice))]


def test_audio_that_is_voiced_only_for_webrtcvad_does_not_pass() -> None:
    gate, detector = with_second_opinion()
    assert in_blocks(gate, spoken(2000, (400, 1500), (0, 0)), [100]) == []
    assert detector.heard
    assert gate.likelihood is None, "it is asked no more"


def test_a_late_opinion_loses_no_speech_before_it() -> None:
    """The voice begins at 400 and is certain from 600 on: audio passes from the pre-roll before 400."""
    samples = spoken(2000, (400, 900), (600, 900))
    gate, _ = with_second_opinion()
    events = in_blocks(gate, samples, [100])
    assert events[0] == SegmentOpened(300)
    passed = passed_samples(events)
    assert [passed[i] for i in range(300, 900)] == samples[300:900]


def test_the_second_detector_hears_the_warm_up_and_then_everything_in_order() -> None:
    samples = spoken(2000, (600, 1000), (600, 1000))
    gate, detector = with_second_opinion()
    in_blocks(gate, samples, [100])
    (first, *_) = detector.heard
    start = 600 - WARM_UP_MS
    assert first[: 1000 - start] == samples[start:1000]


def test_at_the_begin_of_a_run_the_warm_up_is_shorter() -> None:
    samples = spoken(1000, (100, 600), (200, 600))
    gate, detector = with_second_opinion()
    assert in_blocks(gate, samples, [100])[0] == SegmentOpened(0)
    assert detector.heard[0][:500] == samples[:500]


def test_the_second_detector_restarts_after_a_hole() -> None:
    samples = spoken(1500, (0, 1500), (0, 0))
    gate, detector = with_second_opinion()
    gate.feed(block(samples, 0, 500))
    gate.feed(block(samples, 700, 1500))
    assert detector.heard[1][:100] == samples[700:800]


@pytest.mark.parametrize("sizes", [[20], [7, 130, 33], [2000], [30, 31, 29]])
def test_the_size_of_blocks_makes_no_difference_with_a_second_opinion(sizes: list[int]) -> None:
    samples = spoken(2000, (400, 900), (610, 905))
    whole, detector = with_second_opinion()
    parts, other = with_second_opinion()
    assert passed_samples(in_blocks(parts, samples, sizes)) == passed_samples(in_blocks(whole, samples, [100]))
    assert other.heard == detector.heard


@pytest.mark.slow
def test_the_gate_keeps_only_audio_that_an_opinion_can_need() -> None:
    """Hours of noise need the memory of pre-roll, onset, look-back and warm-up."""
    gate, _ = with_second_opinion()
    for i in range(5000):
        samples = array("h", [LOUD + 1] * 100).tobytes()
        gate.feed(Block(i * 100, samples, i / 10))
    assert sum(len(pcm) for _, pcm in gate._kept) <= 2 * (100 + 60 + 300 + WARM_UP_MS + 100)


def test_a_suspended_second_opinion_is_not_asked() -> None:
    gate, detector = with_second_opinion()
    gate.suspend_second_opinion()
    assert not gate.has_second_opinion
    assert in_blocks(gate, spoken(1000, (400, 500), (0, 0)), [100])[0] == SegmentOpened(300)
    assert detector.heard == []


def test_a_resumed_second_opinion_restarts() -> None:
    """The second opinion decides from the next frame on, with a warm-up as after an onset."""
    gate, detector = with_second_opinion()
    gate.suspend_second_opinion()
    samples = spoken(2000, (0, 2000), (0, 0))
    assert passed_samples(in_blocks(gate, samples[:1000], [100]))
    gate.resume_second_opinion()
    events = [event for start in range(1000, 1500, 100) for event in gate.feed(block(samples, start, start + 100))]
    assert isinstance(events[-1], SegmentClosed)
    assert detector.heard[0][:100] == samples[1000 - WARM_UP_MS : 1000 - WARM_UP_MS + 100]


def test_without_a_second_opinion_there_is_none_to_resume() -> None:
    gate = AudioGate(WITH_SECOND_OPINION, 1000, lambda frame: True)
    gate.resume_second_opinion()
    assert not gate.has_second_opinion


def test_an_outcome_without_words_reaches_the_second_opinion() -> None:
    """Likely but not certain speech holds the gate open until then."""
    gate, _ = with_second_opinion(replace(WITH_SECOND_OPINION, wordless_s=1, stays_at=0.0))
    samples = spoken(2000, (0, 2000), (0, 100))
    in_blocks(gate, samples[:1000], [100])
    assert gate.is_open
    gate.note_outcome(1000, words=False)
    for start in range(1000, 1500, 100):
        gate.feed(block(samples, start, start + 100))
    assert not gate.is_open


def test_a_disabled_gate_asks_no_second_opinion() -> None:
    gate, detector = with_second_opinion(replace(WITH_SECOND_OPINION, enabled=False))
    assert in_blocks(gate, spoken(500, (0, 500), (0, 500)), [100])[0] == SegmentOpened(0)
    assert detector.heard == []


def test_the_gate_is_calm_without_voice_and_mid_speech_while_a_voice_goes_on() -> None:
    """Everywhere else speech may begin or end."""
    samples = capture(2000, (320, 340), (700, 950))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    assert not gate.is_calm, "before the first block"
    states = {}
    for start in range(0, 2000, 100):
        gate.feed(block(samples, start, start + 100))
        states[start] = (gate.is_calm, gate.is_mid_speech)
    assert [start for start in states if not states[start][0]] == [300, 700, 800, 900]
    assert [start for start in states if states[start][1]] == [700, 800]
