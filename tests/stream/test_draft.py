"""The draft of an utterance: where it may be cut, and what it becomes. Positions are milliseconds here."""

from hypothesis import given
from hypothesis import strategies as st

from edged.model.ranges import Range, Ranges
from edged.model.utterance import PlacedWord
from edged.stream.draft import Draft, QuietRuns

PAUSE = 150
LEAD = 300


def word(text: str, start: int, end: int) -> PlacedWord:
    return PlacedWord(start, end, text, text.capitalize(), 0.9, None)


def draft(end: int, *words: PlacedWord, start: int = 0) -> Draft:
    return Draft(0, start, end, "request", list(words))


def quiet(*runs: Range) -> QuietRuns:
    """The gate heard no voice there."""
    return Ranges(runs).within


AH, OH, EH = word("ah", 100, 500), word("oh", 900, 1300), word("eh", 1350, 1800)


def never(start: int, end: int) -> bool:
    return False


def test_a_words_middle_is_surely_in_it() -> None:
    assert AH.middle == 300


# -- where to go on ---------------------------------------------------------------------------------------------------


def test_the_last_pause_is_where_both_recogniser_and_gate_hear_none() -> None:
    """Words leave 500 to 900 free, the gate was quiet from 560 on."""
    assert draft(1800, AH, OH, EH).last_pause(quiet((560, 900)), PAUSE) == 730


def test_the_last_of_several_pauses_counts() -> None:
    assert draft(2200, AH, OH, EH).last_pause(quiet((500, 900), (1800, 2200)), PAUSE) == 2000


def test_silence_before_the_first_word_is_its_pre_roll_and_no_pause() -> None:
    """Going on in its middle would cut off what the word may begin with."""
    assert draft(1000, word("ah", 400, 1000)).last_pause(quiet((0, 400)), PAUSE) is None
    assert draft(1000).last_pause(quiet((0, 1000)), PAUSE) is None


def test_a_gap_that_is_too_short_may_lie_within_a_word() -> None:
    assert draft(1800, AH, OH, EH).last_pause(quiet((760, 900), (1300, 1350)), PAUSE) is None


def test_quiet_within_a_word_is_no_pause() -> None:
    assert draft(1800, word("aah", 0, 1800)).last_pause(quiet((600, 1200)), PAUSE) is None


def test_cutting_back_discards_the_words_behind() -> None:
    made = draft(1800, AH, OH, EH)
    made.truncate(700)
    assert (made.words, made.end) == ([AH], 700)


# -- how far it may be settled ----------------------------------------------------------------------------------------


def test_a_long_silence_after_the_last_word_is_settled_but_for_its_last_300_ms() -> None:
    """Words may begin too softly for the detector."""
    assert draft(3000, AH, OH).safe_end(quiet((1300, 3000)), PAUSE, LEAD) == 2700


def test_a_shorter_silence_is_parted_in_the_middle() -> None:
    assert draft(1700, AH, OH).safe_end(quiet((1300, 1700)), PAUSE, LEAD) == 1500


def test_without_a_pause_it_ends_right_after_its_last_word() -> None:
    """A word may have begun since, in which the final ended."""
    made = draft(2000, AH, OH)
    assert 1300 <= made.safe_end(quiet(), PAUSE, LEAD) <= 2000
    assert made.safe_end(quiet((1310, 1400)), PAUSE, LEAD) == 1355


def test_where_nothing_was_said_before_a_silence_300_ms_of_it_are_left() -> None:
    """However short the windows are in which the server answers the pre-roll."""
    assert draft(400).safe_end(quiet((0, 400)), PAUSE, LEAD) == 100
    assert draft(200).safe_end(quiet((0, 200)), PAUSE, LEAD) == 0
    assert draft(800).safe_end(quiet((400, 800)), PAUSE, LEAD) == 600


def test_without_words_and_without_quiet_it_ends_where_it_ends() -> None:
    assert draft(2000).safe_end(quiet(), PAUSE, LEAD) == 2000


# -- parting ----------------------------------------------------------------------------------------------------------


def test_a_long_draft_is_parted_in_the_widest_gap_between_two_words() -> None:
    assert draft(1800, AH, OH, EH).split_point(1500) == 700


def test_what_is_not_too_long_is_not_parted() -> None:
    """Counted from its first word."""
    assert draft(1800, AH, OH, EH).split_point(1700) is None


def test_one_word_can_not_be_parted() -> None:
    assert draft(9000, AH).split_point(1000) is None


def test_words_that_share_their_times_are_not_parted() -> None:
    """A part would have no word, and be no record."""
    same = [word(text, 100, 500) for text in ("ah", "oh", "eh")]
    assert draft(1800, *same).split_point(1500) is None
    assert draft(1800, *same, word("uh", 900, 1200)).split_point(1500) == 700


def test_taking_parts_off_what_lies_before() -> None:
    made = draft(1800, AH, OH, EH)
    utterance = made.split_off(700, lambda start, end: (start, end) == (0, 700))
    assert utterance == (0, 700, (AH,), "request", True)
    assert (made.start, made.end, made.words) == (700, 1800, [OH, EH])


def test_a_word_belongs_where_its_middle_lies() -> None:
    made = draft(1800, AH, OH, EH)
    assert made.split_off(1000, never).words == (AH,)
    assert made.split_off(1200, never).words == (OH,)


def test_all_of_it_takes_all_words_even_one_that_is_said_to_lie_beyond_its_end() -> None:
    """Word times are off by tens of milliseconds."""
    late = word("uh", 1800, 1800)
    assert draft(1800, AH, late).split_off(1800, never).words == (AH, late)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 900)), min_size=2, max_size=8), st.integers(0, 500))
def test_wherever_a_draft_is_parted_both_parts_have_words(times: list[tuple[int, int]], longest: int) -> None:
    """Whatever its words' times are, and in whatever order."""
    made = draft(3000, *(word(f"w{i}", start, start + length) for i, (start, length) in enumerate(times)))
    at = made.split_point(longest)
    if at is not None:
        assert made.split_off(at, never).words
        assert made.words


# -- any draft --------------------------------------------------------------------------------------------------------


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Draft, QuietRuns]:
    at, words = 0, list[PlacedWord]()
    for i in range(draw(st.integers(0, 6))):
        start = at + draw(st.integers(0, 600))
        at = start + draw(st.integers(100, 600))
        words.append(word(f"w{i}", start, at))
    runs = draw(st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 800)), max_size=8))
    made = draft(at + draw(st.integers(0, 900)), *words)
    return made, Ranges([(start, start + length) for start, length in runs]).within


@given(drafts())
def test_a_place_to_go_on_from_cuts_no_word(given_: tuple[Draft, QuietRuns]) -> None:
    made, runs = given_
    at = made.last_pause(runs, PAUSE)
    if at is not None:
        assert made.start <= at <= made.end
        assert not any(w.start < at < w.end for w in made.words)


@given(drafts())
def test_a_safe_end_cuts_no_word_and_keeps_all(given_: tuple[Draft, QuietRuns]) -> None:
    made, runs = given_
    at = made.safe_end(runs, PAUSE, LEAD)
    assert max([made.start, *(min(w.end, made.end) for w in made.words)]) <= at <= made.end


@given(drafts(), st.integers(300, 3000))
def test_parting_loses_and_doubles_no_word(given_: tuple[Draft, QuietRuns], longest: int) -> None:
    made, _ = given_
    before, taken = list(made.words), list[PlacedWord]()
    while (at := made.split_point(longest)) is not None:
        part = made.split_off(at, never)
        assert part.words
        taken += part.words
    taken += made.split_off(made.end, never).words
    assert taken == before
