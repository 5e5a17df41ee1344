"""Output of a run for people and programs: the console, the summary, and reports about dropped audio."""

import asyncio
import os
import pty
import re
import signal
import termios
from itertools import pairwise

import pytest

from edged.recognizer.protocol import Limits
from edged.testkit.faults import Fault, FaultKind
from tests.end_to_end.stage import Run, Setting, Stage, speech, until
from tests.end_to_end.test_stopping import free_port

pytestmark = pytest.mark.slow

MARK = r"(  \[clock not set\])?"
"""Stands behind every line of a machine whose clock nobody sets."""


async def test_the_summary_agrees_with_everybody_else(stage: Stage) -> None:
    """With the recording, the records and what the server saw; as JSON, and as the log's last line."""
    script = speech(count=2, silence_s=6)
    server = await stage.recogniser(script)
    server.inject(Fault(FaultKind.RESET, in_word=7))
    run = await stage.daemon(server.url, script)
    assert await run.ends() == 0
    run.check_words()
    summary = run.summary
    assert set(summary) == {
        *("run", "captured_s", "sent_s", "saved", "keepalives", "connections", "reconnects", "utterances", "words"),
        *("peak_dbfs", "clipped", "overruns", "lost_s", "dropped_s", "judged_late_s", "given_up"),
        *("holes", "evicted_s", "left_s", "usd_estimated", "ignored_messages"),
    }
    rate = script.rate
    assert summary["run"] == run.records[0].run
    assert summary["captured_s"] == pytest.approx(len(script.pcm) / 2 / rate)
    assert summary["connections"] == len(server.connection_logs) == 2
    assert summary["reconnects"] == 1
    assert summary["utterances"] == len(run.records)
    assert summary["words"] == len(script.texts)
    assert (
        summary["keepalives"]
        == sum(account.message_counts.get("KeepAlive", 0) for account in server.connection_logs)
        >= 1
    )
    # What lay in the socket when it was reset was sent, and never arrived.
    assert 0 <= summary["sent_s"] - server.received_samples / rate < 0.5
    assert summary["saved"] == pytest.approx(1 - summary["sent_s"] / summary["captured_s"])
    assert summary["usd_estimated"] == pytest.approx(summary["sent_s"] / 60 * 0.0077)
    assert summary["holes"] == summary["evicted_s"] == summary["left_s"] == 0
    last = run.log.splitlines()[-1]
    assert "INFO" in last
    assert f"captured {summary['captured_s']:.1f} s" in last
    assert f"{summary['words']} words" in last
    assert any(record.replayed for record in run.records)


async def test_audio_beyond_the_bound_goes_oldest_first_and_is_counted(stage: Stage) -> None:
    """`replay.max_s`, without a spool: what is kept is the newest, whole words of it arrive when the server comes."""
    script = speech(count=5, silence_s=2)
    port = free_port()
    small = {"replay.max_s": 10, "deepgram.inflight_s": 9, "deepgram.stall_s": 8, "spool.enabled": False}
    run = await stage.daemon(f"ws://127.0.0.1:{port}/v1/listen", script, small)
    await run.says("the recording has ended")
    server = await stage.recogniser(script, port=port)
    assert await run.ends() == 0
    assert server.connection_logs
    assert not (run.directory / "spool").exists()
    check_evicted(run, "replay.max_s = 10")
    assert run.words == list(script.texts[-len(run.words) :]), "the newest, in order"
    run.check_positions()


async def test_speech_beyond_the_spools_bound_goes_oldest_first_and_is_counted(stage: Stage) -> None:
    """`spool.max_mb`: 1 MB is half a minute of speech; what came last is there when the server comes."""
    script = speech(count=8, words_each=12, silence_s=1.2)
    port = free_port()
    small = {"spool.max_mb": 1, "spool.to_disk_s": 1, "spool.sync_s": 0.5}
    more = {"backfill.after_s": 3, "deepgram.replay_rate": 10}
    run = await stage.daemon(f"ws://127.0.0.1:{port}/v1/listen", script, {**small, **more})
    await run.says("the recording has ended")
    await stage.recogniser(script, port=port, limits=Limits(max_rate=1000))
    assert await run.ends() == 0
    check_evicted(run, "spool.max_mb")
    assert len(set(run.words)) == len(run.words), "each once"
    lost = [place for place, word in enumerate(script.texts) if word not in run.words]
    assert lost == [*range(lost[0], lost[-1] + 1)]
    assert lost[0] <= 12, "older is only what was on its way to the server"
    assert lost[-1] < len(script.texts) - 12, "the newest is there"
    run.check_positions()
    run.check_times()


