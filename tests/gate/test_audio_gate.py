"""The gate puts samples to what the gate lets through. A sample's value tells its position here."""

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
    """A detector that hears a voice where most samples are above LOUD."""
    samples = array("h", frame)
    return 2 * sum(sample >= LOUD for sample in samples) > len(samples)


def capture(length: int, *voices: tuple[int, int]) -> list[int]:
    """Samples that count up, and are loud where somebody speaks."""
    return [i + LOUD * any(a <= i < b for a, b in voices) for i in range(length)]


def block(samples: list[int], start: int, end: int) -> Block:
    return Block(start, array("h", samples[start:end]).tobytes(), start / RATE)


def in_blocks(gate: AudioGate, samples: list[int], sizes: list[int], *, start: int = 0) -> list[SegmentEvent]:
    let: list[SegmentEvent] = []
    for i in range(len(samples)):
        end = min(len(samples), start + sizes[i % len(sizes)])
        if start < end:
            let += gate.feed(block(samples, start, end))
        start = end
    return let


def heard(let: list[SegmentEvent]) -> dict[int, int]:
    """Position to sample; no position twice."""
    found: dict[int, int] = {}
    for event in let:
        if isinstance(event, SegmentAudio):
            for i, sample in enumerate(array("h", event.pcm)):
                assert event.position + i not in found, "let through twice"
                found[event.position + i] = sample
    return found


def test_what_is_let_through_are_the_very_samples_from_the_pre_roll_to_the_hangover() -> None:
    """Voice from 400 to 500: 100 of pre-roll, 50 of hangover, and 50 of it withheld."""
    samples = capture(1000, (400, 500))
    let = in_blocks(AudioGate(SETTINGS, RATE, voiced_frame), samples, [100])
    assert heard(let) == {i: samples[i] for i in range(300, 550)}
    assert let[0] == SegmentOpened(300)
    assert let[-1] == SegmentClosed(550)


def test_voiced_parts_travel_with_the_audio_once() -> None:
    let = in_blocks(AudioGate(SETTINGS, RATE, voiced_frame), capture(1000, (400, 500)), [100])
    assert [part for event in let if isinstance(event, SegmentAudio) for part in event.voiced] == [(400, 500)]


@pytest.mark.parametrize("frame_ms", [10, 20, 30])
@pytest.mark.parametrize("sizes", [[100], [1], [7, 130, 33], [1000], [30, 31, 29]])
def test_the_size_of_blocks_makes_no_difference(frame_ms: int, sizes: list[int]) -> None:
    """Frames of 30 ms don't divide blocks of 100 ms: what is left of a block is judged with the next."""
    samples = capture(1500, (390, 600), (1080, 1110))
    settings = Settings(frame_ms=frame_ms, onset_ms=60, onset_ratio=0.5, pre_roll_ms=90, hangover_ms=120)  # type: ignore[arg-type]
    whole = AudioGate(settings, RATE, voiced_frame)
    parts = AudioGate(settings, RATE, voiced_frame)
    assert heard(in_blocks(parts, samples, sizes)) == heard(in_blocks(whole, samples, [1500]))


def test_a_first_block_may_begin_anywhere() -> None:
    """The source's first position need not be 0."""
    samples = capture(1000, (500, 1000))
    let = in_blocks(AudioGate(SETTINGS, RATE, voiced_frame), samples, [100], start=500)
    assert let[0] == SegmentOpened(500)
    assert min(heard(let)) == 500


def test_a_long_hole_parts_the_segment_and_neither_invents_nor_loses_a_sample() -> None:
    samples = capture(1000, (300, 1000))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    let = [*gate.feed(block(samples, 0, 450)), *gate.feed(block(samples, 600, 1000))]
    assert [event for event in let if not isinstance(event, SegmentAudio)] == [
        SegmentOpened(200),
        SegmentClosed(450),
        SegmentOpened(600),
    ]
    assert heard(let) == {i: samples[i] for i in [*range(200, 450), *range(600, 1000)]}


def test_a_short_hole_is_bridged() -> None:
    samples = capture(1000, (300, 1000))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    let = [*gate.feed(block(samples, 0, 450)), *gate.feed(block(samples, 500, 1000))]
    assert [event for event in let if not isinstance(event, SegmentAudio)] == [SegmentOpened(200)]
    assert heard(let) == {i: samples[i] for i in [*range(200, 450), *range(500, 1000)]}


