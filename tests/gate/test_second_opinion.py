"""The second opinion, with literal verdicts and likelihoods. At 1000 samples a second positions are milliseconds."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.settings import GateSettings as Settings
from edged.gate.gate import Gate, GateEvent, PassedRange, SegmentClosed, SegmentOpened
from edged.gate.second_opinion import RESTART_MS, SLEEP_MS, WARM_UP_MS, SecondOpinion
from tests.gate.common import joined, spans

FRAME = 20
SETTINGS = Settings(
    onset_ms=100,
    onset_ratio=0.6,
    opens_at=0.6,
    stays_at=0.2,
    look_back_ms=500,
    patience_ms=400,
    pre_roll_ms=200,
    hangover_ms=100,
    wordless_s=3,
)
"""webrtcvad's onset is three voiced frames of five; the last 50 ms of a hangover are withheld."""


class FakeDetector:
    """A second detector with likelihoods by time, which remembers what it was asked."""

    def __init__(self, sure: Callable[[int], float]) -> None:
        self._sure = sure
        self.asked: list[tuple[int, int]] = []

    def __call__(self, since: int, end: int) -> float:
        self.asked.append((since, end))
        return self._sure(end)


def within(*stretches: tuple[int, int], low: float = 0.0, high: float = 1.0) -> Callable[[int], float]:
    return lambda at: high if any(a < at <= b for a, b in stretches) else low


class JudgedGate:
    """A gate with a second opinion, fed with verdicts of webrtcvad and likelihoods, as AudioGate does it."""

    def __init__(self, detector: FakeDetector, settings: Settings = SETTINGS) -> None:
        self.detector = detector
        self.second = SecondOpinion(settings, 1000, detector)
        self.gate = Gate(settings, 1000, look_back=self.second.look_back)
        self.at = 0

    def feed(self, picture: str, *, forced: bool = False) -> list[GateEvent]:
        events: list[GateEvent] = []
        for mark in picture:
            end = self.at + FRAME
            opinion = self.second.judge(self.at, end, mark == "v", is_open=self.gate.is_open)
            events += self.gate.feed(self.at, FRAME, [mark == "v"], forced=forced, opinion=opinion)
            self.at = end
        return events


def edges(events: list[GateEvent]) -> list[GateEvent]:
    return [event for event in events if not isinstance(event, PassedRange)]


def test_the_detector_is_not_asked_before_an_onset() -> None:
    judged = JudgedGate(FakeDetector(within()))
    judged.feed("." * 50 + "v.." * 5)
    assert judged.detector.asked == []
    assert judged.second.is_idle


def test_from_the_onset_on_the_detector_is_asked_and_has_heard_the_warm_up() -> None:
    """The first voiced frame is at 1000; the third, which completes the onset, ends at 1060."""
    judged = JudgedGate(FakeDetector(within()))
    judged.feed("." * 50 + "vvvv")
    assert judged.detector.asked == [(1000 - WARM_UP_MS, 1060), (1000 - WARM_UP_MS, 1080)]


def test_noise_does_not_open_the_gate_however_long_it_is_voiced() -> None:
    assert JudgedGate(FakeDetector(within(low=0.59))).feed("v" * 500) == []


def test_the_detector_is_no_longer_asked_after_a_while_without_voiced_frames() -> None:
    judged = JudgedGate(FakeDetector(within()))
    judged.feed("vvv" + "." * 100)
    assert judged.detector.asked[-1][1] == 60 + SLEEP_MS
    assert judged.second.is_idle


def test_a_late_decision_opens_at_the_onset_and_cuts_nothing() -> None:
    """The voice begins at 1000 and is certain from 1300 on: audio passes from 800 on, with all voiced frames."""
    judged = JudgedGate(FakeDetector(within((1300, 9999))))
    events = judged.feed("." * 50 + "v" * 20)
    assert events[:2] == [SegmentOpened(800), PassedRange(800, 1320, ((1000, 1320),))]


def test_a_decision_that_is_too_late_reaches_back_by_look_back() -> None:
    """Noise begins at 1000, and speech in it at 3000: audio passes from 500 and the pre-roll before the decision on."""
    judged = JudgedGate(FakeDetector(within((3000, 9999))))
    assert judged.feed("." * 50 + "v" * 110)[0] == SegmentOpened(3020 - 500 - 200)


