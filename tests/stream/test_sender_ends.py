"""The end of a connection of a sender: progress, and orderly ends. A bench's positions and times are milliseconds."""

import pytest

from edged.stream.backoff import End
from tests.stream.some import METADATA, THREE, Bench, final, interim, talking
from tests.stream.test_sender_settling import spoken


def test_what_is_said_when_the_stream_ends_counts_though_it_does_not_reach_the_end() -> None:
    """A slow server whose windows are made of words says them in answer to CloseStream; what it then flushes twice
    without a word is silence, and they are not. It cost four words of five."""
    bench = Bench(finalize="off")
    bench.connect()
    bench.say(3000, silence=500)
    bench.wait(bench.at + 4000)
    assert bench.said("CloseStream")
    bench.serve(final(500, 2400, "ah@500-900 oh@1000-1500 eh@1600-2400"), METADATA)
    bench.lose(1000)
    assert bench.texts == ["ah oh eh"]
    while bench.waiting:
        assert bench.waiting == [(2400, 3500)]
        bench.connect()
        bench.wait(bench.at + 8000)
        bench.serve(final(0, 0), METADATA)
        bench.lose(1000)
    assert bench.texts == ["ah oh eh"]


@pytest.mark.parametrize("code", [1000, 1005, 1001, None])
def test_a_server_that_ends_streams_without_metadata_has_said_all_too(code: int | None) -> None:
    """The server gave finals, and closed after CloseStream: audio without words before two such closes is silence."""
    bench = spoken()
    bench.serve(final(500, 1800, "ah@600-1700", speech_final=True))
    bench.lane.finish()
    bench.poll()
    bench.lose(code)
    for _ in range(2):
        if bench.waiting:
            bench.connect()
            bench.wait(bench.at + 3000)
            bench.lose(code)
    assert bench.texts == ["ah"]
    assert bench.waiting == []


def test_a_close_that_tells_of_an_error_settles_no_speech() -> None:
    """A recogniser that is dead behind its front end would make silence of all that was said meanwhile."""
    bench = spoken()
    bench.serve(final(500, 1800, "ah@600-1700"))
    bench.lane.finish()
    for _ in range(9):
        bench.wait(bench.at + 3000)
        bench.lose(1011)
        assert bench.waiting
        bench.connect()


@pytest.mark.parametrize("code", [1000, 1005, None])
def test_a_close_of_a_server_that_never_gave_a_final_settles_no_speech(code: int | None) -> None:
    bench = spoken()
    bench.lane.finish()
    for _ in range(9):
        bench.wait(bench.at + 3000)
        bench.lose(code)
        assert bench.waiting == [(0, 2500)]
        bench.connect()


# -- what a connection came to ----------------------------------------------------------------------------------------


def end_of(bench: Bench, code: int | None = 1000) -> End:
    bench.lose(code)
    assert bench.lane.end
    return bench.lane.end


def test_speech_that_was_answered_for_the_first_time_is_progress() -> None:
    bench = spoken()
    bench.serve(final(0, 2500, "ah@600-1900"))
    assert end_of(bench).progress


def test_a_result_is_no_progress_nor_are_finals_that_are_sent_again() -> None:
    """Without a pause in it all is sent again."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.serve(interim(0, 1000, "ah@500-900"))
    end = end_of(bench, 1011)
    assert end.results
    assert not end.progress
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(4000)
    bench.serve(final(0, 3000, "ah@500-900 oh@1000-1900"))
    assert not end_of(bench, 1011).progress


def test_words_that_are_kept_for_the_next_connection_are_progress() -> None:
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    assert end_of(bench, 1011).progress


def test_silence_that_was_answered_is_no_progress() -> None:
    """Each new connection would have some, of its priming."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(1600, voiced=False)
    bench.serve(final(0, 1600))
    bench.close()
    end = end_of(bench, 1011)
    assert not end.progress
    assert not end.left
    assert end.held_s == 1.6


def test_any_close_after_close_stream_is_an_orderly_end() -> None:
    """A close of ours is orderly too if the server ended the stream and not the connection."""
    for code in (1000, 1001, 1005, 1011, 4500, None):
        bench = spoken()
        bench.lane.finish()
        bench.poll()
        assert end_of(bench, code).in_order
    bench = spoken()
    bench.lane.finish()
    bench.poll()
    bench.serve(final(0, 2500, "ah@600-1900"), METADATA)
    bench.wait(bench.at + 10_000)
    assert bench.hangups == ["the server did not end the stream in time"]
    assert bench.lane.end
    assert bench.lane.end.is_done


def test_an_end_that_nobody_asked_for_is_not_orderly() -> None:
    bench = spoken()
    bench.serve(METADATA)
    assert not end_of(bench).in_order
