"""Signals and ends: the last words are written, nothing hangs, and the exit status tells what was left."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys

import pytest

from edged.testkit.faults import Fault, FaultKind
from tests.end_to_end.stage import Run, Stage, speech, until

pytestmark = pytest.mark.slow

LAST_WORDS = "s of speech not transcribed"


PORTS = itertools.count(12_000 + 4000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))
"""Below those that the kernel gives away, and for each worker of the tests others: nobody takes one meanwhile."""


def free_port() -> int:
    """Return the number of a port on which nothing listens."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always another")


def check_prefix(run: Run, received: int) -> None:
    """Every word whose audio the server had before the stop is written; what came after it may be."""
    spoken = [word.text for word in run.script.words if word.end <= received]
    assert run.words[: len(spoken)] == spoken
    assert run.words == list(run.script.texts[: len(run.words)])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_stopped_in_mid_speech(stage: Stage, number: signal.Signals, status: int) -> None:
    """edged waits for the final results, and writes them."""
    script = speech(words_each=8)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script)
    word = script.words[3]
    await until(lambda: server.received_samples >= (word.start + word.end) // 2 and len(run.words) == 0, "a word")
    received = server.received_samples
    run.signal(number)
    assert await run.ends() == status
    check_prefix(run, received)
    assert run.words, "what was said before the stop is written"
    assert server.connection_logs[-1].close_code == 1000
    assert run.summary["left_s"] == 0


async def test_stopped_just_when_the_connection_is_lost(stage: Stage) -> None:
    """The time left is enough for one more connection, which carries the audio without a result."""
    script = speech(words_each=8)
    server = await stage.recogniser(script)
    server.inject(Fault(FaultKind.RESET, in_word=4))
    run = await stage.daemon(server.url, script)
    await until(lambda: not server.pending_faults, "the reset")
    received = script.words[4].start
    run.signal(signal.SIGTERM)
    assert await run.ends() == 0
    check_prefix(run, received)
    assert len(server.connection_logs) == 2


async def test_a_second_signal_stops_at_once(stage: Stage) -> None:
    """Even when the answer it waits for never comes; the status says that something is left."""
    script = speech()
    server = await stage.recogniser(script)
    server.inject(Fault(FaultKind.STALL, in_word=1))
    run = await stage.daemon(server.url, script, {"daemon.stop_s": 60})
    await until(lambda: not server.pending_faults, "the stall")
    run.signal(signal.SIGTERM)
    await run.says("stopping; waiting up to")
    run.signal(signal.SIGTERM)
    assert await run.ends(within_s=10) == 75
    assert LAST_WORDS in run.log


async def test_a_stop_is_bounded(stage: Stage) -> None:
    """`stop_s`, against a server that answers nothing any more."""
    script = speech()
    server = await stage.recogniser(script)
    server.inject(Fault(FaultKind.BLACK_HOLE, in_word=1))
    run = await stage.daemon(server.url, script, {"daemon.stop_s": 2})
    await until(lambda: not server.pending_faults, "the black hole")
    run.signal(signal.SIGTERM)
    assert await run.ends(within_s=15) == 75
    assert LAST_WORDS in run.log


async def test_stopped_with_a_server_that_is_not_there(stage: Stage) -> None:
    """75, and the log says how much speech is left; capture never stopped for it."""
    script = speech()
    run = await stage.daemon(f"ws://127.0.0.1:{free_port()}/v1/listen", script, {"daemon.stop_s": 1})
    await run.says("connection refused")
    await asyncio.sleep(3)  # the first sentence is said from 1 s on
    run.signal(signal.SIGTERM)
    assert await run.ends() == 75
    assert LAST_WORDS in run.log
    assert run.summary["left_s"] > 0.5
    assert run.summary["connections"] == 0


async def test_stopped_in_silence_with_a_server_that_is_not_there(stage: Stage) -> None:
    """Nobody spoke: nothing is left, and nothing is waited for."""
    script = speech(lead_s=30)
    run = await stage.daemon(f"ws://127.0.0.1:{free_port()}/v1/listen", script, {"daemon.stop_s": 60})
    await run.says("connection refused")
    run.signal(signal.SIGTERM)
    assert await run.ends(within_s=10) == 0
    assert run.summary["left_s"] == 0


async def test_the_last_signals_do_not_spoil_the_status(stage: Stage) -> None:
    """However many come, and however late."""
    script = speech(lead_s=30)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script)
    await until(lambda: server.connection_logs, "a connection")
    while run.process.returncode is None:
        run.signal(signal.SIGTERM)
        await asyncio.sleep(0.002)
    assert await run.ends() == 0


