"""One connection, by literal times: reference, sections 1, 2 and 4."""

import json

import pytest

from edged.recognizer import messages
from edged.recognizer.handshake import parse_query
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.protocol import Limits, ServerClose, ServerMessage
from edged.recognizer.quirks import Quirks
from tests.recognizer.common import FULL, ONE_SENTENCE, closes, pcm, results, run, said, session, stream, window, words

KEEPALIVE = '{"type":"KeepAlive"}'
FINALIZE = '{"type":"Finalize"}'
CLOSE_STREAM = '{"type":"CloseStream"}'


def test_nothing_is_said_after_the_opening() -> None:
    machine = session(ONE_SENTENCE)
    assert machine.open() == []
    assert run(machine, 11.9) == []


def test_idle_for_12_s_gets_metadata_and_then_net0001() -> None:
    machine = session(ONE_SENTENCE)
    stream(machine, pcm(ONE_SENTENCE, 0, 2.0))  # the last message leaves at 1.9 s
    assert machine.next_deadline() == pytest.approx(13.9)
    assert machine.tick(13.89) == []
    metadata, close = machine.tick(13.9)
    assert isinstance(metadata, ServerMessage)
    assert json.loads(metadata.text)["type"] == "Metadata"
    assert close == ServerClose(1011, messages.NET_0001)
    assert machine.closed
    assert machine.next_deadline() is None


def test_keepalive_resets_the_idle_limit_and_gets_no_reply() -> None:
    machine = session(ONE_SENTENCE)
    stream(machine, pcm(ONE_SENTENCE, 0, 2.0))
    for now in range(5, 100, 5):
        assert machine.receive(now, KEEPALIVE) == []
    assert machine.tick(106.9) == []
    assert closes(machine.tick(107.0)) == [ServerClose(1011, messages.NET_0001)]


def test_the_streams_clock_stands_still_during_keepalive() -> None:
    machine = session(ONE_SENTENCE)
    stream(machine, pcm(ONE_SENTENCE, 0, 2.1))
    for now in range(5, 20, 5):
        machine.receive(now, KEEPALIVE)
    out = [item for _, item in stream(machine, pcm(ONE_SENTENCE, 2.1, 6), start_s=20)]
    final = results(said(out), final=True)[0]
    assert window(final) == (0.0, 3.2)


def test_keepalive_alone_dies_of_the_mute_limit_after_30_s() -> None:
    machine = session(ONE_SENTENCE)
    for now in range(4, 30, 4):
        assert machine.receive(now, KEEPALIVE) == []
    assert machine.next_deadline() == 30
    assert machine.tick(30) == [ServerClose(1011, messages.NET_0000)]


def test_after_one_message_of_the_server_the_mute_limit_is_gone() -> None:
    machine = session(ONE_SENTENCE)
    assert stream(machine, pcm(ONE_SENTENCE, 0, 1.0)) != []
    for now in range(4, 60, 4):
        assert machine.receive(now, KEEPALIVE) == []


