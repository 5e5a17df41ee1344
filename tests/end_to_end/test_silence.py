"""Traffic on the wire when nobody speaks, and at the ends of speech."""

import pytest

from edged.recognizer.protocol import Limits
from edged.testkit.connection_log import ConnectionLog
from tests.end_to_end.stage import Stage, speech, until

pytestmark = pytest.mark.slow

NO_ENDPOINTING = {"deepgram.endpointing_ms": False, "deepgram.utterance_end_ms": False}
"""The server ends nothing by itself: what ends is ended by us."""


def kinds(account: ConnectionLog) -> list[str]:
    """The messages of a connection, runs of audio as one."""
    found: list[str] = []
    for arrival in account.arrivals:
        if found[-1:] != [arrival.kind] or arrival.kind != "audio":
            found.append(arrival.kind)
    return found


async def test_silence_is_held_by_keepalives_alone(stage: Stage) -> None:
    """One connection; KeepAlive as text, at most 5 s apart, none while audio flows; never an empty binary frame."""
    script = speech(count=2, silence_s=14)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script)
    assert await run.ends() == 0
    run.check_words()
    run.check_times()
    (account,) = server.connection_logs
    assert account.message_counts["KeepAlive"] == 3, "14 s less hangover and pre-roll, every 4 s"
    assert account.longest_gap_s <= 5
    assert account.close_code == 1000
    arrivals = [*account.arrivals]
    for before, arrival, after in zip(arrivals, arrivals[1:], arrivals[2:], strict=False):
        if arrival.kind == "KeepAlive":
            assert arrival.at_s - before.at_s > 3.5, "it counts from the last message of ours"
            assert after.at_s > arrival.at_s
    assert set(account.message_counts) == {"audio", "KeepAlive", "Finalize", "CloseStream"}


async def test_only_speech_is_sent(stage: Stage) -> None:
    """Speech with its pre-roll and hangover, and what primes the connection."""
    script = speech(count=2, silence_s=8, lead_s=4)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script)
    assert await run.ends() == 0
    run.check_words()
    spoken_s = sum(script.words[last].end - script.words[first].start for first, last in ((0, 4), (5, 9))) / script.rate
    sent_s = server.received_samples / script.rate
    # Priming ends with the server's first word, so up to a message or two of 100 ms after prime_s.
    assert spoken_s + 2 * (0.3 + 0.7) <= sent_s <= spoken_s + 2 * (0.3 + 0.8 + 0.2) + 1.5 + 0.3


async def test_finalize_at_the_end_of_a_segment_brings_its_words(stage: Stage) -> None:
    """The server never hears the silence: without Finalize its words would wait for the next sentence."""
    script = speech(count=2, silence_s=10)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, NO_ENDPOINTING)
    await until(lambda: run.words == list(script.texts[:5]), "the first sentence")
    assert server.received_samples < script.words[5].start - script.rate, "the second has not begun"
    assert await run.ends() == 0
    run.check_words()
    (account,) = server.connection_logs
    assert [kind for kind in kinds(account) if kind != "KeepAlive"][-4:] == [
        "Finalize",
        "audio",
        "Finalize",
        "CloseStream",
    ]


async def test_closestream_is_the_last_message_and_the_servers_1000_is_waited_for(stage: Stage) -> None:
    """With `finalize = "off"` the last words come by CloseStream only."""
    script = speech(count=1)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, {**NO_ENDPOINTING, "deepgram.finalize": "off"})
    assert await run.ends() == 0
    run.check_words()
    (account,) = server.connection_logs
    assert kinds(account)[-1] == "CloseStream"
    assert "Finalize" not in account.message_counts
    assert account.close_code == 1000
    assert "connection closed in order" in run.log


async def test_priming_lets_the_server_speak(stage: Stage) -> None:
    """KeepAlive alone does not hold a connection that never carried audio: the other timer would end it."""
    script = speech(count=1, lead_s=8)
    server = await stage.recogniser(script, limits=Limits(mute_s=4))
    run = await stage.daemon(server.url, script)
    assert await run.ends() == 0
    run.check_words()
    assert len(server.connection_logs) == 1
    assert server.connection_logs[0].message_counts["KeepAlive"] >= 1


async def test_every_connection_is_primed(stage: Stage) -> None:
    """Not the first only: a server that ends each after 2 s of silence hears some audio on each."""
    script = speech(count=1, lead_s=10)
    server = await stage.recogniser(script, limits=Limits(idle_s=2))
    run = await stage.daemon(server.url, script)
    assert await run.ends() == 0
    run.check_words()
    assert len(server.connection_logs) >= 3
    assert all(account.samples >= script.rate for account in server.connection_logs[:-1])
    assert run.summary["reconnects"] == len(server.connection_logs) - 1
    assert "NET-0001" in run.log


async def test_idle_close(stage: Stage) -> None:
    """After `idle_close_s` of silence it is closed in order, and opened again at the next onset."""
    script = speech(count=2, silence_s=8)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, {"deepgram.idle_close_s": 3})
    assert await run.ends() == 0
    run.check_words()
    run.check_times()
    first, second = server.connection_logs
    assert first.close_code == second.close_code == 1000
    assert first.closed_at_s is not None
    assert second.opened_at_s - first.closed_at_s > 2, "not before somebody speaks"
    assert run.summary["reconnects"] == 0


async def test_without_priming_it_connects_at_speech(stage: Stage) -> None:
    """`prime_s = 0`; the pre-roll covers the handshake."""
    script = speech(count=1, lead_s=4)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, {"deepgram.prime_s": 0})
    await run.says("capturing")
    assert not server.connection_logs
    assert await run.ends() == 0
    run.check_words()
    (account,) = server.connection_logs
    assert account.samples < script.words[-1].end - script.words[0].start + 1.6 * script.rate