def test_at_the_end_the_samples_that_make_up_no_frame_are_let_through_too() -> None:
    samples = capture(455, (300, 455))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    let = [*gate.feed(block(samples, 0, 455)), *gate.finish()]
    assert let[-1] == SegmentClosed(455)
    assert max(heard(let)) == 454


def test_after_an_end_it_can_go_on() -> None:
    """A microphone that was unplugged comes back: its audio lies later."""
    samples = capture(2000, (300, 455), (1500, 2000))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    gate.feed(block(samples, 0, 455))
    gate.finish()
    assert not gate.is_open
    let = gate.feed(block(samples, 1400, 2000))
    assert let[0] == SegmentOpened(1400)
    assert heard(let) == {i: samples[i] for i in range(1400, 2000)}


def test_forced_it_lets_silence_through() -> None:
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    samples = capture(400)
    assert gate.feed(block(samples, 0, 200)) == []
    assert heard(gate.feed(block(samples, 200, 400), forced=True)) == {i: i for i in range(100, 350)}


def test_it_keeps_no_more_of_the_past_than_a_segment_may_reach_back() -> None:
    """An hour of silence costs the memory of a pre-roll."""
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    for i in range(36_000):
        gate.feed(Block(i * 100, bytes(200), i / 10))
    assert sum(len(pcm) for _, pcm in gate._kept) <= 2 * (100 + 60 + 100)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.booleans(), st.sampled_from([0, 0, 0, 20, 90])), min_size=1, max_size=30),
    st.sampled_from([10, 20, 30]),
)
def test_whatever_comes_samples_keep_their_positions(pieces: list[tuple[int, bool, int]], frame_ms: int) -> None:
    """Random talk, random block sizes, random holes."""
    settings_ = Settings(frame_ms=frame_ms, onset_ms=60, onset_ratio=0.5, pre_roll_ms=50, hangover_ms=100)  # type: ignore[arg-type]
    gate = AudioGate(settings_, RATE, voiced_frame)
    let: list[SegmentEvent] = []
    at = 0
    for length, voice, hole in pieces:
        at += hole
        let += gate.feed(Block(at, array("h", [at + i + LOUD * voice for i in range(length)]).tobytes(), at / RATE))
        at += length
    let += gate.finish()
    found = heard(let)
    assert all(sample % LOUD == position for position, sample in found.items())
    assert list(found) == sorted(found)
    ends = [event.at for event in let if not isinstance(event, SegmentAudio)]
    assert all(a <= b for a, b in pairwise(ends))


# -- with a second opinion --------------------------------------------------------------------------------------------

SECONDED = Settings(
    onset_ms=60, onset_ratio=0.6, pre_roll_ms=100, hangover_ms=100, look_back_ms=300, patience_ms=0, opens_at=0.6
)


class Ear:
    """A second detector that is sure of what is louder than twice LOUD, and remembers what it was given."""

    chunk_samples = 32

    def __init__(self) -> None:
        self.heard: list[list[int]] = []

    def reset(self) -> None:
        self.heard.append([])

    def __call__(self, pcm: bytes) -> float:
        samples = array("h", pcm)
        self.heard[-1] += samples
        return sum(sample > 2 * LOUD for sample in samples) / len(samples)


def seconded(settings_: Settings = SECONDED) -> tuple[AudioGate, Ear]:
    ear = Ear()
    return AudioGate(settings_, RATE, voiced_frame, ear), ear


def spoken(length: int, voice: tuple[int, int], sure: tuple[int, int]) -> list[int]:
    """Loud where webrtcvad hears a voice, louder where the other one is sure. Positions up to 2000 can be told."""
    return [sample + LOUD * (sure[0] <= i < sure[1]) for i, sample in enumerate(capture(length, voice))]


def test_what_only_the_first_hears_is_not_let_through() -> None:
    gate, ear = seconded()
    assert in_blocks(gate, spoken(2000, (400, 1500), (0, 0)), [100]) == []
    assert ear.heard
    assert gate.likelihood is None, "it is asked no more"


def test_a_late_opinion_loses_nothing_of_what_was_said_before_it() -> None:
    """Voiced from 400, sure from 600 on: let through from the pre-roll before 400."""
    samples = spoken(2000, (400, 900), (600, 900))
    gate, _ = seconded()
    let = in_blocks(gate, samples, [100])
    assert let[0] == SegmentOpened(300)
    found = heard(let)
    assert [found[i] for i in range(300, 900)] == samples[300:900]


