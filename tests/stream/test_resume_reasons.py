"""Each branch of the resume policy gives its own reason, once per break. Positions and times are milliseconds."""

from edged.stream.events import Resumed, ResumeReason
from tests.stream.some import THREE, Bench, again, end_three_times, final, talking


def continuous_speech(until: int = 4000) -> Bench:
    """Return a bench on which somebody has spoken without a pause."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(until)
    return bench


def test_the_last_pause_is_the_reason_where_the_gate_and_the_recogniser_agree_on_one() -> None:
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    assert again(bench) == [(2200, 6000)]
    [resumed] = bench.resumed
    assert (resumed.position, resumed.reason) == (2200, ResumeReason.PAUSE)


def test_a_replay_counts_only_what_was_sent_before() -> None:
    bench = talking()
    sent_to = bench.sent()[-1][1]
    bench.serve(final(0, 3200, THREE))
    bench.lose()
    assert [resumed.resent_samples for resumed in bench.resumed] == [sent_to - 2200]


def test_without_a_pause_the_start_of_the_open_record_is_the_reason() -> None:
    bench = continuous_speech()
    bench.serve(final(0, 3000, "ah@500-900 oh@1000-1900"))
    assert again(bench) == [(0, 4000)]
    [resumed] = bench.resumed
    assert (resumed.position, resumed.reason) == (0, ResumeReason.RECORD_START)


def test_a_second_break_there_gives_the_widest_gap_between_two_words_as_its_reason() -> None:
    bench = continuous_speech()
    bench.serve(final(0, 3000, "ah@500-900 oh@910-1900"))
    again(bench)
    bench.serve(final(0, 3200, "ah@500-900 oh@910-1900 eh@2000-2950"))
    [(start, _)] = again(bench)
    assert bench.resumed[-1].position == start
    assert bench.resumed[-1].reason is ResumeReason.WORD_GAP


def test_a_session_that_covered_nothing_new_is_a_reason_of_its_own() -> None:
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    again(bench)
    again(bench)
    assert [resumed.reason for resumed in bench.resumed] == [ResumeReason.PAUSE, ResumeReason.NO_PROGRESS]
    assert {resumed.position for resumed in bench.resumed} == {2200}


def test_without_a_final_the_oldest_audio_without_a_transcript_is_the_reason() -> None:
    bench = continuous_speech()
    assert again(bench) == [(0, 4000)]
    assert bench.resumed == [Resumed(0, ResumeReason.OLDEST, 4000)]


def test_quarantined_audio_that_is_tried_again_is_a_reason_of_its_own() -> None:
    bench = Bench()
    bench.connect()
    bench.say(2000, silence=500)
    end_three_times(bench, 2600)
    assert bench.aside == 2500
    bench.lose()
    bench.wait(bench.at + 600_000)
    bench.resumed.clear()
    bench.connect()
    assert bench.resumed == [Resumed(0, ResumeReason.QUARANTINE, 2500)]


def test_a_break_with_nothing_to_send_again_gives_no_reason() -> None:
    bench = Bench()
    bench.connect()
    bench.say(2000, silence=500)
    bench.wait(bench.at + 1000)
    bench.serve(final(0, 2500, "ah@500-1900", speech_final=True))
    bench.lose()
    bench.connect()
    bench.lose()
    assert bench.resumed == []
