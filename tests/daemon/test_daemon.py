"""The daemon in this process, its recording played fast: what it builds, what it says, how it ends.

Real processes, real time and what goes wrong at the recogniser are in end_to_end/.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.capture.wav import WavSource
from edged.config.api_key import ApiKey
from edged.config.settings import (
    CaptureSettings,
    DeepgramSettings,
    ReconnectSettings,
    Settings,
    SpoolSettings,
    TranscriptsSettings,
)
from edged.config.settings import DaemonSettings as Process
from edged.config.settings import FileSinkSettings as FileSettings
from edged.daemon import daemon, process
from edged.daemon.daemon import Daemon
from edged.daemon.summary import Summary
from edged.gate.audio_gate import AudioGate
from edged.model.errors import ExitStatus
from edged.model.record import Record, decode
from edged.recognizer.protocol import Limits
from edged.stream.sender import Sender
from edged.testkit.compose import place
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import ScriptEngineFactory
from edged.transcripts.delivery import Delivery
from tests.patience import PATIENCE_S

SCRIPT = place([("one", 0.5, 0.8), ("two", 0.9, 1.2), ("three", 1.3, 1.6)], 3.0)
SPEED = 10
"""Seconds of the recording that play in one second."""
BLOCK = SCRIPT.pcm[:3200]
NOWHERE = "ws://127.0.0.1:1/v1/listen"


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A daemon leaves signals ignored at its end, as its process is over then; this one is not."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


UNHANDLED = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
"""Ignored: a daemon that has ended leaves them so."""


def send(*numbers: signal.Signals, after_s: float = 0.0) -> threading.Thread:
    """Send signals to this process, each `after_s` after the daemon handles it: before, they would end pytest."""

    def sending() -> None:
        for number in numbers:
            end = time.monotonic() + 20
            while signal.getsignal(number) in UNHANDLED and time.monotonic() < end:
                time.sleep(0.002)
            time.sleep(after_s)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=sending)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording is played fast."""
    monkeypatch.setattr(daemon, "open_source", lambda settings, put: WavSource(settings, put, speed=SPEED))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Makes the settings of a run that transcribes SCRIPT into a file."""
    SCRIPT.save(tmp_path / "speech.wav", tmp_path / "speech.json")

    def make(url: str = NOWHERE, *, stop_s: float = 10, **deepgram: Any) -> Settings:
        return Settings(
            capture=CaptureSettings(source="wav", path=str(tmp_path / "speech.wav"), end_wait_s=20),
            deepgram=DeepgramSettings(url=url, **{"replay_rate": SPEED, **deepgram}),
            reconnect=ReconnectSettings(initial_s=0.05, max_s=0.05),
            spool=SpoolSettings(directory=str(tmp_path / "spool"), runtime_directory=str(tmp_path / "runtime")),
            transcripts=TranscriptsSettings(sinks=["file"], file=FileSettings(path=str(tmp_path / "records.jsonl"))),
            daemon=Process(stop_s=stop_s),
        )

    return make


def records(directory: Path) -> list[Record]:
    file = directory / "records.jsonl"
    return [decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def words(directory: Path) -> list[str]:
    return [word.word for record in records(directory) for word in record.words]


def with_server(act: Callable[[InstrumentedServer], Awaitable[None]], **options: Any) -> None:
    """Run a coroutine beside a recogniser that keeps up with SPEED."""

    async def main() -> None:
        async with InstrumentedServer(ScriptEngineFactory(SCRIPT), limits=Limits(max_rate=1000), **options) as server:
            await asyncio.wait_for(act(server), PATIENCE_S)

    asyncio.run(main())


# A whole run


def test_a_recording_becomes_records(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A run reads its source and writes the file; the summary gives the numbers."""

    async def act(server: InstrumentedServer) -> None:
        run = Daemon(settings(server.url), None)
        assert await run.run() is ExitStatus.OK
        summary = run.summary
        assert summary.run == run.run_id == records(tmp_path)[0].run
        assert summary.captured_s == 3.0
        assert summary.sent_s == server.received_samples / 16_000
        assert (summary.connections, summary.reconnects) == (1, 0)
        assert (summary.utterances, summary.words) == (1, 3)
        assert (summary.holes, summary.evicted_s, summary.left_s) == (0, 0, 0)
        assert summary.usd_estimated == pytest.approx(summary.sent_s / 60 * 0.0077)

    with_server(act)
    assert words(tmp_path) == ["one", "two", "three"]


