"""The gate, by literal verdicts. At 1000 samples a second positions are milliseconds; a frame is 20 of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.settings import GateSettings as Settings
from edged.gate.gate import Gate, GateEvent, PassedRange, SegmentClosed, SegmentOpened
from tests.gate.common import joined, spans

FRAME = 20
SETTINGS = Settings(onset_ms=100, onset_ratio=0.6, pre_roll_ms=200, hangover_ms=100, max_segment_s=10)
"""Three voiced frames of five open it; the last 50 ms of a hangover are withheld."""


def verdicts(picture: str) -> list[bool]:
    """Return verdicts: `v` is a voiced frame, `.` is none."""
    return [mark == "v" for mark in picture]


def feed(picture: str, settings: Settings = SETTINGS, *, forced: bool = False) -> list[GateEvent]:
    return Gate(settings, 1000).feed(0, FRAME, verdicts(picture), forced=forced)


def test_the_gate_opens_when_enough_of_the_onset_window_is_voiced() -> None:
    assert feed("." * 20 + "v.v") == []
    assert feed("." * 20 + "v.v.v")[0] == SegmentOpened(200)


def test_voiced_frames_spread_wider_than_the_window_do_not_open_the_gate() -> None:
    assert feed("v...v...v...v...v") == []


def test_with_30_ms_frames_the_share_is_not_rounded_down() -> None:
    """160 ms hold five frames of 30 ms; half of them is three, as two would be less than half."""
    gate = Gate(Settings(frame_ms=30), 1000)
    assert gate.feed(0, 30, verdicts("vv...")) == []
    assert SegmentOpened(0) in gate.feed(150, 30, verdicts("vvv"))


def test_a_segment_begins_a_pre_roll_before_the_first_voiced_frame_of_its_onset() -> None:
    """The first voiced frame is at 400, so the segment begins at 200, though the gate opens at 500."""
    assert feed("." * 20 + "v.v.v") == [SegmentOpened(200), PassedRange(200, 500, ((400, 420), (440, 460), (480, 500)))]


def test_the_pre_roll_is_cut_at_the_beginning_of_the_run() -> None:
    assert feed("..vvv") == [SegmentOpened(0), PassedRange(0, 100, ((40, 100),))]


def test_the_gate_closes_a_hangover_after_the_last_voiced_frame() -> None:
    """The voice ends at 60, so the gate closes at 160; half of the hangover is withheld for the next pre-roll."""
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("vvv...."))
    assert gate.is_open
    assert gate.feed(140, FRAME, verdicts(".")) == [SegmentClosed(110)]
    assert not gate.is_open


def test_a_single_voiced_frame_renews_the_hangover() -> None:
    assert feed("vvv" + "....v" + "." * 20)[-1] == SegmentClosed(210)


def test_withheld_audio_passes_when_speech_goes_on() -> None:
    gate = Gate(SETTINGS, 1000)
    assert spans(gate.feed(0, FRAME, verdicts("vvv...."))) == [(0, 110)]
    assert spans(gate.feed(140, FRAME, verdicts("v"))) == [(110, 160)]


def test_withheld_audio_is_the_pre_roll_of_the_next_segment() -> None:
    """Nothing passes twice: the pre-roll of 200 is cut where the last segment ended."""
    events = feed("vvv" + "." * 5 + "..vvv")
    assert spans(events) == [(0, 110), (110, 260)]
    assert [event for event in events if not isinstance(event, PassedRange)] == [
        SegmentOpened(0),
        SegmentClosed(110),
        SegmentOpened(110),
    ]


def test_what_passes_does_not_depend_on_how_frames_are_grouped() -> None:
    picture = "." * 13 + "v.vv.." + "." * 30 + "vvv......"
    gate = Gate(SETTINGS, 1000)
    one_by_one = [e for i, v in enumerate(verdicts(picture)) for e in gate.feed(i * FRAME, FRAME, [v])]
    at_once = feed(picture)
    assert [e for e in one_by_one if not isinstance(e, PassedRange)] == [
        e for e in at_once if not isinstance(e, PassedRange)
    ]
    assert joined(one_by_one) == joined(at_once)


def test_a_disabled_gate_passes_everything_from_the_first_sample() -> None:
    assert feed("....", Settings(enabled=False, pre_roll_ms=0)) == [SegmentOpened(0), PassedRange(0, 80, ())]


def test_a_disabled_gate_still_splits_long_segments() -> None:
    events = feed("." * 501, Settings(enabled=False, max_segment_s=10))
    assert [e for e in events if isinstance(e, SegmentClosed)] == [SegmentClosed(10_000, continues=True)]


def test_a_forced_gate_is_open_without_voice_and_closes_without_force() -> None:
    gate = Gate(SETTINGS, 1000)
    assert gate.feed(0, FRAME, verdicts("." * 20)) == []
    assert gate.feed(400, FRAME, verdicts(".."), forced=True) == [SegmentOpened(200), PassedRange(200, 390, ())]
    assert gate.feed(440, FRAME, verdicts(".")) == [SegmentClosed(390)]


def test_a_forced_gate_stays_open_for_a_voice() -> None:
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("....v"), forced=True)
    assert gate.feed(100, FRAME, verdicts("......")) == [PassedRange(100, 150, ()), SegmentClosed(150)]


def test_forcing_keeps_an_onset_that_has_begun() -> None:
    """The pre-roll counts from the first voiced frame, not from the frame that opens."""
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("." * 20 + "v.v"))
    assert gate.feed(460, FRAME, verdicts("."), forced=True)[0] == SegmentOpened(200)


def test_a_short_hole_is_bridged() -> None:
    """After 50 ms the segment goes on without an end."""
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("vvv"))
    assert gate.skip_hole(110) == []
    assert gate.feed(110, FRAME, verdicts("v")) == [PassedRange(110, 130, ((110, 130),))]


def test_withheld_audio_before_a_hole_passes_first() -> None:
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("vvv...."))
    assert gate.skip_hole(1000) == [PassedRange(110, 140, ()), SegmentClosed(140), SegmentOpened(1000)]


def test_a_long_hole_ends_the_segment_and_the_gate_stays_open() -> None:
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("vvv"))
    assert gate.skip_hole(111) == [SegmentClosed(60), SegmentOpened(111)]
    assert gate.is_open
    assert gate.feed(111, FRAME, verdicts("."))[0] == PassedRange(111, 131, ())


def test_missing_audio_does_not_use_up_the_hangover() -> None:
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("vvv"))
    gate.skip_hole(5060)
    gate.feed(5060, FRAME, verdicts("...."))
    assert gate.is_open
    gate.feed(5140, FRAME, verdicts("."))
    assert not gate.is_open


def test_no_pre_roll_reaches_into_a_hole() -> None:
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("....."))
    gate.skip_hole(1000)
    assert gate.feed(1000, FRAME, verdicts("vvv"))[0] == SegmentOpened(1000)


def test_an_onset_does_not_reach_across_a_hole() -> None:
    gate = Gate(SETTINGS, 1000)
    gate.feed(0, FRAME, verdicts("vv"))
    gate.skip_hole(60)
    assert gate.feed(60, FRAME, verdicts("v")) == []


def test_a_long_segment_goes_on_at_the_next_sample() -> None:
    """There is no gap and no new onset; the closing says that the segment continues."""
    events = feed("v" * 502)
    assert spans(events) == [(0, 10_000), (10_000, 10_040)]
    boundary = [event for event in events if not isinstance(event, PassedRange)]
    assert boundary == [SegmentOpened(0), SegmentClosed(10_000, continues=True), SegmentOpened(10_000)]


def test_a_segment_that_becomes_too_long_in_silence_gets_no_empty_piece() -> None:
    """Nobody would notice the end of an empty piece: the words before it would wait for ever."""
    for more in range(498, 502):
        events = feed("v" * more + "." * 20)
        pieces = [i for i, event in enumerate(events) if isinstance(event, SegmentOpened)]
        assert all(isinstance(events[i + 1], PassedRange) for i in pieces)
        assert [event.continues for event in events if isinstance(event, SegmentClosed)][-1] is False


def test_at_the_end_an_open_segment_is_closed() -> None:
    gate = Gate(SETTINGS, 1000)
    assert gate.finish() == []
    gate.feed(0, FRAME, verdicts("vvv...."))
    assert gate.finish() == [PassedRange(110, 140, ()), SegmentClosed(140)]
    assert not gate.is_open


def test_frames_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="frames go on at 0, not at 20"):
        Gate(SETTINGS, 1000).feed(20, FRAME, [True])


FEED = st.tuples(st.lists(st.booleans(), min_size=1, max_size=30), st.booleans(), st.sampled_from([0, 0, 0, 30, 70]))


@given(
    st.lists(FEED, max_size=12),
    st.builds(
        Settings,
        onset_ms=st.sampled_from([30, 100, 160]),
        onset_ratio=st.sampled_from([0.3, 0.5, 1.0]),
        pre_roll_ms=st.sampled_from([0, 50, 300]),
        hangover_ms=st.sampled_from([100, 800]),
        max_segment_s=st.just(10),
    ),
)
def test_segments_are_in_order_contiguous_and_begin_before_their_voice_on_random_verdicts(
    feeds: list[tuple[list[bool], bool, int]], settings: Settings
) -> None:
    gate = Gate(settings, 1000)
    at = floor = 0
    events: list[GateEvent] = []
    lost: list[tuple[int, int]] = []
    voiced: set[int] = set()
    for frames, forced, hole in feeds:
        if hole:
            lost.append((at, at + hole))
            at += hole
            events += gate.skip_hole(at)
        voiced |= {at + i * FRAME for i, v in enumerate(frames) if v}
        reach_back = at + FRAME - gate.history_samples
        before = len(events)
        events += gate.feed(at, FRAME, frames, forced=forced)
        # Nothing is asked for that the caller may have dropped.
        assert all(e.at >= reach_back for e in events[before:] if isinstance(e, SegmentOpened))
        at += len(frames) * FRAME
    events += gate.finish()

    end, is_open = 0, False
    for event in events:
        if isinstance(event, SegmentOpened):
            assert not is_open
            assert event.at >= end, "passed twice"
            is_open, floor, end = True, end, event.at
        elif isinstance(event, PassedRange):
            assert is_open
            assert event.start < event.end
            skipped = (end, event.start)
            assert event.start == end or skipped in lost, "a gap inside a segment that is no hole"
            voiced_starts = [start for start, _ in event.voiced]
            assert voiced_starts == sorted(voiced_starts)
            for start, stop in event.voiced:
                assert event.start <= start < stop <= event.end
                assert set(range(start, stop, FRAME)) <= voiced
                holes_before = [stop_of_hole for _, stop_of_hole in lost if stop_of_hole <= start]
                earliest = max([floor, start - settings.pre_roll_ms, *holes_before])
                assert first_of(events, event) <= earliest, "the pre-roll is missing"
            end = event.end
        else:
            assert is_open
            assert event.at == end
            is_open = False
    assert not is_open
    assert all(a[1] < b[0] for a, b in pairwise(joined(events)))


def first_of(events: list[GateEvent], through: PassedRange) -> int:
    """Return the begin of the segment that holds `through`."""
    index = next(i for i, e in enumerate(events) if e is through)
    return next(e.at for e in reversed(events[:index]) if isinstance(e, SegmentOpened))