def test_keepalive_in_a_binary_message_is_audio() -> None:
    machine = session(ONE_SENTENCE)
    machine.receive(0.0, KEEPALIVE.encode())
    machine.receive(0.1, CLOSE_STREAM)
    assert machine.windows.processed_s == pytest.approx(len(KEEPALIVE) // 2 / 16_000)


def test_finalize_is_answered_at_once_in_real_time() -> None:
    machine = session(ONE_SENTENCE)
    stream(machine, pcm(ONE_SENTENCE, 0, 2.4))
    (answer,) = said(machine.receive(2.4, FINALIZE))
    assert answer["from_finalize"]
    assert words([answer]) == ["one", "two"]


def test_close_stream_gives_last_results_metadata_and_1000() -> None:
    machine = session(ONE_SENTENCE)
    stream(machine, pcm(ONE_SENTENCE, 0, 3.0))
    out = machine.receive(3.0, CLOSE_STREAM)
    assert [message["type"] for message in said(out)] == ["Results", "Metadata"]
    assert words(said(out)) == ["one", "two", "three"]
    assert out[-1] == ServerClose(1000, "")
    assert machine.receive(3.1, pcm(ONE_SENTENCE, 3, 4)) == []


def test_an_empty_binary_message_is_a_close_stream() -> None:
    machine = session(ONE_SENTENCE)
    stream(machine, pcm(ONE_SENTENCE, 0, 3.0))
    out = machine.receive(3.0, b"")
    assert words(said(out)) == ["one", "two", "three"]
    assert out[-1] == ServerClose(1000, "")


def test_a_half_sample_is_put_together_with_the_next_message() -> None:
    whole = session(ONE_SENTENCE)
    audio = pcm(ONE_SENTENCE, 0, 4)
    for count, at in enumerate(range(0, len(audio), 3201)):
        whole.receive(count * 0.1, audio[at : at + 3201])
    assert words(said(whole.receive(4.1, CLOSE_STREAM))) == []
    again = session(ONE_SENTENCE)
    out = [
        o
        for count, at in enumerate(range(0, len(audio), 3201))
        for o in again.receive(count * 0.1, audio[at : at + 3201])
    ]
    assert words(said(out)) == ["one", "two", "three"]


def test_audio_faster_than_1_25_is_answered_later_and_not_refused() -> None:
    """6 s of audio at once: half a second is free, the rest comes at 1.25, so the sentence's end (3.2 s) at 2.16 s."""
    machine = session(ONE_SENTENCE)
    assert said(machine.receive(0.0, ONE_SENTENCE.pcm)) == []
    assert machine.backlog_s == pytest.approx(5.5)
    out = run(machine, 10.0)
    final_at = next(at for at, item in out if results(said([item]), final=True))
    assert final_at == pytest.approx((3.2 - 0.5) / 1.25)
    assert words(said(item for _, item in out)) == ["one", "two", "three"]


def test_a_late_tick_does_not_slow_it_further() -> None:
    machine = session(ONE_SENTENCE)
    machine.receive(0.0, ONE_SENTENCE.pcm)
    machine.tick(2.17)
    assert machine.windows.processed_s == pytest.approx(3.2)


def test_finalize_and_close_stream_wait_behind_the_audio_before_them() -> None:
    machine = session(ONE_SENTENCE)
    machine.receive(0.0, pcm(ONE_SENTENCE, 0, 2.4))
    assert machine.receive(0.0, FINALIZE) == []
    assert machine.receive(0.0, CLOSE_STREAM) == []
    out = run(machine, 10.0)
    assert [at for at, item in out if isinstance(item, ServerClose)] == [pytest.approx((2.4 - 0.5) / 1.25)]
    assert [m["from_finalize"] for m in results(said(item for _, item in out), final=True)] == [True]
    assert words(said(item for _, item in out)) == ["one", "two"]


def test_a_backlog_is_not_idle() -> None:
    machine = session(ONE_SENTENCE, limits=Limits(max_rate=0.1))
    machine.receive(0.0, ONE_SENTENCE.pcm)
    assert closes(item for _, item in run(machine, 54.9)) == []
    assert words(said(machine.receive(55.1, CLOSE_STREAM))) == []


def test_too_much_backlog_makes_the_client_wait() -> None:
    machine = session(ONE_SENTENCE, limits=Limits(backlog_s=3.0))
    machine.receive(0.0, pcm(ONE_SENTENCE, 0, 3.0))
    assert machine.accepts_input
    machine.receive(0.0, pcm(ONE_SENTENCE, 3.0, 4.0))
    full = machine.accepts_input
    machine.tick(1.0)
    assert (full, machine.accepts_input) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        *("nonsense", '{"type":', "[]", "7", '{"type":"Dance"}', '{"type":["KeepAlive"]}', "{}"),
        *("[" * 100_000, '{"type":' * 100_000, "9" * 5000, '{"type":' + "9" * 5000 + "}"),
    ],
    ids=lambda text: text[:20],
)
def test_a_text_that_is_no_message_gets_an_error_and_goes_on(text: str) -> None:
    machine = session(ONE_SENTENCE)
    (answer,) = said(machine.receive(0.0, text))
    assert (answer["type"], answer["variant"]) == ("Error", "UnparsableClientMessage")
    assert not machine.closed


def test_audio_without_an_encoding_can_not_be_decoded() -> None:
    machine = session(ONE_SENTENCE, parse_query("model=nova-3"))
    (close,) = closes(machine.receive(0.0, b"RIFF"))
    assert close.code == 1008
    assert "data0000" in close.reason


def test_reasons_name_what_a_client_looks_for() -> None:
    assert "net0000" in messages.NET_0000
    assert "net0001" in messages.NET_0001


# Unkindness


def test_finalize_may_be_left_unanswered_and_the_words_come_later() -> None:
    machine = session(ONE_SENTENCE, perturbations=Perturbations(ignored_finalize_ratio=0.6))  # each draw is 0.5
    stream(machine, pcm(ONE_SENTENCE, 0, 3.0))
    assert machine.receive(3.0, FINALIZE) == []
    assert words(said(machine.receive(9.0, CLOSE_STREAM))) == ["one", "two", "three"]


def test_finalize_may_be_answered_late() -> None:
    machine = session(ONE_SENTENCE, perturbations=Perturbations(late_ratio=0.6, late_s=2.0))
    stream(machine, pcm(ONE_SENTENCE, 0, 3.0))
    assert machine.receive(3.0, FINALIZE) == []
    assert machine.tick(4.9) == []
    assert words(said(machine.tick(5.0))) == ["one", "two", "three"]


def test_results_may_come_long_after_the_close_was_begun() -> None:
    machine = session(ONE_SENTENCE, perturbations=Perturbations(late_ratio=0.6, late_s=2.0))
    stream(machine, pcm(ONE_SENTENCE, 0, 3.0))
    assert machine.receive(3.0, CLOSE_STREAM) == []
    assert machine.receive(3.5, pcm(ONE_SENTENCE, 3.0, 3.5)) == [], "audio after CloseStream is not taken"
    out = machine.tick(5.0)
    assert words(said(out)) == ["one", "two", "three"]
    assert out[-1] == ServerClose(1000, "")


# Compatible servers


def test_finalize_may_close_with_4400() -> None:
    machine = session(ONE_SENTENCE, quirks=Quirks(finalize_close_code=4400))
    assert closes(machine.receive(0.0, FINALIZE)) == [ServerClose(4400, "Finalize is not supported")]


def test_metadata_may_come_on_open() -> None:
    assert [m["type"] for m in said(session(ONE_SENTENCE, quirks=Quirks(metadata_on_open=True)).open())] == ["Metadata"]


def test_a_parameter_may_be_refused_after_the_upgrade() -> None:
    machine = session(ONE_SENTENCE, f"{FULL}&tag=x", quirks=Quirks(reject_after_upgrade="unknown parameter: tag"))
    assert machine.open() == [ServerClose(1008, "unknown parameter: tag")]