def test_the_key_goes_to_the_server(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """The key goes to no other process or file."""

    async def act(server: InstrumentedServer) -> None:
        assert await Daemon(settings(server.url), ApiKey("k3y", "a test")).run() is ExitStatus.OK
        assert not server.refusals

    with_server(act, keys={"k3y"})
    assert words(tmp_path) == ["one", "two", "three"]


def test_nonsense_of_the_server_is_noted_once(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of it; all of it is counted."""

    async def act(server: InstrumentedServer) -> None:
        daemon = Daemon(settings(server.url), None)
        with caplog.at_level(logging.INFO, "edged"):
            assert await daemon.run() is ExitStatus.OK
        assert daemon.summary.ignored_messages >= 2

    with_server(act, faults=[Fault(FaultKind.GARBAGE, in_word=0), Fault(FaultKind.GARBAGE, in_word=1)])
    assert caplog.text.count("the server sent text that is not JSON; ignored") == 1


def test_run_reports_at_the_end(settings: Callable[..., Settings]) -> None:
    """`process.run` has a loop of its own; what it came to is told before it returns."""
    told: list[Summary] = []
    made = settings(prime_s=0, stop_s=0)
    sending = send(signal.SIGTERM, after_s=0.1)
    assert process.run(made, None, told.append) in (ExitStatus.OK, ExitStatus.SPEECH_LEFT)
    sending.join()
    assert told[0].connections == 0


# Signals


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, ExitStatus.OK), (signal.SIGINT, ExitStatus.INTERRUPTED)]
)
def test_a_signal_waits_for_the_last_words(
    settings: Callable[..., Settings], tmp_path: Path, number: signal.Signals, status: ExitStatus
) -> None:
    """A signal in the middle of a sentence ends the run after the words said until then are written."""

    async def act(server: InstrumentedServer) -> None:
        task = asyncio.create_task(Daemon(settings(server.url), None).run())
        while server.received_samples < SCRIPT.words[1].start:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.002)
        os.kill(os.getpid(), number)
        assert await task is status

    with_server(act)
    got = words(tmp_path)
    assert got[:1] == ["one"]
    assert got == ["one", "two", "three"][: len(got)]


def test_a_stop_is_bounded(settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture) -> None:
    """`stop_s`, and the status and the log say that something is left."""

    async def act(server: InstrumentedServer) -> None:
        sending = send(signal.SIGTERM, after_s=2 / SPEED)
        run = Daemon(settings(stop_s=0.1), None)
        assert await run.run() is ExitStatus.SPEECH_LEFT
        sending.join()
        assert run.summary.left_s > 1

    with_server(act)
    assert "s of speech not transcribed" in caplog.text


def test_a_second_signal_cuts_it_short(settings: Callable[..., Settings]) -> None:
    """Whatever `stop_s` is: far beyond what `with_server` waits."""

    async def act(server: InstrumentedServer) -> None:
        sending = send(signal.SIGTERM, signal.SIGTERM, after_s=2 / SPEED)
        assert await Daemon(settings(stop_s=300), None).run() is ExitStatus.SPEECH_LEFT
        sending.join()

    with_server(act)


def test_sighup_reopens_the_file(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """After the file is renamed and SIGHUP comes, the record is in a new file."""

    async def act(server: InstrumentedServer) -> None:
        task = asyncio.create_task(Daemon(settings(server.url), None).run())
        while not server.received_samples:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.002)
        (tmp_path / "records.jsonl").rename(tmp_path / "records.1")
        os.kill(os.getpid(), signal.SIGHUP)
        assert await task is ExitStatus.OK

    with_server(act)
    assert words(tmp_path) == ["one", "two", "three"]
    assert (tmp_path / "records.1").read_bytes() == b""


# Faults of our own


class OurFaultError(Exception):
    """A fault that no code expects."""


def broken(*_: object, **__: object) -> None:
    raise OurFaultError


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Daemon, "_on_block"),
        (Sender, "has_work"),
        (AudioGate, "feed"),
        (Delivery, "reopen"),
        (WavSource, "_play"),
    ],
)
def test_a_fault_ends_the_run_and_is_raised(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """A fault in a callback, a task, a signal handler or a thread ends the run: it neither hangs nor is swallowed."""
    monkeypatch.setattr(owner, name, broken)
    stop = threading.Timer(20, os.kill, (os.getpid(), signal.SIGTERM))  # so that a failing test ends
    stop.start()
    sending = send(signal.SIGHUP)
    with pytest.raises(OurFaultError):
        process.run(settings(), None, lambda _: None)
    stop.cancel()
    sending.join()
    assert threading.excepthook is threading.__excepthook__