async def test_stopped_before_the_handshake_is_answered(stage: Stage) -> None:
    """A connection that hangs in its opening does not hold up the end."""
    script = speech(lead_s=30)
    server = await stage.recogniser(script, faults=[Fault(FaultKind.HANG)])
    run = await stage.daemon(server.url, script, {"daemon.stop_s": 60, "deepgram.open_timeout_s": 60})
    run.signal(signal.SIGTERM)
    assert await run.ends(within_s=15) == 0


HANGING_LOOK_UP = """
import socket, sys, time
socket.getaddrinfo = lambda *_, **__: time.sleep(600)
from edged.cli.main import main
sys.exit(main())
"""
"""A resolver whose servers do not answer can take minutes, and nothing can interrupt it."""


async def test_stopped_while_a_name_is_looked_up(stage: Stage) -> None:
    """The look-up hangs in a thread; the end does not wait for it."""
    url = "wss://recogniser.invalid/v1/listen"
    program = (sys.executable, "-c", HANGING_LOOK_UP)
    run = await stage.daemon(url, speech(), {"daemon.stop_s": 1}, program=program)
    await asyncio.sleep(3)  # the first sentence is said from 1 s on
    run.signal(signal.SIGTERM)
    assert await run.ends(within_s=15) == 75
    assert run.summary["left_s"] > 0


async def test_a_recording_ends_and_the_server_never_comes(stage: Stage) -> None:
    """75 after `end_wait_s`."""
    script = speech(count=1)
    url = f"ws://127.0.0.1:{free_port()}/v1/listen"
    run = await stage.daemon(url, script, {"capture.end_wait_s": 1})
    assert await run.ends() == 75
    assert "the recording has ended" in run.log
    assert LAST_WORDS in run.log


async def test_a_recording_ends_and_the_server_comes_back(stage: Stage) -> None:
    """Everything is answered late; the records say so."""
    script = speech(count=2)
    port = free_port()
    run = await stage.daemon(f"ws://127.0.0.1:{port}/v1/listen", script, {"replay.max_s": 60})
    await run.says("the recording has ended")
    server = await stage.recogniser(script, port=port)
    assert await run.ends() == 0
    run.check_words()
    run.check_times()
    assert all(record.delayed_s > 1 for record in run.records)
    assert not any(record.replayed for record in run.records), "its audio was sent once only"
    assert run.summary["reconnects"] == 0, "nothing was lost that had been there"
    assert server.connection_logs[0].max_rate(script.rate) <= 1.25 + 0.3 / 5 + 0.05, "replay keeps its pace"


async def test_a_signal_while_a_recordings_end_is_awaited(stage: Stage) -> None:
    """The signal turns the wait into a stop like any other: `stop_s` at most."""
    script = speech(count=1)
    url = f"ws://127.0.0.1:{free_port()}/v1/listen"
    run = await stage.daemon(url, script, {"capture.end_wait_s": 300, "daemon.stop_s": 1})
    await run.says("the recording has ended")
    run.signal(signal.SIGTERM)
    assert await run.ends(within_s=15) == 75


async def test_sighup_reopens_the_file(stage: Stage) -> None:
    """The test renames the file and sends the signal, as logrotate does; later records are in a new file, none lost."""
    script = speech(count=2, silence_s=4)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script)
    await until(lambda: run.words == list(script.texts[:5]), "the first sentence")
    rotated = run.transcripts.with_suffix(".1")
    run.transcripts.rename(rotated)
    run.signal(signal.SIGHUP)
    assert await run.ends() == 0
    assert run.words == list(script.texts[5:])
    assert len(rotated.read_bytes().splitlines()) == 1