def check_evicted(run: Run, bound: str) -> None:
    """Some of it was, which was said once; not all of it."""
    assert run.summary["evicted_s"] > 3
    warnings = [line for line in run.log.splitlines() if "WARNING" in line]
    assert sum(f"more speech waits than {bound} allows" in line for line in warnings) == 1
    assert 0 < len(run.words) < len(run.script.texts)


async def test_the_console_is_plain_where_it_is_no_terminal(stage: Stage) -> None:
    """A line an utterance: nothing overwritten, no colours; and the log is not among them."""
    script = speech(count=2)
    server = await stage.recogniser(script)
    run = await stage.daemon(server.url, script, {"transcripts.sinks": ["console", "file"]})
    assert await run.ends() == 0
    lines = run.output.splitlines()
    assert len(lines) == len(run.records) == 2
    for line, record in zip(lines, run.records, strict=True):
        assert re.fullmatch(r"\d\d:\d\d:\d\d  " + re.escape(record.text) + MARK, line)
    assert "\x1b" not in run.output + run.log


async def test_the_console_on_a_terminal(stage: Stage) -> None:
    """The interim text stands in the last line and is overwritten as it grows; then the record replaces it."""
    script = speech(count=1, words_each=8)
    server = await stage.recogniser(script)
    ours, theirs = pty.openpty()
    shown = bytearray()
    asyncio.get_running_loop().add_reader(ours, lambda: shown.extend(_read(ours)))
    try:
        run = await stage.daemon(
            server.url, script, {"transcripts.sinks": ["console", "file"]}, {"TERM": "xterm"}, output=theirs
        )
        assert await run.ends() == 0
        shown += _read(ours, blocking=False)
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        os.close(theirs)
    screen = shown.decode()
    steps = [re.sub(r"\x1b\[\d*m", "", step) for step in screen.split("\r\x1b[K")]
    interims = [step for step in steps if step and "\n" not in step]
    assert len(interims) >= 2, "interims were shown while somebody spoke"
    assert all(len(shorter.split()) <= len(longer.split()) for shorter, longer in pairwise(interims))
    (record,) = run.records
    assert re.fullmatch(r"\d\d:\d\d:\d\d  " + re.escape(record.text) + MARK, steps[-1].rstrip())
    assert screen.endswith("\n")


def _read(terminal: int, *, blocking: bool = True) -> bytes:
    os.set_blocking(terminal, blocking)
    try:
        return os.read(terminal, 65_536)
    except (BlockingIOError, OSError):
        return b""


async def test_a_stopped_terminal_stops_nothing_else(stage: Stage) -> None:
    """Ctrl-S: the file gets every word in time, what the console missed comes when it goes on."""
    script = speech(count=2, words_each=8)
    server = await stage.recogniser(script)
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    try:
        settings: dict[str, Setting] = {"transcripts.sinks": ["console", "file"], "capture.end_wait_s": 8}
        run = await stage.daemon(server.url, script, settings, {"TERM": "xterm"}, output=theirs)
        await until(lambda: run.words == list(script.texts), "all words in the file")
        termios.tcflow(theirs, termios.TCOON)
        assert await run.ends() == 0
        shown = _read(ours, blocking=False).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    run.check_words()
    assert all(record.text in shown for record in run.records)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_stopped_terminal_obeys_signals(stage: Stage, number: signal.Signals, status: int) -> None:
    """Lines that a stopped terminal has not shown are in the file: no record is missing."""
    script = speech(count=2, words_each=8)
    server = await stage.recogniser(script)
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    try:
        settings: dict[str, Setting] = {"transcripts.sinks": ["console", "file"]}
        run = await stage.daemon(server.url, script, settings, {"TERM": "xterm"}, output=theirs)
        await until(lambda: run.records, "a record")
        run.signal(number)
        assert await run.ends(within_s=20) == status
    finally:
        os.close(ours)
        os.close(theirs)
