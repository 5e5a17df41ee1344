"""One connection of a sender: pace, priming, KeepAlive, idle_close. A bench's positions and times are milliseconds."""

from itertools import pairwise

import pytest

from tests.stream.some import Bench, end_three_times, final, interim


def primed(bench: Bench, until: int) -> None:
    """The microphone hears nothing: the gate is held open as long as the lane wants to be primed."""
    is_open = False
    while bench.at < until:
        if bench.lane.wants_priming():
            if not is_open:
                bench.open()
                is_open = True
            bench.hear(bench.at + 100, voiced=False)
        else:
            if is_open:
                bench.close()
                is_open = False
            bench.wait(bench.at + 100)


# -- pace -------------------------------------------------------------------------------------------------------------


def test_a_backlog_and_live_audio_leave_in_order_at_the_replay_rate_together() -> None:
    bench = Bench(inflight_s=300, stall_s=120)
    bench.open()
    bench.hear(10_000)
    bench.connect()
    for second in range(10, 70):
        bench.hear((second + 1) * 1000)
        bench.serve(interim(0, sum(n for _, n in bench.audio)))
    assert bench.sent() == [(0, bench.at)]
    for since, _ in bench.audio:
        within = sum(length for at, length in bench.audio if since <= at < since + 10_000)
        assert within <= 300 + 12_500 + 100


def test_no_more_than_inflight_s_is_sent_beyond_the_last_result() -> None:
    """When no result comes at all, the session sends Finalize, and is given up."""
    bench = Bench(inflight_s=5, stall_s=60)
    bench.open()
    bench.hear(20_000)
    bench.connect()
    bench.wait(24_000)
    assert sum(length for _, length in bench.audio) == 5000
    assert len(bench.said("Finalize")) == 1
    bench.wait(30_000)
    assert bench.hangups == ["stalled: no result for 5 s of audio"]


def test_a_stall_is_asked_for_before_it_ends_the_session() -> None:
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(10_100)
    assert bench.said("Finalize") == [10_100]
    bench.hear(13_000)
    assert bench.hangups == []
    bench.hear(13_200)
    assert bench.hangups == ["stalled: no result for 13 s of audio"]
    assert bench.waiting == [(0, 13_200)]


# -- priming ----------------------------------------------------------------------------------------------------------


def test_every_connection_without_anything_to_send_is_primed() -> None:
    """A reconnect at three in the morning that carries KeepAlive alone would die after 30 s, again and again."""
    bench = Bench()
    for _ in range(3):
        bench.connect()
        assert bench.lane.wants_priming()
        primed(bench, bench.at + 1500)
        bench.serve(interim(0, 1000))
        assert not bench.lane.wants_priming()
        bench.close()
        bench.wait(bench.at + 60_000)
        bench.lose()


def test_what_waits_is_priming_enough() -> None:
    bench = Bench()
    bench.say(2000)
    bench.connect()
    assert not bench.lane.wants_priming()


def test_after_prime_s_it_is_asked_for_an_answer() -> None:
    bench = Bench(prime_s=1.5)
    bench.connect()
    primed(bench, 3000)
    assert bench.said("Finalize") == [1500]


def test_priming_lasts_until_the_server_has_spoken() -> None:
    bench = Bench()
    bench.connect()
    primed(bench, 2000)
    assert bench.lane.wants_priming()
    bench.serve(interim(0, 1000))
    assert not bench.lane.wants_priming()


def test_a_mute_server_is_primed_for_prime_max_s_at_most_and_parked() -> None:
    """The sender connects again when somebody speaks."""
    bench = Bench(prime_max_s=5)
    bench.connect()
    primed(bench, 9000)
    assert sum(length for _, length in bench.audio) == 5000
    assert bench.hangups == ["the server stays mute; connecting again when somebody speaks"]
    assert bench.lane.is_parked
    assert bench.lane.backlog == 0
    assert not bench.lane.has_work(bench.now)
    bench.open()
    bench.hear(bench.at + 500)
    assert bench.lane.has_work(bench.now)
    bench.connect()
    assert not bench.lane.is_parked


def test_a_mute_server_that_was_sent_speech_is_not_parked() -> None:
    """Spoken words wait for an answer."""
    bench = Bench()
    bench.connect()
    bench.say(2000, silence=500)
    bench.wait(30_000)
    assert bench.hangups != []
    assert not bench.lane.is_parked
    assert bench.lane.has_work(bench.now)


