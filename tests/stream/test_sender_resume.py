"""The ledger's second section and the long things of its fourth: where to go on after a break, and what ends a record.

A bench's positions and times are milliseconds.
"""

from tests.stream.some import THREE, Bench, again, final, interim, talking


def test_after_a_break_it_goes_on_from_the_middle_of_the_last_pause() -> None:
    """The word after it is discarded and recognised again: the final may have ended in the next one."""
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    assert again(bench) == [(2200, 6000)]
    bench.serve(final(0, 3800, "eh@200-800 uh@1000-1500", speech_final=True))
    assert bench.texts == ["ah oh eh uh"]


def test_after_a_break_a_pre_roll_is_sent_again_as_a_whole() -> None:
    """A pre-roll holds no pause to go on from, whether its word was heard or not."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(600, voiced=False)
    bench.hear(3000)
    bench.serve(final(0, 1500, "ah@650-1400"))
    assert again(bench) == [(0, 3000)]


def test_a_pause_must_be_one_for_the_gate_and_for_the_recogniser() -> None:
    """Either alone is sometimes wrong: here the words' times know of no pause where the gate heard none."""
    bench = talking()
    bench.serve(final(0, 3200, "ah@500-900 oh@1500-2350 eh@2390-3000"))
    assert again(bench) == [(0, 6000)]


def test_the_gate_alone_can_deny_a_pause() -> None:
    """Between 900 and 1500 the recogniser knows no word, but the gate heard a voice."""
    bench = talking()
    bench.serve(final(0, 1900, "ah@500-900 oh@1500-1800"))
    assert again(bench) == [(0, 6000)]


def test_without_a_pause_it_goes_on_from_the_start_of_the_open_record() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.serve(final(0, 3000, "ah@500-900 oh@1000-1900"))
    assert again(bench) == [(0, 4000)]
    assert bench.texts == []


def test_after_two_breaks_without_a_pause_it_goes_on_from_the_widest_gap_between_two_words() -> None:
    """Not from the last final's end: a forced final ends in mid-word."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.serve(final(0, 3000, "ah@500-900 oh@910-1900"))
    assert again(bench) == [(0, 4000)]
    bench.serve(final(0, 3200, "ah@500-900 oh@910-1900 eh@2000-2950"))
    [(at, end)] = again(bench)
    assert 1900 < at < 2000
    assert end == 4000
    bench.serve(final(0, 2000, "eh@50-1000 uh@1200-1800", speech_final=True))
    assert bench.texts == ["ah oh eh uh"]


def test_each_further_break_there_goes_on_beyond_what_was_tried() -> None:
    """With one word more it goes on behind that; with none the third session is the last: it may be poison."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    for spoken in ("ah@500-900", "ah@500-900"):
        bench.serve(final(0, 3000, spoken))
        again(bench)
    [(first, _)] = bench.sent()
    assert abs(first - 900) <= 10
    bench.serve(final(0, 1500, "oh@100-1000"))
    [(then, _)] = again(bench)
    assert 1820 < then < 1980
    for _ in range(2):
        assert not bench.aside
        bench.serve(final(0, 500))
        again(bench)
    assert bench.aside


def test_an_open_record_outlives_its_session() -> None:
    """Words before the pause are not recognised again, and become one record with those that follow."""
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    again(bench)
    bench.serve(final(0, 3800, "eh@200-800", speech_final=True))
    [uttered] = bench.uttered
    assert uttered.utterance.start == 0
    assert uttered.utterance.replayed


def test_a_record_whose_audio_went_out_once_is_not_called_replayed() -> None:
    bench = talking()
    bench.serve(final(0, 3200, THREE, speech_final=True))
    assert not bench.uttered[0].utterance.replayed


def test_what_is_recorded_is_never_sent_again() -> None:
    bench = talking()
    bench.serve(final(0, 3200, THREE, speech_final=True))
    recorded = bench.records[0][1]
    assert recorded > 2900, "in the third word, or behind it"
    assert again(bench)[0][0] == recorded


