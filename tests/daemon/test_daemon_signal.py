"""The daemon's reports on the audio: losses before the gate, a volume that costs words, a mute, and a backlog."""

import asyncio
import logging
import signal
from collections.abc import Callable
from itertools import count
from typing import Literal

import pytest
from msgspec.structs import replace

from edged.capture.level import LevelMonitor, dbfs
from edged.config.settings import Settings
from edged.daemon import backlog_report, daemon
from edged.daemon.daemon import Daemon
from edged.daemon.persistence import Persistence
from edged.daemon.recovery import RecoveredBacklog, Recovery
from edged.model.audio import Block, SignalChange, SourceEnded, SourceEvent, SourceLost, SourceOpened
from edged.model.errors import ExitStatus
from edged.spool.model import RunBacklog
from edged.stream.events import BacklogRange
from edged.testkit.instrumented_server import InstrumentedServer
from tests.daemon.test_daemon import BLOCK, send, with_server
from tests.daemon.test_daemon import settings as settings  # a fixture
from tests.daemon.test_daemon import signals as signals  # another
from tests.daemon.test_daemon_source import played
from tests.spool.some import run_of


def test_audio_lost_to_a_blocked_loop_is_logged_and_counted(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hand-over holds ten seconds, here of silence: five more are lost, the oldest."""
    blocks = [Block(1600 * number, bytes(3200), 100 + number / 10) for number in range(150)]
    played(monkeypatch, SourceOpened("plughw:CARD=A", "as asked"), *blocks, SourceEnded())

    async def act(server: InstrumentedServer) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is ExitStatus.OK
        assert (run.summary.dropped_s, run.summary.captured_s, run.summary.peak_dbfs) == (5.0, 10.0, dbfs(0))

    with_server(act)
    [said] = [record.message for record in caplog.records if "stood still" in record.message]
    assert said.startswith("5.0 s of audio lost: ")


@pytest.mark.parametrize(("source", "told"), [("alsa", True), ("wav", False)])
def test_clipping_is_logged_for_a_microphone_but_not_for_a_recording(
    source: Literal["alsa", "wav"],
    told: bool,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(daemon, "WATCH_S", 0.001)
    hears, clipped = LevelMonitor.check, count(step=100)
    monkeypatch.setattr(
        LevelMonitor, "check", lambda loudness, *_, is_open: hears(loudness, 32767, next(clipped), 0, is_open=is_open)
    )
    played(monkeypatch, SourceOpened("plughw:CARD=A", "as asked"), Block(0, BLOCK, 100.0))
    whole = settings()
    waiting = replace(whole, capture=replace(whole.capture, source=source))

    async def act(_: InstrumentedServer) -> None:
        sent = send(signal.SIGTERM, after_s=0.3)
        await Daemon(waiting, None).run()
        sent.join()

    with_server(act)
    assert [record.message for record in caplog.records if "clips" in record.message] == [
        "microphone: clips: lower capture.volume, or move it away from the person who speaks"
    ] * told


def test_a_mute_ends_with_the_device_and_is_logged_again_after_its_return(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log and the status report the mute again.

    About an absent microphone the status says only that it is absent.
    """
    mute = SignalChange("delivers digital silence", fault=True)
    opened, lost = SourceOpened("plughw:CARD=A", "as asked"), SourceLost("unplugged")
    played(monkeypatch, opened, mute, lost, opened, mute, lost, SourceEnded())
    faults: list[str | None] = []

    class Told(Daemon):
        def _on_capture_event(self, item: SourceEvent) -> None:
            super()._on_capture_event(item)
            faults.append(self._manager.fault)

    async def act(server: InstrumentedServer) -> None:
        assert await Told(settings(server.url), None).run() is ExitStatus.OK

    with caplog.at_level(logging.DEBUG, "edged"):
        with_server(act)
    assert faults == [None, mute.text, None, None, mute.text, None, None]
    told = [record.message for record in caplog.records if mute.text in record.message]
    assert told == [f"microphone: {mute.text}", f"again: microphone: {mute.text}"], "within a minute it is summed up"


def test_a_backlog_is_logged_and_that_of_an_earlier_run_is_no_growth(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def report_twice() -> None:
        run = Daemon(settings(), None)
        run._wire()
        backlog = RunBacklog(run_of("run-0"), (), (), None, 0.0)
        ranges = (BacklogRange(0, 16_000 * 600, ()),)
        run._on_recovery(Recovery(backlogs=[RecoveredBacklog(backlog, ranges, same_boot=True)]))
        run._backfill.forget("run-0", 0, 16_000 * 60)
        run._check_backlog()
        run._check_backlog()

    caplog.set_level(logging.INFO, "edged")
    monkeypatch.setattr(backlog_report, "INTERVAL_S", 0.0)
    monkeypatch.setattr(Persistence, "tick", lambda _: None)
    asyncio.run(report_twice())
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert caplog.messages[0].startswith("backlog: 9 min 0 s of speech, done in about ")
    assert caplog.messages[1] == "backlog: 9 min 0 s of speech, and it does not shrink (not connected)"
