"""Stalls and the end of one session. At 1000 samples a second positions and samples are milliseconds."""

import pytest

from edged.stream.deepgram import CLOSE_STREAM, FINALIZE, KEEP_ALIVE
from edged.stream.session import (
    FinalReceived,
    Hangup,
    SendMessage,
    SessionState,
    StreamFlushed,
)
from tests.stream.some import METADATA, final, interim
from tests.stream.test_session import controls, feed, session

# -- stalls -----------------------------------------------------------------------------------------------------------


def test_audio_without_a_result_is_first_asked_for_and_then_given_up() -> None:
    """10 s of audio without any result: Finalize; 3 s later: the end."""
    one = session()
    feed(one, 0, 9900)
    assert one.poll(9.9) == []
    feed(one, 9900, 10_000)
    assert one.poll(10.0) == [SendMessage(FINALIZE)]
    assert one.next_deadline() == 13.0
    assert one.poll(12.9) == []
    [hangup] = one.poll(13.0)
    assert isinstance(hangup, Hangup)
    assert "stalled: no result for 10 s of audio" in str(hangup.error)


def test_an_answer_to_that_finalize_saves_the_session() -> None:
    one = session()
    feed(one, 0, 10_000)
    one.poll(10.0)
    one.receive(final(0, 10_000, from_finalize=True), 11.0)
    assert one.poll(13.5) == []
    feed(one, 13_500, 23_500, now=13.5)
    assert one.poll(13.6) == [SendMessage(FINALIZE)]


def test_silence_is_no_stall() -> None:
    """The stall limit counts audio sent, not time."""
    one = session()
    feed(one, 0, 5000)
    assert {what for _, what in controls(one, 600, since=5.0)} == {KEEP_ALIVE}


def test_without_interims_a_stall_shows_three_times_later() -> None:
    one = session(interim_results=False, inflight_s=300)
    feed(one, 0, 29_900)
    assert one.poll(29.9) == []
    feed(one, 29_900, 30_000)
    assert one.poll(30.0) == [SendMessage(FINALIZE)]


def test_a_stall_is_seen_even_if_the_bound_on_what_is_sent_comes_first() -> None:
    one = session(inflight_s=5, stall_s=60)
    feed(one, 0, 5000)
    assert one.poll(5.0) == [SendMessage(FINALIZE)]


def test_results_that_lag_are_no_stall_as_long_as_they_come() -> None:
    """A throttled server answers old audio, but it answers."""
    one = session(stall_s=10, inflight_s=300)
    for second in range(60):
        feed(one, second * 1000, second * 1000 + 1000)
        one.receive(interim(0, second * 500), second + 1.0)
        assert one.poll(second + 1.0) == []


def test_where_it_may_not_be_asked_a_stall_is_given_as_long_all_the_same() -> None:
    """Some servers close because of a Finalize."""
    one = session(may_finalize=False)
    feed(one, 0, 10_000)
    assert one.poll(10.0) == []
    assert [type(effect) for effect in one.poll(13.0)] == [Hangup]
    assert one.finalized_at is None


# -- the end ----------------------------------------------------------------------------------------------------------


def test_after_close_stream_nothing_more_is_sent() -> None:
    one = session()
    feed(one, 0, 1000)
    assert one.close_stream() == [SendMessage(CLOSE_STREAM)]
    assert one.state is SessionState.DRAINING
    assert one.room(2.0) == 0
    assert controls(one, 11, since=1.0) == []
    with pytest.raises(RuntimeError, match="the session is draining, not open"):
        one.send_audio(1000, bytes(2), 2.0)
    with pytest.raises(RuntimeError, match="the session is draining, not open"):
        one.finalize(0.0)
    with pytest.raises(RuntimeError, match="the session is draining, not open"):
        one.close_stream()


def test_while_it_drains_answers_count() -> None:
    one = session()
    feed(one, 0, 1000)
    one.close_stream()
    assert isinstance(one.receive(final(0, 1000), 2.0)[0], FinalReceived)
    assert one.receive(METADATA, 2.0) == [StreamFlushed()]


def test_a_server_that_lags_is_not_taken_for_dead_while_it_drains() -> None:
    """Nothing of ours is due to leave any more: the idle limit says nothing."""
    one = session()
    feed(one, 0, 1000)
    one.close_stream()
    assert one.poll(30.0) == []
    assert one.next_deadline() > 30.0


def test_what_arrives_after_its_end_does_not_count() -> None:
    one = session()
    feed(one, 0, 1000)
    one.abandon()
    assert one.receive(final(0, 1000), 2.0) == []
    assert one.poll(100.0) == []
