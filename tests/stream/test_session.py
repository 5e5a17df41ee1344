"""One session on one connection, by literal times. At 1000 samples a second positions and samples are milliseconds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.settings import DeepgramSettings
from edged.stream.deepgram import KEEP_ALIVE
from edged.stream.session import (
    FinalReceived,
    Hangup,
    InterimReceived,
    SendMessage,
    ServerNotice,
    ServerWarning,
    Session,
    SessionState,
    UtteranceEndReceived,
)
from edged.stream.stream_map import SentPiece
from tests.stream.some import METADATA, RATE, final, interim, results, utterance_end


def session(now: float = 0.0, *, may_finalize: bool = True, **settings: Any) -> Session:
    return Session(DeepgramSettings(**settings), RATE, now, may_finalize=may_finalize)


def feed(one: Session, start: int, end: int, *, now: float | None = None) -> None:
    """Audio in real time: each 100 ms when they are over, or all `now`."""
    for at in range(start, end, 100):
        when = (at + 100) / 1000 if now is None else now
        one.send_audio(at, bytes(200), when)
        one.message_sent(when)


def controls(one: Session, until: float, *, since: float = 0.0, step: float = 0.25) -> list[tuple[float, object]]:
    """Return the messages and events that time alone brings about."""
    said: list[tuple[float, object]] = []
    for i in range(1, round((until - since) / step) + 1):
        now = since + i * step
        for effect in one.poll(now):
            said.append((now, effect.data if isinstance(effect, SendMessage) else type(effect)))
            one.message_sent(now)
    return said


# -- KeepAlive --------------------------------------------------------------------------------------------------------


def test_in_silence_a_keep_alive_leaves_every_keepalive_s() -> None:
    assert controls(session(), 12) == [(4.0, KEEP_ALIVE), (8.0, KEEP_ALIVE), (12.0, KEEP_ALIVE)]


def test_keep_alives_are_counted_since_the_last_message_left() -> None:
    one = session()
    feed(one, 0, 1500)
    assert controls(one, 6, since=1.5) == [(5.5, KEEP_ALIVE)]


def test_no_keep_alive_goes_while_audio_flows() -> None:
    one = session()
    for second in range(20):
        feed(one, second * 1000, second * 1000 + 1000)
        one.receive(interim(0, second * 1000 + 1000), second + 1)
        assert one.poll(second + 1.0) == []


def test_a_keep_alive_that_waits_to_leave_is_not_sent_twice() -> None:
    one = session()
    assert one.poll(4.0) == [SendMessage(KEEP_ALIVE)]
    assert one.poll(4.1) == []


def test_after_a_late_wake_up_keep_alive_goes_at_once() -> None:
    assert session().poll(9.0) == [SendMessage(KEEP_ALIVE)]


def test_after_more_than_the_idle_limit_the_connection_is_taken_for_dead() -> None:
    """The server has closed it, whether that has been heard of or not."""
    one = session()
    [hangup] = one.poll(12.1)
    assert isinstance(hangup, Hangup)
    assert "nothing could leave for 12 s" in str(hangup.error)
    assert one.state is SessionState.OVER


def test_a_session_wants_to_be_polled_when_the_next_keep_alive_is_due() -> None:
    one = session()
    assert one.next_deadline() == 4.0
    one.message_sent(1.5)
    assert one.next_deadline() == 5.5


# -- audio and pace ---------------------------------------------------------------------------------------------------


def test_audio_goes_out_as_it_is() -> None:
    assert session().send_audio(500, b"\x01\x02" * 100, 0.0) == [SendMessage(b"\x01\x02" * 100)]


def test_an_empty_binary_message_is_never_sent() -> None:
    """An empty message would close the stream."""
    with pytest.raises(ValueError, match="empty binary message"):
        session().send_audio(0, b"", 0.0)


def test_a_burst_of_a_pre_roll_may_leave_at_once_and_then_the_pace_counts() -> None:
    """0.3 s at once; then 1.25 samples for each that passes."""
    one = session(now=10.0)
    assert one.room(10.0) == 300
    feed(one, 0, 300, now=10.0)
    assert one.room(10.0) == 0
    assert one.room(10.8) == 300
    feed(one, 300, 500, now=10.8)
    assert one.room(10.8) == 100
    assert one.room(10.88) == 200


def test_no_pace_is_saved_up_in_silence() -> None:
    assert session().room(3600.0) == 300


@pytest.mark.parametrize("rate", [1.05, 1.25, 2.0])
def test_a_backlog_leaves_at_the_replay_rate(rate: float) -> None:
    one = session(replay_rate=rate, inflight_s=300, stall_s=120)
    at = 0
    for tick in range(1001):
        while one.room(tick / 100) >= 100:
            one.send_audio(at, bytes(200), tick / 100)
            at += 100
    assert at == pytest.approx(300 + 10_000 * rate, abs=101)


def test_no_more_than_inflight_s_is_sent_beyond_the_last_result() -> None:
    one = session(inflight_s=5, stall_s=120)
    feed(one, 0, 4900)
    assert one.room(100.0) == 100
    feed(one, 4900, 5000, now=100.0)
    assert (one.room(200.0), one.room_at(100, 200.0)) == (0, None)
    one.receive(interim(0, 3000), 200.0)
    assert one.room(201.0) == 300


def test_room_at_says_when_the_pace_has_room() -> None:
    one = session(now=10.0)
    feed(one, 0, 300, now=10.0)
    at = one.room_at(100, 10.0)
    assert at is not None
    assert at == pytest.approx(10.081)
    assert one.room(at) >= 100


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_final_answers_everything_sent_before_its_end() -> None:
    """Windows are contiguous: what lies between the last one's end and this one's start is answered too."""
    one = session()
    feed(one, 0, 3000)
    one.receive(final(0, 1000), 3.0)
    [answer] = one.receive(final(1200, 2000, "ah@1300-1500", speech_final=True, from_finalize=True), 3.0)
    assert isinstance(answer, FinalReceived)
    assert answer.pieces == [SentPiece(1000, 1000, 1000)]
    assert (answer.speech_final, answer.from_finalize, answer.reach) == (True, True, 2000)
    assert [word.word for word in answer.words] == ["ah"]


def test_a_final_over_a_skip_answers_both_sides() -> None:
    one = session()
    feed(one, 0, 1000)
    feed(one, 90_000, 91_000)
    [answer] = one.receive(final(0, 1500), 91.0)
    assert isinstance(answer, FinalReceived)
    assert answer.pieces == [SentPiece(0, 0, 1000), SentPiece(1000, 90_000, 500)]


def test_a_final_that_ends_before_the_last_one_answers_nothing_anew() -> None:
    one = session()
    feed(one, 0, 3000)
    one.receive(final(0, 2000), 3.0)
    [answer] = one.receive(final(500, 1500), 3.0)
    assert isinstance(answer, FinalReceived)
    assert answer.pieces == []
    assert one.answered_to == 2000


def test_a_final_that_claims_more_than_was_sent_answers_what_was_sent() -> None:
    one = session()
    feed(one, 0, 1000)
    [answer] = one.receive(final(0, 60_000), 1.0)
    assert isinstance(answer, FinalReceived)
    assert answer.reach == 1000


def test_an_interim_answers_nothing() -> None:
    one = session()
    feed(one, 0, 1000)
    [shown] = one.receive(interim(0, 1000, "ah@100-200"), 1.0)
    assert isinstance(shown, InterimReceived)
    assert one.answered_to == 0


def test_results_before_any_audio_disturb_nothing() -> None:
    """Such results would settle audio that nobody sent."""
    one = session()
    [answer] = one.receive(final(0, 1000, "ah@100-200"), 1.0)
    assert isinstance(answer, FinalReceived)
    assert answer.pieces == []
    assert one.receive(utterance_end(500), 1.0) == []


def test_an_utterance_end_without_a_time_is_ignored() -> None:
    one = session()
    feed(one, 0, 1000)
    assert one.receive(utterance_end(-1000), 1.0) == []
    assert one.receive(utterance_end(500), 1.0) == [UtteranceEndReceived(500)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (METADATA, "Metadata that nobody asked for"),
        ("hello", "text that is not JSON"),
        (b"\x00", "a binary message"),
    ],
)
def test_what_is_odd_is_noted_and_disturbs_nothing(text: str | bytes, kind: str) -> None:
    one = session()
    feed(one, 0, 1000)
    assert one.receive(text, 1.0) == [ServerNotice(kind)]
    assert one.state is SessionState.OPEN


def test_what_the_server_complains_of_is_passed_on() -> None:
    said = session().receive('{"type":"Error","description":"no\\nway"}', 1.0)
    assert said == [ServerWarning('the server says: "no way"')]


def test_a_result_in_a_binary_frame_counts_and_is_noted() -> None:
    one = session()
    feed(one, 0, 1000)
    told, answer = one.receive(final(0, 1000, "ah@100-200").encode(), 1.0)
    assert isinstance(told, ServerWarning)
    assert "binary frames" in told.text
    assert isinstance(answer, FinalReceived)
    assert one.answered_to == 1000


TORN = final(0, 1000, "ah@100-200")[:-20]


@pytest.mark.parametrize("text", [TORN, TORN.encode()])
def test_after_what_can_not_be_read_nothing_counts(text: str | bytes) -> None:
    """The unreadable message can have been a final: the next one would settle its audio and lose its words."""
    one = session()
    feed(one, 0, 2000)
    [hangup] = one.receive(text, 2.0)
    assert isinstance(hangup, Hangup)
    assert one.state is SessionState.OVER
    assert one.receive(final(1000, 2000, "oh@1100-1200"), 2.0) == []
    assert one.answered_to == 0


def test_after_an_unreadable_message_nothing_counts_while_draining_either() -> None:
    one = session()
    feed(one, 0, 2000)
    one.close_stream()
    assert [type(effect) for effect in one.receive(TORN, 2.0)] == [Hangup]


def test_what_can_not_be_read_when_all_is_answered_disturbs_nothing() -> None:
    one = session()
    feed(one, 0, 1000)
    one.receive(final(0, 1000), 1.0)
    assert [type(effect) for effect in one.receive(TORN, 1.0)] == [ServerNotice]
    assert one.state is SessionState.OPEN


def test_finals_hold_no_more_text_than_can_be_said_in_what_was_sent() -> None:
    """1,000 characters, and 100 more for each second; all finals together."""
    one = session()
    feed(one, 0, 10_000)
    flood = final(0, 10_000, " ".join(f"{i:04}@1000-2000" for i in range(800)))
    told, answer = one.receive(flood, 10.0)
    assert isinstance(told, ServerWarning)
    assert isinstance(answer, FinalReceived)
    assert len(answer.words) == 2000 / 5
    told, answer = one.receive(flood, 10.0)
    assert isinstance(answer, FinalReceived)
    assert answer.words == []
    feed(one, 10_000, 11_000)
    more = final(10_000, 11_000, " ".join(f"{i:04}@10100-10900" for i in range(800)))
    _, answer = one.receive(more, 11.0)
    assert isinstance(answer, FinalReceived)
    assert len(answer.words) == 100 / 5


def test_interims_hold_as_much_and_use_none_of_it() -> None:
    one = session()
    for _ in range(3):
        _, shown = one.receive(interim(0, 10_000, " ".join(f"{i:04}@1000-2000" for i in range(800))), 10.0)
        assert isinstance(shown, InterimReceived)
        assert len(shown.words) == 1000 / 5


def test_the_server_is_heard_when_it_says_something_of_the_audio() -> None:
    """Compatible servers send Metadata on open: that tells nothing of whether the mute timer has stopped."""
    one = session()
    one.receive(METADATA, 0.1)
    assert not one.heard
    one.receive('{"type":"SpeechStarted","channel":[0,1],"timestamp":0.5}', 1.0)
    assert one.heard


# -- any history ------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 15)),
        st.tuples(st.just("audio"), st.integers(1, 200)),
        st.tuples(st.just("final"), st.floats(-1, 400)),
        st.tuples(st.just("interim"), st.floats(-1, 400)),
        st.tuples(st.just("drain"), st.none()),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
def test_whatever_happens_bounds_hold_and_answers_are_contiguous(
    steps: list[tuple[str, Any]], may_finalize: bool
) -> None:
    one = session(may_finalize=may_finalize, inflight_s=5, stall_s=3)
    now, at, answered = 0.0, 0, 0
    sent: list[tuple[float, int]] = []
    for verb, value in steps:
        if one.state is SessionState.OVER:
            break
        if verb == "wait":
            now += value
            for _ in one.poll(now):
                one.message_sent(now)
        elif verb == "audio" and one.room(now) >= value:
            one.send_audio(at, bytes(2 * value), now)
            sent.append((now, value))
            at += value + 10
        elif verb == "drain" and one.state is SessionState.OPEN:
            one.close_stream()
        elif verb in ("final", "interim"):
            for answer in one.receive(results(0, round(value), is_final=verb == "final"), now):
                if isinstance(answer, FinalReceived) and answer.pieces:
                    assert answer.pieces[0].stream_start == answered
                    answered = answer.pieces[-1].stream_start + answer.pieces[-1].length
        assert answered == one.answered_to <= one.map.sent_samples
    for i, (since, _) in enumerate(sent):
        burst = 0
        for until, length in sent[i:]:
            burst += length
            assert burst <= 300 + (until - since) * 1250 + 2, "faster than the pace"