def test_interims_of_a_lost_session_mean_nothing() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(2000)
    bench.hear(2500, voiced=False)
    bench.close()
    bench.serve(final(0, 2300, "ah@500-1900"), interim(2300, 2500, "oh@2350-2400"))
    bench.lose()
    assert bench.waiting != []
    bench.connect()
    bench.wait(5800)
    assert bench.texts == ["ah"]
    assert bench.waiting == []


def test_a_server_that_accepts_and_closes_costs_no_way_back() -> None:
    """Ten connections that carried nothing: it goes on where it would have after the first."""
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    for _ in range(10):
        bench.lose(1011)
        bench.lane.connected(bench.now, "request")
    bench.lose()
    bench.connect()
    bench.wait(bench.at + 8000)
    assert bench.sent() == [(2200, 6000)]
    assert bench.aside == 0


# -- what ends a record -----------------------------------------------------------------------------------------------


def test_talk_without_an_end_is_parted_at_the_widest_pause_between_its_words() -> None:
    bench = Bench(utterance_max_s=5)
    bench.connect()
    bench.open()
    bench.hear(6000)
    bench.serve(final(0, 3000, "ah@100-900 oh@1000-1900 eh@2300-3000"))
    assert bench.records == []
    bench.serve(final(3000, 6000, "uh@3100-4400 ih@4500-5900"))
    assert bench.records == [(0, 2100, "ah oh")]


def test_a_single_word_is_not_parted() -> None:
    bench = Bench(utterance_max_s=5)
    bench.connect()
    bench.open()
    bench.hear(8000)
    bench.serve(final(0, 8000, "ah@100-7900"))
    assert bench.records == []


def test_a_segment_at_its_maximum_length_goes_on_without_finalize_gap_or_end_of_record() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(3000)
    bench.close(continues=True)
    bench.open()
    bench.hear(6000)
    assert bench.said("Finalize") == []
    bench.serve(final(0, 2900, "ah@100-2800"), final(2900, 5000, "oh@2950-4900"))
    assert bench.records == []
    bench.close()
    bench.wait(6100)
    assert len(bench.said("Finalize")) == 1
    bench.serve(final(5000, 6000))
    assert bench.records == [(0, 6000, "ah oh")]


def test_a_break_within_the_second_piece_of_a_long_segment_goes_back_into_the_first() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(2000)
    bench.hear(2400, voiced=False)
    bench.hear(3000)
    bench.close(continues=True)
    bench.open()
    bench.hear(6000)
    bench.serve(final(0, 5000, "ah@100-2000 oh@2400-4900"))
    assert again(bench) == [(2200, 6000)]


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_beyond_the_bound_the_oldest_goes_and_is_counted() -> None:
    bench = Bench(keep_max_s=10)
    bench.open()
    bench.hear(12_000)
    assert bench.evicted == 2000
    assert bench.waiting == [(2000, 12_000)]
    assert bench.lane.pending.released_samples["evicted"] == 2000


def test_what_finals_have_covered_is_recorded_before_anything_is_evicted() -> None:
    bench = Bench(keep_max_s=10)
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.serve(final(0, 3000, "ah@100-2900"))
    bench.hear(10_000)
    assert bench.texts == []
    bench.hear(10_100)
    assert bench.records == [(0, 3000, "ah")]
    assert bench.evicted == 0


def test_after_an_eviction_what_is_left_keeps_its_place_in_time() -> None:
    bench = Bench(keep_max_s=10)
    bench.open()
    bench.hear(12_000)
    bench.connect()
    bench.wait(22_000)
    start, end = bench.sent()[0]
    assert start == 2000
    bench.close()
    bench.serve(final(0, end - start, "ah@100-900"))
    assert bench.uttered[0].utterance.words[0].start == 2100