def test_words_in_priming_audio_are_records_like_any_other() -> None:
    bench = Bench()
    bench.connect()
    primed(bench, 2000)
    bench.serve(final(0, 1900, "ah@500-900", speech_final=True))
    assert bench.texts == ["ah"]


def test_with_prime_s_0_nothing_is_primed() -> None:
    bench = Bench(prime_s=0)
    bench.connect()
    assert not bench.lane.wants_priming()
    bench.wait(20_000)
    assert bench.audio == []


def test_without_a_source_a_connection_is_one_check_of_the_key() -> None:
    bench = Bench()
    bench.lane.source_lost()
    bench.connect()
    assert bench.said("CloseStream") == [0]
    assert bench.lane.is_parked
    bench.lose(1000)
    assert not bench.lane.has_work(bench.now)


# -- KeepAlive --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_in_silence_nothing_is_sent_but_keep_alive_every_4_s() -> None:
    bench = Bench()
    bench.connect()
    bench.say(2000)
    bench.wait(2100)
    bench.serve(final(0, 2000, "ah@100-1900"))
    before = len(bench.audio)
    quiet_from = max(at for at, _ in bench.control) if bench.control else bench.audio[-1][0]
    bench.wait(3_600_000)
    assert len(bench.audio) == before
    assert {kind for at, kind in bench.control if at > quiet_from} == {"KeepAlive"}
    times = [quiet_from, *(at for at in bench.said("KeepAlive") if at > quiet_from)]
    assert {after - before for before, after in pairwise(times)} == {4000}
    assert bench.lane.keepalives == len(bench.said("KeepAlive"))


def test_a_loop_that_was_blocked_for_5_s_sends_keep_alive_first() -> None:
    bench = Bench()
    bench.connect()
    bench.serve(interim(0, 0))
    bench.at = 5000
    bench.open(0)
    bench.hear(5000, start=0)
    assert bench.control[0] == (5000, "KeepAlive")
    assert bench.hangups == []


def test_a_loop_that_was_blocked_for_15_s_does_not_wait_for_the_close() -> None:
    bench = Bench()
    bench.connect()
    bench.say(2000)
    bench.at = 17_100
    bench.poll()
    assert bench.hangups == ["nothing could leave for 15 s: the connection is taken for dead"]
    assert bench.waiting == [(0, 2000)]


# -- idle_close -------------------------------------------------------------------------------------------------------


def test_after_long_silence_the_connection_is_closed_until_somebody_speaks() -> None:
    bench = Bench(idle_close_s=60)
    bench.connect()
    bench.say(2000)
    bench.wait(2100)
    bench.serve(final(0, 2000, "ah@100-1900"))
    bench.wait(61_900)
    assert bench.said("CloseStream") == []
    bench.wait(62_100)
    assert len(bench.said("CloseStream")) == 1
    assert bench.lane.is_parked
    bench.lose(1000)
    assert not bench.lane.has_work(bench.now)
    bench.open()
    bench.hear(bench.at + 300)
    assert bench.lane.has_work(bench.now)


@pytest.mark.slow
def test_by_default_it_is_never_closed() -> None:
    bench = Bench()
    bench.connect()
    bench.serve(interim(0, 0))
    bench.wait(10_000_000)
    assert bench.said("CloseStream") == []


def test_idle_close_waits_for_the_last_answer() -> None:
    """The wait does not make the loop spin."""
    bench = Bench(idle_close_s=1)
    bench.connect()
    bench.say(2000)
    bench.serve(interim(0, 1000))
    bench.wait(4000)
    assert bench.said("CloseStream") == []
    bench.serve(final(0, 2000, "ah@100-1900"))
    assert len(bench.said("CloseStream")) == 1


def test_what_is_set_aside_does_not_keep_an_idle_connection_open() -> None:
    bench = Bench(idle_close_s=5)
    bench.connect()
    bench.say(2000, silence=500)
    end_three_times(bench, 2600)
    assert bench.aside
    bench.wait(bench.at + 6000)
    assert len(bench.said("CloseStream")) == 1


def test_a_server_that_ends_connections_in_silence_gets_the_next_one_when_somebody_speaks() -> None:
    """After three of them: each costs its priming."""
    bench = Bench()
    for parked in (False, False, True):
        bench.connect()
        primed(bench, bench.at + 1600)
        bench.serve(final(0, 1500))
        bench.close()
        bench.wait(bench.at + 4000)
        bench.lose(1000)
        assert bench.lane.is_parked is parked
    bench.open()
    bench.hear(bench.at + 500)
    assert bench.lane.has_work(bench.now)