def test_passed_to_never_exceeds_what_an_opening_can_reach_back_to() -> None:
    """The ring of the spool relies on this."""
    for sure_at in range(1100, 2600, 20):
        judged = JudgedGate(FakeDetector(within((sure_at, 9999))))
        given_up = 0
        opened: list[int] = []
        for mark in "." * 50 + "v" * 90:
            opened += [event.at for event in judged.feed(mark) if isinstance(event, SegmentOpened)]
            if opened:
                break
            given_up = judged.gate.passed_to
        assert opened[0] >= given_up


def test_an_open_gate_needs_less_likelihood() -> None:
    """A likelihood of 0.2 holds the gate, and 0.1 does not, except for the patience: one certain frame earns 8 ms."""
    held = JudgedGate(FakeDetector(within((0, 60), low=0.2)))
    assert edges(held.feed("v" * 100)) == [SegmentOpened(0)]
    let_go = JudgedGate(FakeDetector(within((0, 60), low=0.1)))
    assert edges(let_go.feed("v" * 100)) == [SegmentOpened(0), SegmentClosed(110)]


def test_after_much_certain_speech_webrtcvad_alone_holds_the_gate_for_a_while() -> None:
    """A second of speech earns 400 ms, half a second 200; the hangover of 100 follows, of which 50 are withheld."""
    assert edges(JudgedGate(FakeDetector(within((0, 1060), low=0.0))).feed("v" * 100)) == [
        SegmentOpened(0),
        SegmentClosed(1060 + 400 + 50),
    ]
    assert edges(JudgedGate(FakeDetector(within((0, 540), low=0.0))).feed("v" * 100)) == [
        SegmentOpened(0),
        SegmentClosed(540 + 200 + 50),
    ]


def test_patience_ends_with_the_voice() -> None:
    assert edges(JudgedGate(FakeDetector(within((0, 1060), low=0.0))).feed("v" * 55 + "." * 50)) == [
        SegmentOpened(0),
        SegmentClosed(1100 + 50),
    ]


def test_every_voiced_frame_is_reported_even_if_it_holds_nothing_open() -> None:
    """Pauses and silence are judged by voiced frames: noise that may hide a word is neither."""
    events = JudgedGate(FakeDetector(within((0, 60), low=0.0))).feed("v" * 30)
    (through,) = [event for event in events if isinstance(event, PassedRange) and event.end == 110]
    assert sum(b - a for event in events if isinstance(event, PassedRange) for a, b in event.voiced) == 110
    assert through.voiced[-1] == (100, 110), "cut where the withheld part begins"


def test_withheld_frames_stay_voiced_for_the_next_opening() -> None:
    judged = JudgedGate(FakeDetector(within((0, 60), (300, 9999))))
    events = judged.feed("v" * 25)
    again = events.index(next(event for event in events if isinstance(event, SegmentOpened) and event.at))
    assert events[again] == SegmentOpened(110)
    let = [event for event in events[again:] if isinstance(event, PassedRange)]
    assert let[0].start == 110
    assert let[0].voiced[0] == (110, 320)


