"""The second opinion, by literal verdicts and likelihoods. At 1000 samples a second positions are milliseconds."""

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


class Ear:
    """A second detector: how sure it is, by time; and what it was asked."""

    def __init__(self, sure: Callable[[int], float]) -> None:
        self._sure = sure
        self.asked: list[tuple[int, int]] = []

    def __call__(self, since: int, end: int) -> float:
        self.asked.append((since, end))
        return self._sure(end)


def within(*stretches: tuple[int, int], low: float = 0.0, high: float = 1.0) -> Callable[[int], float]:
    return lambda at: high if any(a < at <= b for a, b in stretches) else low


class Room:
    """webrtcvad's verdicts and an ear's likelihoods, through Second and Gate, as Intake does it."""

    def __init__(self, ear: Ear, settings: Settings = SETTINGS) -> None:
        self.ear = ear
        self.second = SecondOpinion(settings, 1000, ear)
        self.gate = Gate(settings, 1000, look_back=self.second.look_back)
        self.at = 0

    def hear(self, picture: str, *, forced: bool = False) -> list[GateEvent]:
        events: list[GateEvent] = []
        for mark in picture:
            end = self.at + FRAME
            opinion = self.second.judge(self.at, end, mark == "v", is_open=self.gate.is_open)
            events += self.gate.feed(self.at, FRAME, [mark == "v"], forced=forced, opinion=opinion)
            self.at = end
        return events


def edges(events: list[GateEvent]) -> list[GateEvent]:
    return [event for event in events if not isinstance(event, PassedRange)]


def test_it_is_not_asked_before_there_is_an_onset() -> None:
    room = Room(Ear(within()))
    room.hear("." * 50 + "v.." * 5)
    assert room.ear.asked == []
    assert room.second.is_idle


def test_from_the_onset_on_it_is_asked_and_has_listened_to_what_came_before() -> None:
    """The first voiced frame is at 1000; the third, which completes the onset, ends at 1060."""
    room = Room(Ear(within()))
    room.hear("." * 50 + "vvvv")
    assert room.ear.asked == [(1000 - WARM_UP_MS, 1060), (1000 - WARM_UP_MS, 1080)]


def test_noise_does_not_open_the_gate_however_long_it_is_voiced() -> None:
    assert Room(Ear(within(low=0.59))).hear("v" * 500) == []


def test_it_is_no_longer_asked_when_webrtcvad_has_been_silent_for_a_while() -> None:
    room = Room(Ear(within()))
    room.hear("vvv" + "." * 100)
    assert room.ear.asked[-1][1] == 60 + SLEEP_MS
    assert room.second.is_idle


def test_a_late_decision_opens_back_at_the_onset_and_cuts_nothing() -> None:
    """Voiced from 1000 on, sure from 1300 on: let through from 800, with all that was voiced meanwhile."""
    room = Room(Ear(within((1300, 9999))))
    events = room.hear("." * 50 + "v" * 20)
    assert events[:2] == [SegmentOpened(800), PassedRange(800, 1320, ((1000, 1320),))]


def test_a_decision_that_is_too_late_reaches_back_as_far_as_it_may() -> None:
    """Noise from 1000 on, speech in it at 3000: what lies 500 and the pre-roll before the decision is let through."""
    room = Room(Ear(within((3000, 9999))))
    assert room.hear("." * 50 + "v" * 110)[0] == SegmentOpened(3020 - 500 - 200)


def test_what_may_still_be_let_through_is_not_given_up() -> None:
    """For the ring: `let_to` never passes what a later opening reaches back to."""
    for sure_at in range(1100, 2600, 20):
        room = Room(Ear(within((sure_at, 9999))))
        given_up = 0
        opened: list[int] = []
        for mark in "." * 50 + "v" * 90:
            opened += [event.at for event in room.hear(mark) if isinstance(event, SegmentOpened)]
            if opened:
                break
            given_up = room.gate.passed_to
        assert opened[0] >= given_up


def test_once_open_less_is_enough() -> None:
    """0.2 holds it, 0.1 does not: patience apart, which one sure frame earns 8 ms of."""
    held = Room(Ear(within((0, 60), low=0.2)))
    assert edges(held.hear("v" * 100)) == [SegmentOpened(0)]
    let_go = Room(Ear(within((0, 60), low=0.1)))
    assert edges(let_go.hear("v" * 100)) == [SegmentOpened(0), SegmentClosed(110)]


def test_after_much_sure_speech_webrtcvad_alone_holds_it_for_a_while() -> None:
    """400 ms after a second of it, 200 after half a second; then the hangover of 100, of which 50 are withheld."""
    assert edges(Room(Ear(within((0, 1060), low=0.0))).hear("v" * 100)) == [
        SegmentOpened(0),
        SegmentClosed(1060 + 400 + 50),
    ]
    assert edges(Room(Ear(within((0, 540), low=0.0))).hear("v" * 100)) == [
        SegmentOpened(0),
        SegmentClosed(540 + 200 + 50),
    ]


def test_patience_ends_with_the_voice() -> None:
    assert edges(Room(Ear(within((0, 1060), low=0.0))).hear("v" * 55 + "." * 50)) == [
        SegmentOpened(0),
        SegmentClosed(1100 + 50),
    ]


