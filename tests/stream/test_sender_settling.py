"""Settling: the audio that a result, or none, settles. A bench's positions and times are milliseconds."""

from typing import Any

import pytest

from tests.stream.some import METADATA, Bench, final, interim, utterance_end


def spoken(**settings: Any) -> Bench:
    """A connection that has been heard, and a segment: voice from 0 to 2000, hangover to 2500, all of it sent."""
    bench = Bench(**settings)
    bench.connect()
    bench.open()
    bench.hear(2000)
    bench.serve(interim(0, 1000))
    bench.hear(2500, voiced=False)
    bench.close()
    bench.wait(2600)
    return bench


def test_the_end_of_a_segment_is_finalized_when_all_of_it_has_left() -> None:
    bench = spoken()
    assert bench.sent() == [(0, 2500)]
    assert len(bench.said("Finalize")) == 1
    assert 2500 <= bench.said("Finalize")[0] <= 2600


def test_a_final_settles_everything_sent_before_its_end() -> None:
    """Also what lies before its own window, as windows are contiguous."""
    bench = spoken()
    bench.serve(final(500, 2500, "ah@600-900"))
    assert bench.records == [(0, 2500, "ah")]
    assert bench.waiting == []


def test_an_empty_final_over_all_of_it_settles_silence_and_makes_no_record() -> None:
    bench = spoken()
    bench.serve(final(0, 2500))
    assert bench.records == []
    assert bench.lane.pending.released_samples["silence"] == 2500


def test_an_unanswered_finalize_over_an_unvoiced_tail_settles_it_after_the_timeout() -> None:
    """Endpointing had ended the words within the hangover: there was nothing left to answer."""
    bench = spoken()
    bench.serve(final(0, 2300, "ah@600-1900", speech_final=True))
    assert bench.waiting != []
    bench.wait(5500)
    assert bench.waiting != []
    bench.wait(5700)
    assert bench.waiting == []
    assert bench.texts == ["ah"]
    assert len(bench.said("Finalize")) == 1


@pytest.mark.slow
def test_unanswered_finalize_three_hours_of_keepalive_and_a_break_replay_nothing() -> None:
    bench = spoken()
    bench.serve(final(0, 2300, "ah@600-1900", speech_final=True))
    three_hours = 3 * 3600 * 1000
    bench.wait(three_hours)
    assert len(bench.said("KeepAlive")) == (three_hours - 2600) // 4000
    bench.lose(1006)
    assert bench.lane.backlog == 0
    assert not bench.lane.has_work(bench.now)
    bench.connect()
    bench.wait(three_hours + 500)
    assert bench.sent() == []


def test_an_unanswered_finalize_over_voice_is_asked_again_then_drained_then_sent_again() -> None:
    bench = spoken()
    asked = bench.said("Finalize")[0]
    bench.wait(asked + 3050)
    assert len(bench.said("Finalize")) == 2
    bench.wait(asked + 6150)
    assert len(bench.said("Finalize")) == 2
    assert len(bench.said("CloseStream")) == 1
    bench.wait(asked + 13_000)
    assert bench.hangups == ["the server did not end the stream in time"]
    assert bench.waiting == [(0, 2500)]
    bench.connect()
    bench.wait(bench.at + 3000)
    assert bench.sent() == [(0, 2500)]


def test_a_word_that_only_an_interim_showed_keeps_the_tail_from_being_settled() -> None:
    """The gate heard no voice there, but the server did."""
    bench = spoken()
    bench.serve(final(0, 2000, "ah@600-1900"), interim(2000, 2500, "oh@2100-2300"))
    bench.wait(5800)
    assert bench.waiting != []
    assert len(bench.said("Finalize")) == 2


def test_a_record_written_at_a_timeout_holds_finals_only() -> None:
    bench = spoken()
    bench.serve(final(0, 1000, "ah@600-900"), interim(1000, 2500, "oh@1500-1800"))
    bench.wait(5800)
    assert bench.texts == ["ah"]
    bench.serve(final(1000, 2500, "oh@1500-1800"))
    assert bench.texts == ["ah", "oh"]


