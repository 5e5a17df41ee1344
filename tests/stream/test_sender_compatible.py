"""Finals as compatible servers send them: without width, with words of the one before, or with times that start again.

A bench's positions and times are milliseconds.
"""

import pytest

from edged.transcripts.text import text_of
from tests.stream.some import METADATA, Bench, final, interim, text


def speaking() -> Bench:
    """Voice up to 4000, all of it sent; the first word is final."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.wait(4300)
    bench.serve(final(0, 1500, "ah@500-1400"))
    return bench


# -- without width ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1500, 4000])
def test_text_that_comes_at_the_end_without_a_place_answers_all_that_is_pending(at: int) -> None:
    """WhisperLiveKit empties its buffer at CloseStream."""
    bench = speaking()
    bench.close()
    bench.lane.finish()
    bench.poll()
    assert bench.said("CloseStream")
    bench.serve(text(at, at, "oh eh"), METADATA)
    bench.lose(1000)
    assert bench.records == [(0, 4000, "ah oh eh")]
    assert bench.waiting == []
    assert not bench.lane.has_work(bench.now)


def test_its_words_share_the_voice_that_is_pending() -> None:
    bench = Bench()
    bench.connect()
    bench.say(1000, silence=500)
    bench.wait(3000)
    bench.say(4000, silence=500)
    bench.serve(text(0, 0, "ah oh", from_finalize=True))
    (first, second) = bench.uttered
    assert [(word.start, word.end) for word in first.utterance.words] == [(0, 1000)]
    assert [(word.start, word.end) for word in second.utterance.words] == [(3000, 4000)]


def test_words_with_times_in_a_window_without_width_answer_up_to_the_last_of_them() -> None:
    bench = speaking()
    bench.serve(final(1500, 1500, "oh@1600-2300"))
    assert bench.lane.session
    assert bench.lane.session.answered_to == 2300


def test_text_without_a_place_that_comes_again_while_nothing_is_pending_is_not_new() -> None:
    bench = speaking()
    bench.close()
    bench.serve(text(1500, 1500, "oh eh"), text(1500, 1500, "Oh, eh."), text(4000, 4000, "eh", from_finalize=True))
    assert bench.texts == ["ah oh eh"]
    bench.say(9000)
    bench.serve(final(4000, 8700, "oh@4200-8000", from_finalize=True), text(8700, 8700, "oh"))
    assert bench.texts == ["ah oh eh", "oh"]


def test_what_is_said_again_without_a_place_is_new_where_something_is_pending() -> None:
    bench = speaking()
    bench.serve(text(0, 0, "no"))
    bench.hear(6000)
    bench.wait(6300)
    bench.close()
    bench.serve(text(0, 0, "no", from_finalize=True))
    assert bench.texts == ["ah no", "no"]


def test_what_follows_text_without_a_place_may_lie_in_what_that_answered() -> None:
    """The text was under way when the server emptied its buffer."""
    bench = speaking()
    bench.serve(text(0, 0, "oh"), final(3000, 3900, "eh@3100-3800"))
    assert bench.hangups == []
    bench.close()
    bench.serve(final(3900, 4000, from_finalize=True))
    assert sorted(" ".join(bench.texts).split()) == ["ah", "eh", "oh"]


def test_an_empty_final_without_width_answers_nothing() -> None:
    bench = speaking()
    bench.serve(final(1500, 1500), final(0, 0))
    assert bench.lane.session
    assert bench.lane.session.answered_to == 1500


# -- punctuation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "late", [text(1500, 1500, "."), final(1500, 1500, ".@1500-1500"), final(1500, 1600, ".@1500-1600")]
)
def test_punctuation_that_comes_late_belongs_to_the_word_before(late: str) -> None:
    bench = speaking()
    bench.serve(late, late, final(1500, 1500, speech_final=True))
    [uttered] = bench.uttered
    assert [(word.word, word.text) for word in uttered.utterance.words] == [("ah", "ah.")]


def test_a_record_without_a_word_is_never_made() -> None:
    """The word before is recorded already."""
    bench = speaking()
    bench.serve(final(1500, 1600, speech_final=True))
    assert bench.texts == ["ah"]
    bench.serve(text(1600, 1600, "."), text(1600, 2000, " ?! ", speech_final=True))
    bench.close()
    bench.serve(text(2000, 4000, "…", from_finalize=True))
    assert bench.texts == ["ah"]
    assert bench.waiting == []


def test_punctuation_between_words_belongs_to_the_one_before_and_brackets_to_the_one_behind() -> None:
    bench = speaking()
    bench.serve(text(1500, 3500, "oh , ( eh ) . ¿ uh ?", speech_final=True))
    [uttered] = bench.uttered
    assert [word.text for word in uttered.utterance.words] == ["ah", "oh,", "(eh).", "¿uh?"]
    assert [word.word for word in uttered.utterance.words] == ["ah", "oh", "eh", "uh"]


# -- text -------------------------------------------------------------------------------------------------------------


def test_a_record_has_the_servers_own_text_and_no_spaces_where_its_script_has_none() -> None:
    words = [
        {"word": word, "start": start, "end": start + 0.3, "confidence": 0.9}
        for word, start in (("今日", 0.5), ("は", 1.0), ("いい", 1.5))
    ]
    channel = {"alternatives": [{"transcript": "今日はいい", "confidence": 0.9, "words": words}]}
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.serve(final(0, 2000, channel=channel), text(2000, 3900, "天気です。", speech_final=True))
    [uttered] = bench.uttered
    assert text_of(uttered.utterance.words) == "今日はいい天気です。"
    assert [word.word for word in uttered.utterance.words] == ["今日", "は", "いい", "天気です"]


# -- restated words ---------------------------------------------------------------------------------------------------


def test_words_that_a_final_restates_are_recorded_once() -> None:
    bench = speaking()
    bench.serve(final(400, 3000, "ah@500-1400 oh@1800-2700"))
    bench.close()
    bench.serve(final(1700, 4000, "oh@1820-2700 eh@3100-3900", from_finalize=True))
    assert bench.records == [(0, 4000, "ah oh eh")]


def test_also_when_they_are_recorded_already() -> None:
    bench = speaking()
    bench.serve(final(400, 3000, "ah@500-1400 oh@1800-2700", speech_final=True))
    bench.close()
    bench.serve(final(1700, 4000, "oh@1820-2700 eh@3100-3900", from_finalize=True))
    assert bench.texts == ["ah oh", "eh"]
    assert bench.waiting == []


def test_also_when_a_final_is_nothing_else() -> None:
    bench = speaking()
    bench.serve(final(0, 1500, "ah@500-1400", speech_final=True), final(0, 1500, "ah@500-1400", speech_final=True))
    assert bench.texts == ["ah"]


def test_what_another_connection_said_is_not_restated() -> None:
    """The audio is sent again, and results for it count."""
    bench = speaking()
    bench.lose()
    bench.connect()
    bench.wait(8000)
    bench.serve(final(0, 1500, "ah@500-1400", speech_final=True))
    assert bench.texts == ["ah"]


# -- times that start again -------------------------------------------------------------------------------------------


def test_where_stream_times_start_again_nothing_counts_and_what_is_unanswered_is_sent_again() -> None:
    """Placed by the old times it would be in the first sentence's record."""
    bench = speaking()
    bench.serve(final(1500, 1600, speech_final=True), interim(0, 1000, "oh@300-900"))
    assert bench.hangups == []
    bench.serve(final(0, 1300, "oh@300-1200"))
    assert bench.texts == ["ah"]
    [why] = bench.hangups
    assert "times have started again" in why
    recorded_to = bench.records[0][1]
    bench.close()
    bench.connect()
    bench.wait(9000)
    assert bench.sent() == [(recorded_to, 4000)]
    bench.serve(final(0, 4000 - recorded_to, "oh@300-1200", from_finalize=True))
    assert bench.texts == ["ah", "oh"]
    assert bench.uttered[1].utterance.words[0].start == recorded_to + 300
