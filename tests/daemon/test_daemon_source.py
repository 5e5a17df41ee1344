"""The daemon and its source: holes, notices and waiting, and what the daemon passes on to the source."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from edged.capture import level
from edged.capture.source import CaptureCounters, Deliver
from edged.config.settings import Settings
from edged.daemon import daemon
from edged.daemon.daemon import Daemon
from edged.gate.controller import QUIET_READ_S, SPEECH_READ_S
from edged.model.audio import Block, Overrun, SignalChange, SourceEnded, SourceEvent, SourceLost, SourceOpened
from edged.model.errors import ExitStatus, SourceMismatchError
from edged.spool.spool import Spool
from edged.testkit.instrumented_server import InstrumentedServer
from tests.daemon.test_daemon import BLOCK, SCRIPT, with_server
from tests.daemon.test_daemon import settings as settings  # a fixture
from tests.daemon.test_daemon import signals as signals  # another


class Played:
    """A source that delivers these items at once."""

    def __init__(self, items: list[SourceEvent], deliver: Deliver, missing: SourceLost | None = None) -> None:
        self.counters = CaptureCounters()
        self._items, self._deliver, self._missing = items, deliver, missing

    def check(self) -> SourceLost | None:
        return self._missing

    def start(self) -> None:
        for item in self._items:
            self._deliver(item)

    def set_read_interval(self, seconds: float) -> None:
        """Do nothing: all blocks have been delivered."""

    def reopen(self) -> None:
        """Do nothing: this source never hangs."""

    def stop(self, timeout_s: float) -> bool:
        return True


def played(monkeypatch: pytest.MonkeyPatch, *items: SourceEvent, missing: SourceLost | None = None) -> None:
    """The next daemon hears this."""
    monkeypatch.setattr(daemon, "open_source", lambda _, deliver: Played([*items], deliver, missing))


def test_holes_are_counted(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap between positions is one; captured is what came."""
    blocks = [Block(at, BLOCK, 100 + at / 16_000) for at in (0, 1600, 8000, 9600)]
    played(monkeypatch, SourceOpened("plughw:CARD=A", "as asked"), *blocks, Overrun(4800), SourceEnded())

    async def act(server: InstrumentedServer) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is ExitStatus.OK
        assert run.summary.holes == 1
        assert run.summary.captured_s == 0.4

    with_server(act)