def test_what_comes_after_the_timeout_still_is_a_record_of_its_own() -> None:
    """Late answers are never lost, and never twice."""
    bench = spoken()
    bench.serve(final(0, 2100, "ah@600-1900"))
    bench.wait(5800)
    assert bench.waiting == []
    bench.serve(final(2100, 2500, "oh@2150-2400"))
    assert bench.records == [(0, 2100, "ah"), (2100, 2500, "oh")]


def test_a_finalize_answer_beyond_the_last_voiced_frame_closes_the_record_at_once() -> None:
    bench = spoken()
    bench.serve(final(0, 2100, "ah@600-1900", from_finalize=True))
    assert bench.records == [(0, 2100, "ah")]
    assert bench.waiting == []


def test_a_finalize_answer_before_the_last_voiced_frame_does_not() -> None:
    """A forced answer that came too early: there is voice that it does not cover."""
    bench = spoken()
    bench.serve(final(0, 1500, "ah@600-900", from_finalize=True))
    assert bench.records == []
    bench.serve(final(1500, 2500, "oh@1600-1900"))
    assert bench.texts == ["ah oh"]


def test_a_final_that_spans_a_skip_is_split_there() -> None:
    """Words belong to segments by position: two records, each within its own segment."""
    bench = spoken(finalize_timeout_s=10)
    bench.serve(final(0, 2000, "ah@600-1900"))
    bench.wait(4000)
    bench.say(6000, silence=500)
    bench.wait(6600)
    bench.serve(final(2000, 5000, "oh@2700-2900 eh@4000-4400"))
    assert bench.records == [(0, 2500, "ah"), (4000, 6500, "oh eh")]
    assert [word.start for record in bench.uttered for word in record.utterance.words] == [600, 4200, 5500]


def test_a_word_in_the_tail_of_the_segment_before_belongs_there() -> None:
    bench = spoken(finalize_timeout_s=10)
    bench.serve(final(0, 2000, "ah@600-1900"))
    bench.wait(4000)
    bench.say(6000, silence=500)
    bench.serve(final(2000, 5000, "uh@2100-2400 oh@2700-2900"))
    assert bench.records == [(0, 2500, "ah uh"), (4000, 6500, "oh")]


def test_a_word_whose_end_is_unknown_stays_in_the_segment_in_which_it_began() -> None:
    bench = spoken(finalize_timeout_s=10)
    bench.serve(final(0, 1500, "ah@600-900"))
    bench.wait(4000)
    bench.say(6000, silence=500)
    bench.serve(final(1500, 5000, "uh@1700"))
    assert bench.records == [(0, 2500, "ah uh")]


def test_a_late_finalize_answer_ends_nothing_after_its_own_position() -> None:
    """Finalize was sent at the end of one segment, and its answer comes when the next has ended too."""
    bench = spoken()
    bench.open()
    bench.hear(4500)
    bench.close()
    bench.wait(4600)
    bench.serve(final(0, 2500, "ah@600-1900", from_finalize=True))
    assert bench.records == [(0, 2500, "ah")]
    assert bench.waiting == [(2600, 4500)]
    bench.serve(final(2500, 4400, "oh@2700-2900", from_finalize=True))
    assert bench.records == [(0, 2500, "ah"), (2600, 4500, "oh")]


def test_an_utterance_end_closes_the_record() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(3000)
    bench.serve(final(0, 2000, "ah@600-900"))
    assert bench.records == []
    bench.serve(utterance_end(900))
    assert bench.texts == ["ah"]


