"""The account of samples: each one is in exactly one place. Positions are small numbers; a sample tells its own."""

from array import array
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edged.stream.pending_audio import Outcome, PendingAudio


def pcm(start: int, end: int) -> bytes:
    return array("h", range(start, end)).tobytes()


def account(*pieces: tuple[int, int], voiced: tuple[tuple[int, int], ...] = (), closed: bool = True) -> PendingAudio:
    """One segment of neighbouring pieces."""
    made = PendingAudio()
    made.open(pieces[0][0])
    for start, end in pieces:
        made.append(start, pcm(start, end), tuple(v for v in voiced if start <= v[0] < end))
    if closed:
        made.close()
    return made


def test_audio_is_read_back_as_it_came_and_piece_by_piece() -> None:
    made = account((10, 20), (20, 30))
    assert made.read(0, 100) == (10, pcm(10, 20))
    assert made.read(15, 100) == (15, pcm(15, 20))
    assert made.read(20, 4) == (20, pcm(20, 24))
    assert made.read(30, 4) is None


def test_what_is_answered_is_skipped() -> None:
    made = account((10, 20), (20, 30))
    made.release(12, 25, "recorded")
    assert made.read(0, 100) == (10, pcm(10, 12))
    assert made.read(12, 100) == (25, pcm(25, 30))


def test_a_sample_leaves_once() -> None:
    """Answering it twice counts once."""
    made = account((0, 10))
    assert made.release(0, 6, "recorded") == 6
    assert made.release(4, 10, "silence") == 4
    assert made.release(0, 10, "evicted") == 0
    assert made.released_samples == {"recorded": 6, "silence": 4, "evicted": 0, "handed over": 0}


def test_released_audio_is_reported_in_order() -> None:
    made = account((0, 10))
    made.release(0, 4, "silence")
    made.release(0, 2, "silence")
    made.release(4, 10, "recorded")
    assert [tuple(left) for left in made.released] == [(0, 4, "silence"), (4, 10, "recorded")]


def test_audio_enters_the_open_segment_only_and_in_order() -> None:
    made = PendingAudio()
    with pytest.raises(ValueError, match="no segment is open"):
        made.append(0, pcm(0, 10))
    with pytest.raises(ValueError, match="no segment is open"):
        made.close()
    made.open(0)
    made.append(0, pcm(0, 10))
    with pytest.raises(ValueError, match="no segment is open for audio at 9"):
        made.append(9, pcm(9, 12))
    with pytest.raises(ValueError, match="its predecessor ends at 10"):
        made.open(10)
    made.close()
    with pytest.raises(ValueError, match="its predecessor ends at 10"):
        made.open(9)
    with pytest.raises(ValueError, match="no segment is open"):
        made.append(10, pcm(10, 12))


def test_pieces_of_one_long_segment_are_a_chain_and_others_are_not() -> None:
    made = account((0, 10), closed=False)
    made.close(continues=True)
    made.open(10)
    made.append(10, pcm(10, 20))
    made.close()
    made.open(20)
    made.append(20, pcm(20, 30))
    assert [segment.chain_start for segment in made.segments] == [0, 0, 20]
    assert [segment.is_over for segment in made.segments] == [False, True, False]
    assert made.split_by_segment(5, 25) == [(5, 20), (20, 25)]


def test_a_chain_goes_on_even_if_its_first_piece_is_answered_already() -> None:
    made = account((0, 10), closed=False)
    made.release(0, 10, "recorded")
    made.close(continues=True)
    made.open(10)
    assert made.segments[-1].chain_start == 0


def test_a_segment_is_found_by_its_positions() -> None:
    made = account((10, 20), (20, 30))
    assert made.segment_at(9) is None
    assert made.segment_at(30) is None
    found = made.segment_at(29)
    assert found
    assert (found.start, found.end) == (10, 30)


def test_voice_and_quiet_are_told_of_any_range() -> None:
    made = account((0, 50), voiced=((10, 20), (30, 40)))
    assert made.has_voice(0, 11)
    assert not made.has_voice(20, 30)
    assert made.quiet_runs(15, 50) == [(20, 30), (40, 50)]
    assert made.segments[0].voiced_end == 40


def test_between_segments_it_is_quiet() -> None:
    made = account((0, 10), voiced=((0, 10),))
    made.open(50)
    made.append(50, pcm(50, 60), ((50, 60),))
    assert made.quiet_runs(5, 60) == [(10, 50)]


def test_a_split_is_as_if_the_gate_had_closed_there() -> None:
    made = account((0, 20), voiced=((5, 15),), closed=False)
    made.close(continues=True)
    made.open(20)
    made.append(20, pcm(20, 30))
    made.split(10)
    assert [(s.start, s.end, s.chain_start, s.is_over) for s in made.segments] == [
        (0, 10, 0, True),
        (10, 20, 10, False),
        (20, 30, 10, False),
    ]
    assert [list(s.voiced) for s in made.segments] == [[(5, 10)], [(10, 15)], []]


