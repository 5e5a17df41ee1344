"""Repeated results: words that only restate, and stream times that start again. Times are milliseconds."""

import pytest

from edged.stream import messages
from edged.stream.word_history import NovelWords, WordHistory
from tests.stream.some import RATE, final


def read(text: str) -> messages.Results:
    parsed = messages.parse(text, RATE)
    assert isinstance(parsed, messages.Results)
    return parsed


class Told:
    """A connection's history, and what is told next."""

    def __init__(self, *finals: str) -> None:
        self.history, self.answered_to = WordHistory(RATE), 0
        for each in finals:
            results = self.next(each).results
            self.history.add(results, self.answered_to)
            self.answered_to = max(self.answered_to, results.end)

    def next(self, text: str) -> NovelWords:
        return self.history.filter(read(text), self.answered_to)

    def new(self, text: str) -> list[str]:
        sifted = self.next(text)
        assert not sifted.times_restarted
        return [word.word for word in sifted.results.words]


FIRST = final(0, 3000, "ah@500-900 oh@1500-1900 eh@2400-2800")


def test_words_that_a_window_restates_are_not_new() -> None:
    told = Told(FIRST)
    assert told.new(final(2000, 5000, "eh@2400-2800 uh@3300-3700")) == ["uh"]
    assert told.new(final(1400, 5000, "oh@1580-1980 eh@2330-2720 uh@3300-3700")) == ["uh"], "times are off a little"
    assert told.new(FIRST) == [], "a final that is sent twice"


def test_however_they_are_written() -> None:
    restated = final(2000, 5000, "eh@2400-2800 uh@3300-3700").replace(
        '"punctuated_word": "eh"', '"punctuated_word": "Eh?"'
    )
    assert Told(FIRST).new(restated) == ["uh"]


def test_the_servers_text_goes_with_the_words_that_it_restates() -> None:
    told = Told(FIRST)
    assert told.next(final(2000, 5000, "eh@2400-2800 uh@3300-3700")).results.transcript == ""
    assert told.next(final(3000, 5000, "uh@3300-3700")).results.transcript == "uh"


def test_a_word_that_is_said_again_is_new() -> None:
    """Also at once, and where the window ended in it."""
    told = Told(final(0, 2800, "no@2400-2600"))
    assert told.new(final(2800, 5000, "no@2620-2850")) == ["no"]
    assert told.new(final(2800, 5000, "no@2900-3100 no@3150-3350")) == ["no", "no"]
    assert told.new(final(2200, 5000, "no@2400-2600 no@2620-2850")) == ["no"], "each is taken for one only"


def test_a_word_that_was_cut_by_the_end_of_its_window_is_not_new_when_it_comes_whole() -> None:
    told = Told(final(0, 3000, "ah@500-900 eh@2700-3000"))
    assert told.new(final(3000, 5000, "eh@2700-3300 uh@3500-3700")) == ["uh"]


def test_what_was_heard_otherwise_in_a_window_that_restates_is_not_new() -> None:
    told = Told(FIRST)
    assert told.new(final(1400, 5000, "oh@1500-1900 ay@2400-2800 uh@3300-3700")) == ["uh"]
    assert told.new(final(2300, 5000, "ay@2400-2800 uh@3300-3700")) == ["uh"], "even if it is all that is restated"


def test_a_text_without_times_is_compared_by_its_words() -> None:
    told = Told(FIRST)
    channel = {"alternatives": [{"transcript": "eh uh ih", "words": []}]}
    assert told.new(final(2300, 5000, channel=channel)) == ["uh", "ih"]


@pytest.mark.parametrize(
    "again",
    [
        final(0, 2000, "uh@600-900 ih@1000-1400"),
        final(0, 5000, "uh@600-900 ih@3400-3800"),
        final(0, 2000, "uh@550-850 ah@1200-1400 ih@1450-1700"),
    ],
)
def test_other_words_where_some_were_said_tell_that_times_have_started_again(again: str) -> None:
    assert Told(FIRST).next(again).times_restarted


@pytest.mark.parametrize(
    "again",
    [
        final(700, 1700, "uh@700-1000 ih@1200-1700"),
        final(1450, 1900, "ih@1450-1900"),
        final(700, 4000, "uh@1450-1800 oh@2300-2700 ih@3300-3900"),
    ],
)
def test_also_where_windows_begin_with_their_words(again: str) -> None:
    """No window then begins where one began before."""
    assert Told(final(500, 2800, "ah@500-900 oh@1500-1900 eh@2400-2800")).next(again).times_restarted


def test_also_by_a_window_that_is_as_short_as_the_one_before() -> None:
    assert Told(final(430, 930, "ah@430-930")).next(final(480, 870, "oh@480-870")).times_restarted


def test_words_that_lie_before_their_window_do_not() -> None:
    """The window tells which audio it is about."""
    assert Told(FIRST).new(final(3000, 5000, "uh@2300-2700")) == ["uh"]
    assert Told(FIRST).new(final(2900, 5000, "uh@2750-3300")) == ["uh"]


def test_so_does_silence_where_words_were_said() -> None:
    """Also in a window that ends beyond them."""
    assert Told(FIRST).next(final(0, 1000)).times_restarted
    assert Told(final(0, 1000, "ah@500-900")).next(final(0, 2000, "oh@1500-1900")).times_restarted


def test_also_behind_silence_and_in_a_later_window() -> None:
    assert Told(final(0, 1500)).next(final(0, 3000, "ah@600-900")).times_restarted
    assert Told(FIRST, final(0, 1000)).next(final(1000, 2500, "uh@1200-1500")).times_restarted
    later = Told(FIRST, final(3000, 9000, "uh@4000-4500"))
    assert later.next(final(0, 2000, "ih@600-900")).times_restarted


@pytest.mark.parametrize(
    "late",
    [
        final(0, 400),
        final(0, 3000, "ah@500-900 oh@1500-1900 eh@2400-2800"),
        final(3000, 5000, "uh@4000-4500"),
        final(5000, 8000, "ih@6500-6900"),
    ],
)
def test_what_comes_late_or_twice_or_reaches_back_over_silence_does_not(late: str) -> None:
    assert not Told(FIRST, final(3000, 6000, "uh@4000-4500")).next(late).times_restarted