def test_a_late_utterance_end_does_not_close_the_next_utterance() -> None:
    """The message carries the time of the utterance before."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(3000)
    bench.serve(final(0, 1500, "ah@600-900", speech_final=True), final(1500, 2500, "oh@1700-2300"))
    bench.serve(utterance_end(900), utterance_end(-1000))
    assert bench.texts == ["ah"]
    bench.serve(utterance_end(2300))
    assert bench.texts == ["ah", "oh"]


def test_an_utterance_end_of_the_segment_before_does_not_close_this_one() -> None:
    """Hangover and pre-roll together are longer than a usual `utterance_end_ms`, so it arrives within the next."""
    bench = spoken()
    bench.serve(final(0, 2500, "ah@600-1900"))
    bench.open()
    bench.hear(4600)
    bench.serve(final(2500, 4000, "oh@2700-2900"), utterance_end(1900))
    assert bench.texts == ["ah"]


def test_an_empty_final_erases_no_word() -> None:
    bench = spoken()
    bench.serve(final(0, 2000, "ah@600-1900"), final(2000, 2200), final(2200, 2500))
    assert bench.records == [(0, 2500, "ah")]


def test_an_utterance_is_all_finals_up_to_the_one_that_ends_it() -> None:
    bench = spoken()
    bench.serve(final(0, 800, "ah@600-750"), final(800, 1500, "oh@900-1400"))
    assert bench.records == []
    bench.serve(final(1500, 2300, "eh@1600-1900", speech_final=True))
    assert bench.texts == ["ah oh eh"]


def test_what_may_hold_the_beginning_of_a_word_is_not_settled() -> None:
    """A window without words can end in mid-word: the last of it waits for the next answer."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(6000)
    bench.serve(final(0, 5000))
    assert bench.waiting == [(3000, 6000)]
    bench.lose()
    bench.connect()
    bench.wait(bench.at + 4000)
    assert bench.sent()[0][0] <= 5000


def test_no_sample_goes_out_twice_within_a_session() -> None:
    """Not by priming, nor as a replay, nor as the pre-roll of the next segment: the session would refuse it."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(1600, voiced=False)
    bench.serve(final(0, 1500, from_finalize=True))
    bench.close()
    bench.open(1600)
    bench.hear(3000, start=1600)
    assert bench.sent() == [(0, 3000)]


def test_a_drained_session_keeps_its_answers_until_it_closes() -> None:
    bench = spoken()
    bench.lane.finish()
    bench.poll()
    assert bench.said("CloseStream") == [2600]
    bench.serve(final(0, 2500, "ah@600-1900"), METADATA)
    bench.lose(1000)
    assert bench.records == [(0, 2500, "ah")]
    assert bench.waiting == []


def test_nothing_counts_that_comes_after_a_session_was_given_up() -> None:
    bench = spoken()
    bench.lose()
    bench.serve(final(0, 2500, "ah@600-1900"))
    assert bench.records == []
    assert bench.waiting == [(0, 2500)]


def test_the_end_of_the_segment_is_the_end_of_the_record_if_finals_cover_it_already() -> None:
    """A server that answers at once: nothing need be asked."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(2000)
    bench.serve(final(0, 2000, "ah@600-1900"))
    assert bench.records == []
    bench.close()
    assert bench.records == [(0, 2000, "ah")]
    assert bench.said("Finalize") == []


def test_a_first_finalize_that_is_answered_late_does_not_settle_what_came_after_it() -> None:
    """The answer to a priming's Finalize, while the end of the words that followed is asked for the second time."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(1600, voiced=False)
    assert len(bench.said("Finalize")) == 1
    bench.hear(4000)
    bench.close()
    bench.wait(7200)
    assert len(bench.said("Finalize")) == 3
    bench.serve(final(0, 1500, from_finalize=True))
    assert (2000, 4000) in [(max(a, 2000), b) for a, b in bench.waiting]
    bench.serve(final(1500, 4000, "ah@2000-3900", from_finalize=True))
    assert bench.texts == ["ah"]
    assert bench.waiting == []


@pytest.mark.parametrize(("gated", "waits"), [(True, []), (False, [(0, 2500)])])
def test_only_a_gate_may_call_silence_what_was_never_sent(gated: bool, waits: list[tuple[int, int]]) -> None:
    """Without one the recogniser hears everything, also what was said too softly for webrtcvad in an outage."""
    bench = Bench(gated=gated)
    bench.open()
    bench.hear(2500, voiced=False)
    bench.close()
    assert bench.waiting == waits
    bench.connect()
    bench.wait(2600)
    bench.lose()
    assert bench.waiting == waits