def test_a_hole_that_is_found_late_redates_what_was_captured_behind_it_also_in_the_spool(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors: list[tuple[int, float]] = []
    monkeypatch.setattr(Spool, "put_anchor", lambda self, run, position, at_s: anchors.append((position, at_s)))
    blocks = [Block(at, BLOCK, 100 + at / 16_000) for at in (0, 1600, 3200)]
    played(monkeypatch, SourceOpened("plughw:CARD=A", "as asked"), *blocks, Overrun(8000, 1600), SourceEnded())

    async def act(server: InstrumentedServer) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is ExitStatus.OK
        assert run.summary.holes == 1
        assert run._timeline.at_s(3200) == pytest.approx(100.7)

    with_server(act)
    assert anchors == [(0, 100.0), (1600, pytest.approx(100.6))]


def test_the_daemon_limits_how_much_audio_the_source_delivers_at_a_time(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit depends on the audio heard so far; see `GateController.read_interval_s`."""
    told: list[float] = []
    monkeypatch.setattr(Played, "set_read_interval", lambda _, seconds: told.append(seconds))
    speech = SCRIPT.pcm[2 * SCRIPT.words[0].start :][:3200]
    for pcm, read_interval_s in ((bytes(3200), QUIET_READ_S), (speech, SPEECH_READ_S)):
        told.clear()
        played(monkeypatch, SourceOpened("plughw:CARD=A", "as asked"), Block(0, pcm, 100.0), SourceEnded())

        async def act(server: InstrumentedServer) -> None:
            await Daemon(settings(server.url), None).run()

        with_server(act)
        assert told[0] == read_interval_s


def test_the_log_names_the_source(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Gone, back, too loud, overrun: for people, each once, and with a level that fits."""
    played(
        monkeypatch,
        SourceOpened("plughw:CARD=A", "16000 Hz"),
        Overrun(1600),
        SignalChange("it delivers digital silence", fault=True),
        SignalChange("it has signal again", fault=False),
        SourceLost("unplugged"),
        SourceOpened("plughw:CARD=A", "16000 Hz"),
        SourceEnded(),
    )

    async def act(server: InstrumentedServer) -> None:
        with caplog.at_level(logging.INFO, "edged"):
            assert await Daemon(settings(server.url), None).run() is ExitStatus.OK

    with_server(act)
    said = [(record.levelname, record.message) for record in caplog.records if record.name == "edged"]
    assert said[0] == ("INFO", "capturing plughw:CARD=A: 16000 Hz")
    assert ("WARNING", "overrun: 100 ms of audio lost") in said
    assert ("WARNING", "microphone: it delivers digital silence") in said
    assert ("WARNING", "microphone: unplugged") in said
    assert sum("microphone: works again" in text for _, text in said) == 2


def test_a_recurring_notice_is_logged_once_whatever_alternates(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """28 overruns, a device that flaps, two errors in turn: a line for each kind; the rest is summed up later."""
    opened = SourceOpened("plughw:CARD=A", "16000 Hz")
    flaps = [
        item for _ in range(10) for item in (SourceLost("A is not there"), SourceLost("A is held by B (pid 7)"), opened)
    ]
    played(monkeypatch, opened, *[Overrun(1600 + each) for each in range(28)], *flaps, SourceEnded())

    async def act(server: InstrumentedServer) -> None:
        with caplog.at_level(logging.INFO, "edged"):
            assert await Daemon(settings(server.url), None).run() is ExitStatus.OK

    with_server(act)
    said = [record.message for record in caplog.records if record.name == "edged"]
    assert said[:-1] == [
        "capturing plughw:CARD=A: 16000 Hz",
        "overrun: 100 ms of audio lost",
        "microphone: A is not there",
        "microphone: A is held by B (pid 7)",
        "microphone: works again after 0.0 s",
    ]


def test_a_source_that_hangs_is_asked_to_open_its_device_again_and_that_it_helped_is_said(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daemon, "WATCH_S", 0.02)
    monkeypatch.setattr(level, "REOPEN_AFTER_S", 0.05)

    class Hanging(Played):
        def start(self) -> None:
            super().start()
            self.counters.last_block_s = time.monotonic() - 2.5

        def reopen(self) -> None:
            self.counters.last_block_s = time.monotonic()
            asyncio.get_running_loop().call_later(0.1, self._deliver, SourceEnded())

    monkeypatch.setattr(daemon, "open_source", lambda _, deliver: Hanging([], deliver))

    async def act(server: InstrumentedServer) -> None:
        with caplog.at_level(logging.INFO, "edged"):
            assert await Daemon(settings(server.url), None).run() is ExitStatus.OK

    with_server(act)
    said = [record.message for record in caplog.records if record.message.startswith("microphone")]
    assert said[0] == ("microphone: is open but has delivered nothing for 2 s; reopening it at growing intervals")
    assert said[1].endswith("delivers again after it was reopened")


@pytest.mark.slow
def test_the_daemons_own_stop_is_no_fault_of_the_microphones(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """During its own stop the daemon waits for the last words and captures nothing, on purpose."""
    monkeypatch.setattr(daemon, "WATCH_S", 0.02)

    class Stopped(Played):
        def start(self) -> None:
            self.counters.last_block_s = time.monotonic() - 1.9
            super().start()

    block = Block(0, SCRIPT.pcm[2 * SCRIPT.words[0].start :][:32_000], 100.0)
    monkeypatch.setattr(daemon, "open_source", lambda _, deliver: Stopped([block, SourceEnded()], deliver))

    made = settings()  # no server answers
    asyncio.run(Daemon(replace(made, capture=replace(made.capture, end_wait_s=0.5)), None).run())
    assert "has delivered nothing" not in caplog.text


def test_a_source_that_is_missing_is_waited_for(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run begins; the connection is a check of the key and ends in order."""
    played(monkeypatch, missing=SourceLost("no card captures"))

    async def act(server: InstrumentedServer) -> None:
        made = settings(server.url)
        made = replace(made, capture=replace(made.capture, source="alsa"))
        task = asyncio.create_task(Daemon(made, None).run())
        while not (server.connection_logs and server.connection_logs[0].closed_at_s is not None):  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task is ExitStatus.OK
        assert server.connection_logs[0].close_code == 1000
        assert len(server.connection_logs) == 1

    with_server(act)
    assert "microphone: no card captures" in caplog.text


def test_a_source_that_can_never_do_it_ends_the_run(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started."""

    class Mismatched(Played):
        def check(self) -> SourceLost | None:
            raise SourceMismatchError("it can do 48000 Hz only")

    monkeypatch.setattr(daemon, "open_source", lambda _, deliver: Mismatched([], deliver))
    with pytest.raises(SourceMismatchError):
        asyncio.run(Daemon(settings(), None).run())


def test_a_thread_that_hangs_in_the_driver_is_left_behind(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log reports the thread, and the shutdown does not wait for it."""

    class Hanging(Played):
        def stop(self, timeout_s: float) -> bool:
            return False

    monkeypatch.setattr(daemon, "open_source", lambda _, deliver: Hanging([SourceEnded()], deliver))

    async def act(server: InstrumentedServer) -> None:
        assert await Daemon(settings(server.url), None).run() is ExitStatus.OK

    with_server(act)
    assert "the capture thread hangs in the sound driver" in caplog.text
