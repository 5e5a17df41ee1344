"""Finalize and the end of a run: servers that cannot take a Finalize.

A bench's positions and times are milliseconds.
"""

import pytest

from tests.stream.some import Bench, final, interim

# -- Finalize ---------------------------------------------------------------------------------------------------------


def test_auto_stops_sending_finalize_to_a_server_that_closes_because_of_it() -> None:
    bench = Bench(finalize="auto")
    bench.connect()
    bench.say(2000)
    bench.wait(2100)
    assert len(bench.said("Finalize")) == 1
    bench.lose(4400)
    bench.connect()
    bench.wait(5000)
    bench.serve(final(0, 2000, "ah@100-1900"))
    bench.say(bench.at + 2000)
    bench.wait(bench.at + 200)
    assert len(bench.said("Finalize")) == 1


def test_auto_learns_from_the_finalize_of_a_stall_as_well() -> None:
    bench = Bench(finalize="auto")
    bench.connect()
    bench.open()
    bench.hear(10_100)
    assert len(bench.said("Finalize")) == 1
    bench.lose(4400)
    bench.connect()
    bench.hear(30_000)
    assert len(bench.said("Finalize")) == 1


@pytest.mark.parametrize("code", [1000, 1005])
def test_a_server_that_ends_the_stream_on_finalize_is_not_sent_one_with_every_sentence(code: int) -> None:
    """After two connections that ended so it gets none: the third carries all that follows."""
    bench = Bench(finalize="auto")
    for _ in range(2):
        bench.connect()
        bench.say(bench.at + 2000, silence=500)
        assert len(bench.said("Finalize")) == 1
        bench.serve(final(0, 2500, "ah@100-1900"))
        bench.at += 100
        bench.lose(code)
        bench.control.clear()
    bench.connect()
    for sentence in range(9):
        bench.say(bench.at + 2000, silence=500)
        bench.serve(final(2500 * sentence, 2500 * sentence + 2500, f"ah@{2500 * sentence + 100}"))
        bench.wait(bench.at + 20_000)
    assert bench.said("Finalize") == []
    assert len(bench.texts) == 11
    [learned] = bench.learned
    assert f"with code {code} on Finalize" in learned


@pytest.mark.parametrize("code", [None, 1000, 1006, 1011, 1012])
def test_auto_is_not_turned_off_by_one_close_of_another_kind(code: int | None) -> None:
    bench = Bench(finalize="auto")
    bench.connect()
    bench.say(2000)
    bench.wait(2100)
    bench.lose(code)
    bench.connect()
    bench.wait(5000)
    assert len(bench.said("Finalize")) == 2


def test_connections_that_we_give_up_after_a_finalize_tell_nothing_of_it() -> None:
    """A server that stays mute."""
    bench = Bench(finalize="auto", finalize_timeout_s=0.1)
    for _ in range(9):
        bench.connect()
        bench.say(bench.at + 2000, silence=500)
        bench.wait(bench.at + 6000)
        if bench.lane.session:
            bench.lane.connection_lost(bench.now, None, given_up=True)
    assert bench.learned == []


def test_message_goes_on_whatever_the_server_does() -> None:
    bench = Bench(finalize="message")
    bench.connect()
    bench.say(2000)
    bench.wait(2100)
    bench.lose(4400)
    bench.connect()
    bench.wait(5000)
    assert len(bench.said("Finalize")) == 2


def test_off_relies_on_the_hangover_and_then_on_close_stream() -> None:
    """An unvoiced tail is settled after the timeout; what was voiced and is not answered is asked for by the end."""
    bench = Bench(finalize="off")
    bench.connect()
    bench.say(2000, silence=500)
    bench.serve(final(0, 2300, "ah@100-1900", speech_final=True))
    bench.wait(6000)
    assert bench.waiting == []
    bench.say(8000)
    bench.serve(interim(0, 4000))
    bench.wait(12_000)
    assert bench.said("Finalize") == []
    assert len(bench.said("CloseStream")) == 1


# -- the end ----------------------------------------------------------------------------------------------------------


def test_at_the_end_everything_is_sent_before_close_stream() -> None:
    bench = Bench()
    bench.open()
    bench.hear(4000)
    bench.close()
    bench.connect()
    bench.lane.finish()
    bench.wait(12_000)
    assert bench.sent() == [(0, 4000)]
    [closed] = bench.said("CloseStream")
    assert closed >= bench.audio[-1][0]


def test_a_draining_server_is_waited_for_as_long_as_it_goes_on_answering() -> None:
    bench = Bench()
    bench.connect()
    bench.say(4000)
    bench.lane.finish()
    bench.poll()
    for second in range(5, 30):
        bench.wait(second * 1000)
        bench.serve(interim(0, 1000))
    assert bench.hangups == []
    bench.wait(36_000)
    assert bench.hangups == ["the server did not end the stream in time"]


def test_a_sender_has_one_session_at_a_time() -> None:
    bench = Bench()
    bench.connect()
    with pytest.raises(RuntimeError, match="one session at a time"):
        bench.connect()


def test_without_a_session_nothing_is_due() -> None:
    bench = Bench()
    assert bench.lane.next_deadline(0.0) is None
    assert bench.lane.poll(0.0) == []
    assert bench.lane.connection_lost(0.0) == []
    assert bench.lane.receive(final(0, 1000), 0.0) == []
    bench.lane.message_sent(0.0)