def test_a_segment_is_parted_in_its_pauses_and_at_its_ends_but_not_in_its_pre_roll() -> None:
    """A click in the pre-roll is no speech. Without speech there is no pause either."""
    made = account((10, 60), voiced=((14, 15), (20, 30), (40, 50)))
    assert made.pauses(10, 60, 5) == [10, 35, 55, 60]
    assert made.pauses(12, 60, 5) == [35, 55, 60]
    assert account((10, 60), closed=False).pauses(10, 60, 5) == [10]


def test_a_piece_that_continues_a_segment_has_no_pre_roll_of_its_own() -> None:
    made = account((10, 30), voiced=((10, 28),), closed=False)
    made.close(continues=True)
    made.open(30)
    made.append(30, pcm(30, 60), ((50, 60),))
    assert made.pauses(30, 60, 5) == [40]


def test_the_oldest_audio_is_what_waits_of_the_first_piece() -> None:
    made = account((0, 10), (10, 20))
    made.release(0, 4, "recorded")
    assert made.oldest_audio() == (4, 10)
    made.release(4, 20, "recorded")
    assert made.oldest_audio() is None


class Law(RuleBasedStateMachine):
    """A sample enters as waiting, once, and leaves to one place, once; its audio is kept as long as it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.account = PendingAudio()
        self.where: dict[int, str] = {}
        self.at = 0
        self.is_open = False

    @precondition(lambda self: not self.is_open)
    @rule(skip=st.sampled_from([0, 0, 5]))
    def open(self, skip: int) -> None:
        self.at += skip
        self.account.open(self.at)
        self.is_open = True

    @precondition(lambda self: self.is_open)
    @rule(length=st.integers(1, 20), hole=st.sampled_from([0, 0, 0, 3]), voice=st.booleans())
    def append(self, length: int, hole: int, voice: bool) -> None:
        self.at += hole
        end = self.at + length
        self.account.append(self.at, pcm(self.at, end), ((self.at, end),) if voice else ())
        self.where |= dict.fromkeys(range(self.at, end), "waiting")
        self.at = end

    @precondition(lambda self: self.is_open)
    @rule(continues=st.booleans())
    def close(self, continues: bool) -> None:
        self.account.close(continues=continues)
        self.is_open = False

    @rule(data=st.data(), fate=st.sampled_from(["recorded", "silence", "evicted", "handed over"]))
    def release(self, data: Any, fate: Outcome) -> None:
        start = data.draw(st.integers(0, self.at + 5))
        end = data.draw(st.integers(start, self.at + 5))
        mine = [p for p in range(start, end) if self.where.get(p) == "waiting"]
        assert self.account.release(start, end, fate) == len(mine)
        self.where |= dict.fromkeys(mine, fate)

    @rule(data=st.data())
    def split(self, data: Any) -> None:
        self.account.split(data.draw(st.integers(0, self.at)))

    @invariant()
    def every_sample_is_in_exactly_one_place(self) -> None:
        waiting = {p for start, end in self.account.waiting for p in range(start, end)}
        assert waiting == {p for p, where in self.where.items() if where == "waiting"}
        for fate, count in self.account.released_samples.items():
            assert count == sum(where == fate for where in self.where.values())
        assert self.account.accepted_samples == len(self.where)

    @invariant()
    def everything_that_waits_can_be_read_as_it_came(self) -> None:
        position, found = 0, dict[int, int]()
        while (piece := self.account.read(position, 7)) is not None:
            start, audio = piece
            for i, sample in enumerate(array("h", audio)):
                found[start + i] = sample
            position = start + len(audio) // 2
        assert found == {p: p for p, where in self.where.items() if where == "waiting"}

    @invariant()
    def no_audio_is_kept_of_which_nothing_waits(self) -> None:
        for start, audio in self.account._audio:
            assert any(self.where[p] == "waiting" for p in range(start, start + len(audio) // 2))

    @invariant()
    def whatever_waits_has_its_segment(self) -> None:
        for start, end in self.account.waiting:
            assert self.account.segment_at(start)
            assert self.account.segment_at(end - 1)
        bounds = [(s.start, s.end) for s in self.account.segments]
        assert bounds == sorted(bounds)


TestLaw = Law.TestCase
TestLaw.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    ("loud", "where"),
    [
        ([(0, 100)], 50),
        ([(0, 50), (60, 100)], 55),
        ([(0, 20), (26, 100)], 23),
    ],
)
def test_the_quietest_place_is_where_least_is_heard_and_else_in_the_middle(
    loud: list[tuple[int, int]], where: int
) -> None:
    made = PendingAudio()
    made.open(0)
    made.append(0, array("h", [9 * any(a <= at < b for a, b in loud) for at in range(100)]).tobytes())
    assert abs(made.quietest_position(0, 100, 10) - where) <= 5


def test_what_no_longer_waits_is_not_the_quietest() -> None:
    made = account((0, 100))
    made.release(0, 60, "recorded")
    assert made.quietest_position(0, 100, 10) in range(60, 70)
    made.release(60, 100, "recorded")
    assert made.quietest_position(0, 100, 10) == 50