def test_it_hears_what_came_before_the_onset_and_then_all_of_it_in_order() -> None:
    samples = spoken(2000, (600, 1000), (600, 1000))
    gate, ear = seconded()
    in_blocks(gate, samples, [100])
    (first, *_) = ear.heard
    start = 600 - WARM_UP_MS
    assert first[: 1000 - start] == samples[start:1000]


def test_at_the_beginning_of_a_run_there_is_less_to_hear() -> None:
    samples = spoken(1000, (100, 600), (200, 600))
    gate, ear = seconded()
    assert in_blocks(gate, samples, [100])[0] == SegmentOpened(0)
    assert ear.heard[0][:500] == samples[:500]


def test_after_a_hole_it_listens_anew() -> None:
    samples = spoken(1500, (0, 1500), (0, 0))
    gate, ear = seconded()
    gate.feed(block(samples, 0, 500))
    gate.feed(block(samples, 700, 1500))
    assert ear.heard[1][:100] == samples[700:800]


@pytest.mark.parametrize("sizes", [[20], [7, 130, 33], [2000], [30, 31, 29]])
def test_with_a_second_opinion_too_the_size_of_blocks_makes_no_difference(sizes: list[int]) -> None:
    samples = spoken(2000, (400, 900), (610, 905))
    whole, ear = seconded()
    parts, other = seconded()
    assert heard(in_blocks(parts, samples, sizes)) == heard(in_blocks(whole, samples, [100]))
    assert other.heard == ear.heard


def test_it_keeps_no_more_of_the_past_than_an_opinion_may_need() -> None:
    """Hours of noise: pre-roll, onset, how late an opinion may be, and what the detector hears before."""
    gate, _ = seconded()
    for i in range(5000):
        samples = array("h", [LOUD + 1] * 100).tobytes()
        gate.feed(Block(i * 100, samples, i / 10))
    assert sum(len(pcm) for _, pcm in gate._kept) <= 2 * (100 + 60 + 300 + WARM_UP_MS + 100)


def test_given_up_it_is_not_asked() -> None:
    gate, ear = seconded()
    gate.suspend_second_opinion()
    assert not gate.has_second_opinion
    assert in_blocks(gate, spoken(1000, (400, 500), (0, 0)), [100])[0] == SegmentOpened(300)
    assert ear.heard == []


def test_asked_again_it_listens_afresh() -> None:
    """From the next frame on, with what came just before it, as after an onset; and it is it who decides."""
    gate, ear = seconded()
    gate.suspend_second_opinion()
    samples = spoken(2000, (0, 2000), (0, 0))
    assert heard(in_blocks(gate, samples[:1000], [100]))
    gate.resume_second_opinion()
    let = [event for start in range(1000, 1500, 100) for event in gate.feed(block(samples, start, start + 100))]
    assert isinstance(let[-1], SegmentClosed)
    assert ear.heard[0][:100] == samples[1000 - WARM_UP_MS : 1000 - WARM_UP_MS + 100]


def test_who_never_had_a_second_opinion_has_none_again() -> None:
    gate = AudioGate(SECONDED, 1000, lambda frame: True)
    gate.resume_second_opinion()
    assert not gate.has_second_opinion


def test_words_that_do_not_come_reach_it() -> None:
    """What is likely, and not sure, holds the gate until then."""
    gate, _ = seconded(replace(SECONDED, wordless_s=1, stays_at=0.0))
    samples = spoken(2000, (0, 2000), (0, 100))
    in_blocks(gate, samples[:1000], [100])
    assert gate.is_open
    gate.note_outcome(1000, words=False)
    for start in range(1000, 1500, 100):
        gate.feed(block(samples, start, start + 100))
    assert not gate.is_open


def test_disabled_it_asks_nobody() -> None:
    gate, ear = seconded(replace(SECONDED, enabled=False))
    assert in_blocks(gate, spoken(500, (0, 500), (0, 500)), [100])[0] == SegmentOpened(0)
    assert ear.heard == []


def test_it_is_calm_where_nobody_speaks_and_in_mid_speech_where_a_voice_has_not_ended() -> None:
    """Else somebody may be about to begin or to end."""
    samples = capture(2000, (320, 340), (700, 950))
    gate = AudioGate(SETTINGS, RATE, voiced_frame)
    assert not gate.is_calm, "before anything was heard"
    states = {}
    for start in range(0, 2000, 100):
        gate.feed(block(samples, start, start + 100))
        states[start] = (gate.is_calm, gate.is_mid_speech)
    assert [start for start in states if not states[start][0]] == [300, 700, 800, 900]
    assert [start for start in states if states[start][1]] == [700, 800]