def test_a_detector_that_finds_no_speech_for_long_restarts() -> None:
    judged = JudgedGate(FakeDetector(within()))
    judged.feed("v" * (RESTART_MS // FRAME + 10))
    assert {since for since, _ in judged.detector.asked} == {0, RESTART_MS - WARM_UP_MS}


def test_a_detector_that_finds_speech_does_not_restart() -> None:
    judged = JudgedGate(FakeDetector(within(low=1.0)))
    judged.feed("v" * (3 * RESTART_MS // FRAME))
    assert {since for since, _ in judged.detector.asked} == {0}


def test_after_a_closing_a_new_onset_is_needed() -> None:
    """Noise that goes on is judged from the closing on, not from the begin of the speech."""
    judged = JudgedGate(FakeDetector(within((0, 60))))
    judged.feed("v" * 20)
    assert not judged.gate.is_open
    assert judged.detector.asked[-1][0] >= 160 - WARM_UP_MS
    assert edges(judged.feed("v" * 20)) == []


def test_audio_without_words_raises_the_needed_likelihood() -> None:
    """After 3 s without words likely speech no longer holds the gate; after a word it does again."""
    judged = JudgedGate(FakeDetector(within((0, 60), (4000, 4020), low=0.3)))
    judged.feed("v" * 100)
    assert judged.gate.is_open
    judged.second.note_outcome(3000, words=False)
    assert edges(judged.feed("v" * 10)) == [SegmentClosed(2050)]
    judged.second.note_outcome(0, words=True)
    assert edges(judged.feed("v" * 200)) == [SegmentOpened(4020 - 500 - 200)]
    assert judged.gate.is_open


def test_certain_speech_passes_even_without_words() -> None:
    judged = JudgedGate(FakeDetector(within(low=0.9)))
    judged.second.note_outcome(1_000_000, words=False)
    assert edges(judged.feed("v" * 500)) == [SegmentOpened(0)]


def test_wordless_s_0_never_raises_the_needed_likelihood() -> None:
    judged = JudgedGate(FakeDetector(within((0, 100), low=0.3)), Settings(wordless_s=0, opens_at=0.6))
    judged.second.note_outcome(1_000_000, words=False)
    assert edges(judged.feed("v" * 500)) == [SegmentOpened(0)]


def test_a_forced_gate_needs_certain_speech_to_stay_open() -> None:
    """Priming opens the gate without speech, and it closes again although webrtcvad finds a voice."""
    judged = JudgedGate(FakeDetector(within(low=0.3)))
    assert edges(judged.feed("....", forced=True)) == [SegmentOpened(0)]
    assert edges(judged.feed("v" * 20)) == [SegmentClosed(30)]


@pytest.mark.parametrize("pre_roll_ms", [0, 200])
def test_without_look_back_the_gate_opens_at_the_decision(pre_roll_ms: int) -> None:
    settings = Settings(look_back_ms=0, pre_roll_ms=pre_roll_ms, onset_ms=100, onset_ratio=0.6)
    assert JudgedGate(FakeDetector(within(low=1.0)), settings).feed("." * 50 + "vvv")[0] == SegmentOpened(
        1040 - pre_roll_ms
    )


def test_a_hole_resets_the_second_opinion() -> None:
    judged = JudgedGate(FakeDetector(within()))
    judged.feed("vvv")
    judged.second.reset()
    assert judged.second.is_idle


def test_without_opinions_webrtcvad_decides_alone() -> None:
    """On a machine that is too slow any voiced frames open and hold the gate."""
    gate = Gate(SETTINGS, 1000, look_back=500)
    assert gate.feed(0, FRAME, [True] * 10) == []
    gate.ignore_opinions()
    assert edges(gate.feed(200, FRAME, [True] * 5)) == [SegmentOpened(0)]


STRETCH = st.tuples(st.booleans(), st.sampled_from([0.0, 0.3, 0.9]), st.integers(1, 40), st.booleans())


@given(st.lists(STRETCH, max_size=20), st.sampled_from([0, 100, 500]), st.sampled_from([100, 1000]))
def test_all_wanted_audio_passes_once_and_in_order_on_random_input(
    stretches: list[tuple[bool, float, int, bool]], look_back_ms: int, hangover_ms: int
) -> None:
    """The audio before it passes too, back to the onset or by look-back. No voiced frame comes twice, or outside."""
    likelihoods: list[float] = []
    settings = Settings(onset_ms=60, look_back_ms=look_back_ms, hangover_ms=hangover_ms, pre_roll_ms=100)
    second = SecondOpinion(settings, 1000, lambda _, end: likelihoods[end // FRAME - 1])
    gate = Gate(settings, 1000, look_back=second.look_back)
    events: list[GateEvent] = []
    wanted: list[int] = []
    for voiced, likelihood, frames, forced in stretches:
        for _ in range(frames):
            start = len(likelihoods) * FRAME
            likelihoods.append(likelihood)
            reach_back = start + FRAME - gate.history_samples
            opinion = second.judge(start, start + FRAME, voiced, is_open=gate.is_open)
            wanted += [start] if opinion.is_speech else []
            now = gate.feed(start, FRAME, [voiced], forced=forced, opinion=opinion)
            assert all(event.at >= reach_back for event in now if isinstance(event, SegmentOpened)), "more than is kept"
            events += now
    events += gate.finish()
    assert all(a[1] <= b[0] for a, b in pairwise(spans(events))), "let through twice"
    pieces = joined(events)
    assert all(any(a <= start and start + FRAME <= b for a, b in pieces) for start in wanted), "not let through"
    told = [frame for event in events if isinstance(event, PassedRange) for frame in event.voiced]
    assert all(a[1] <= b[0] for a, b in pairwise(told)), "a voice told twice"
    for event in events:
        if isinstance(event, PassedRange):
            assert all(event.start <= start < end <= event.end for start, end in event.voiced)
