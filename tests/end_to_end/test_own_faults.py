"""Faults of our own, wherever they are: a traceback and exit 70, so that a supervisor starts anew; never a hang."""

import signal
import sys

import pytest

from tests.end_to_end.stage import Stage, speech, until

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import edged.daemon.daemon
from edged.cli.main import main

def broken(*_, **__):
    raise RuntimeError("a fault of our own")

{breaking}
sys.exit(main())
"""

PLACES = {
    "a block arrives": "edged.daemon.daemon.Daemon._on_block = broken",
    "the voice detector": "import edged.gate.audio_gate as i; i.AudioGate.feed = broken",
    "a message arrives": "edged.daemon.daemon.Sender.receive = broken",
    "the sender is polled": "edged.daemon.daemon.Sender.poll = broken",
    "the connection is lost": "edged.daemon.daemon.Sender.connection_lost = broken",
    "the connection is made": "import edged.stream.connection as c; c.Connection.open = broken",
    "a record is made": "import edged.daemon.run_records as b; b.RecordBuilder.build = broken",
    "a record is committed": "import edged.daemon.persistence as b; b.Spool.commit = broken",
    "audio is spooled": "import edged.daemon.persistence as b; b.Spool.put_audio = broken",
    "the spool's thread": "import edged.spool.worker as w; w.SpoolWorker.process = broken",
    "the spool tells": "import edged.daemon.persistence as b; b.Persistence._on_spool_event = broken",
    "the backlog is waited for": "import edged.stream.backfill as b; b.Backfill.run = broken",
    "the spool is closed": "import edged.daemon.persistence as b; b.Persistence.close = broken",
    "a sink writes": "import edged.transcripts.sinks.file as j; j.FileSink.deliver = broken",
    "an interim is shown": "edged.daemon.daemon.Delivery.show_interim = broken",
    "the source is watched": "import edged.daemon.capture_monitor as b; b.StallDetector.check = broken",
    "the capture thread": "import edged.capture.wav as w; w.WavSource._play = broken",
    "the capture thread, later": "import edged.capture.wav as w; w.Level.feed = broken",
    "the end": "edged.daemon.daemon.Sender.finish = broken",
    "the last audio": "import edged.gate.audio_gate as i; i.AudioGate.finish = broken",
}


def program(breaking: str) -> tuple[str, ...]:
    return (sys.executable, "-c", PROGRAM.format(breaking=breaking))


@pytest.mark.parametrize("place", PLACES)
async def test_a_fault_of_our_own(stage: Stage, place: str) -> None:
    """Exit 70 and the traceback, once."""
    script = speech(count=1)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, program=program(PLACES[place]))
    assert await run.ends(within_s=30, traceback=True) == 70
    assert run.log.count("Traceback (most recent call last)") == 1, run.last
    assert "RuntimeError: a fault of our own" in run.log
    assert "please report the lines above" in run.log


async def test_a_fault_while_files_are_reopened(stage: Stage) -> None:
    """The fault happens in a signal's handler."""
    script = speech(lead_s=30)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, program=program("edged.daemon.daemon.Delivery.reopen = broken"))
    run.signal(signal.SIGHUP)
    assert await run.ends(within_s=15, traceback=True) == 70


async def test_what_was_recorded_before_a_fault_is_written(stage: Stage) -> None:
    """The sinks are given their time even then."""
    breaking = """
from edged.daemon.run_records import RecordBuilder
build, made = RecordBuilder.build, []
def second(self, *arguments):
    made.append(self)
    return broken() if len(made) > 1 else build(self, *arguments)
RecordBuilder.build = second
"""
    script = speech(count=2)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, program=program(breaking))
    assert await run.ends(traceback=True) == 70
    assert run.words == list(script.texts[:5])


async def test_a_signal_in_a_loop_that_stands_still_is_heeded_after_it(stage: Stage) -> None:
    """Five seconds in which nothing runs cost no word: audio waits in the hand-over."""
    breaking = """
import time
on_block, stood = edged.daemon.daemon.Daemon._on_block, []
def standing(self, block):
    if not stood and block.position > 3.5 * 16000:
        stood.append(time.sleep(5))
    on_block(self, block)
edged.daemon.daemon.Daemon._on_block = standing
"""
    script = speech()
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, program=program(breaking))
    await until(lambda: server.connection_logs, "a connection")
    assert await run.ends() == 0
    run.check_words()
    run.check_times()
    assert len(server.connection_logs) == 1, "and no connection"