def test_every_voiced_frame_is_told_even_where_it_holds_nothing() -> None:
    """What is a pause, and what silence, is judged by these: noise that may hide a word is neither."""
    events = Room(Ear(within((0, 60), low=0.0))).hear("v" * 30)
    (through,) = [event for event in events if isinstance(event, PassedRange) and event.end == 110]
    assert sum(b - a for event in events if isinstance(event, PassedRange) for a, b in event.voiced) == 110
    assert through.voiced[-1] == (100, 110), "cut where the withheld part begins"


def test_what_was_withheld_keeps_its_voice_for_the_next_opening() -> None:
    room = Room(Ear(within((0, 60), (300, 9999))))
    events = room.hear("v" * 25)
    again = events.index(next(event for event in events if isinstance(event, SegmentOpened) and event.at))
    assert events[again] == SegmentOpened(110)
    let = [event for event in events[again:] if isinstance(event, PassedRange)]
    assert let[0].start == 110
    assert let[0].voiced[0] == (110, 320)


def test_who_hears_nothing_for_long_listens_afresh() -> None:
    room = Room(Ear(within()))
    room.hear("v" * (RESTART_MS // FRAME + 10))
    assert {since for since, _ in room.ear.asked} == {0, RESTART_MS - WARM_UP_MS}


def test_who_hears_speech_goes_on_listening() -> None:
    room = Room(Ear(within(low=1.0)))
    room.hear("v" * (3 * RESTART_MS // FRAME))
    assert {since for since, _ in room.ear.asked} == {0}


def test_after_a_close_it_takes_a_new_onset() -> None:
    """The noise goes on: it is judged from the close on, not from where the speech began."""
    room = Room(Ear(within((0, 60))))
    room.hear("v" * 20)
    assert not room.gate.is_open
    assert room.ear.asked[-1][0] >= 160 - WARM_UP_MS
    assert edges(room.hear("v" * 20)) == []


def test_words_that_do_not_come_demand_more() -> None:
    """3 s sent in vain: what is only likely holds it no more. A word, and it does again."""
    room = Room(Ear(within((0, 60), (4000, 4020), low=0.3)))
    room.hear("v" * 100)
    assert room.gate.is_open
    room.second.note_outcome(3000, words=False)
    assert edges(room.hear("v" * 10)) == [SegmentClosed(2050)]
    room.second.note_outcome(0, words=True)
    assert edges(room.hear("v" * 200)) == [SegmentOpened(4020 - 500 - 200)]
    assert room.gate.is_open


def test_sure_speech_is_never_refused_for_want_of_words() -> None:
    room = Room(Ear(within(low=0.9)))
    room.second.note_outcome(1_000_000, words=False)
    assert edges(room.hear("v" * 500)) == [SegmentOpened(0)]


def test_wordless_s_0_never_demands_more() -> None:
    room = Room(Ear(within((0, 100), low=0.3)), Settings(wordless_s=0, opens_at=0.6))
    room.second.note_outcome(1_000_000, words=False)
    assert edges(room.hear("v" * 500)) == [SegmentOpened(0)]


def test_forced_open_it_waits_for_what_is_sure() -> None:
    """Priming: the gate is open without anybody speaking, and shuts again though webrtcvad hears a voice."""
    room = Room(Ear(within(low=0.3)))
    assert edges(room.hear("....", forced=True)) == [SegmentOpened(0)]
    assert edges(room.hear("v" * 20)) == [SegmentClosed(30)]


@pytest.mark.parametrize("pre_roll_ms", [0, 200])
def test_without_looking_back_it_opens_where_it_was_decided(pre_roll_ms: int) -> None:
    settings = Settings(look_back_ms=0, pre_roll_ms=pre_roll_ms, onset_ms=100, onset_ratio=0.6)
    assert Room(Ear(within(low=1.0)), settings).hear("." * 50 + "vvv")[0] == SegmentOpened(1040 - pre_roll_ms)


def test_a_hole_begins_anew() -> None:
    room = Room(Ear(within()))
    room.hear("vvv")
    room.second.reset()
    assert room.second.is_idle


def test_given_up_webrtcvad_decides_alone() -> None:
    """The machine is too slow: what opens and holds the gate then is any voice."""
    gate = Gate(SETTINGS, 1000, look_back=500)
    assert gate.feed(0, FRAME, [True] * 10) == []
    gate.ignore_opinions()
    assert edges(gate.feed(200, FRAME, [True] * 5)) == [SegmentOpened(0)]


STRETCH = st.tuples(st.booleans(), st.sampled_from([0.0, 0.3, 0.9]), st.integers(1, 40), st.booleans())


@given(st.lists(STRETCH, max_size=20), st.sampled_from([0, 100, 500]), st.sampled_from([100, 1000]))
def test_whatever_is_heard_all_that_is_wanted_is_let_through_once_and_in_order(
    stretches: list[tuple[bool, float, int, bool]], look_back_ms: int, hangover_ms: int
) -> None:
    """And so is what came before it, back to the onset or as far as it may be; no voice is told twice, or outside."""
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
