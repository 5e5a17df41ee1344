"""The end of a run in an outage: what was said is on the disk, whatever fails while closing."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from edged.capture.wav import WavSource
from edged.config.settings import Settings
from edged.daemon import process
from edged.daemon.record_writer import RecordWriter
from edged.model.errors import ExitStatus, SinkError
from edged.stream.client import ReconnectingClient
from edged.transcripts.delivery import Delivery
from edged.transcripts.sinks.console import ConsoleSink
from edged.transcripts.sinks.file import FileSink
from tests.daemon.test_daemon import OurFaultError, broken, send
from tests.daemon.test_daemon import fast as fast  # a fixture
from tests.daemon.test_daemon import settings as settings  # another
from tests.daemon.test_daemon import signals as signals  # and another

HEARD = pytest.mark.usefixtures("fast", "signals")


def stopped(settings: Settings) -> ExitStatus:
    """Return the end of a run that is stopped after its recording has ended, and that reached no server."""
    sending = send(signal.SIGTERM, after_s=1.0)
    try:
        return process.run(settings, None, lambda _: None)
    finally:
        sending.join()


def on_disk_s(base: Path) -> float:
    """Seconds of speech that outlive the boot."""
    with closing(sqlite3.connect(f"file:{base}/spool/spool.db?mode=ro", uri=True)) as database:
        [(samples,)] = database.execute('SELECT coalesce(sum("end" - position), 0) FROM audio')
    return float(samples) / 16_000


@pytest.mark.slow
@HEARD
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (WavSource, "stop"),
        (RecordWriter, "flush"),
        (Delivery, "counts"),
        (FileSink, "close"),
        (ReconnectingClient, "finish"),
    ],
)
def test_a_fault_of_ours_while_closing_is_raised_and_speech_is_moved_to_the_disk(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, owner: type, name: str
) -> None:
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(OurFaultError):
        stopped(settings(stop_s=0.1))
    assert on_disk_s(tmp_path) > 1


@pytest.mark.slow
@HEARD
@pytest.mark.parametrize("error", [SinkError("no screen"), OSError(5, "Input/output error")])
def test_a_sink_that_fails_to_close_changes_neither_the_status_nor_what_is_kept(
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    error: Exception,
) -> None:
    def failing(_: object) -> None:
        raise error

    for sink in (ConsoleSink, FileSink):
        monkeypatch.setattr(sink, "close", failing)
    plain = settings(stop_s=0.1)
    both = replace(plain, transcripts=replace(plain.transcripts, sinks=["file", "console"]))
    assert stopped(both) is ExitStatus.SPEECH_LEFT
    assert on_disk_s(tmp_path) > 1
    assert "it is kept, and transcribed after the next start" in caplog.text


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Makes the runtime directory immutable: nothing in it can be made, renamed or deleted."""
    directory = tmp_path / "runtime"

    def make() -> None:
        if os.geteuid() or subprocess.run(["chattr", "+i", directory], check=False, capture_output=True).returncode:
            pytest.skip("chattr +i needs root and a file system that knows it")

    yield make
    subprocess.run(["chattr", "-i", directory], check=False, capture_output=True)


@pytest.mark.slow
@HEARD
def test_a_ring_that_can_not_be_deleted_does_not_keep_speech_from_the_disk(
    settings: Callable[..., Settings],
    immutable: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    finish = ReconnectingClient.finish

    def frozen(link: ReconnectingClient) -> None:
        immutable()
        finish(link)

    monkeypatch.setattr(ReconnectingClient, "finish", frozen)
    assert stopped(settings(stop_s=0.1)) is ExitStatus.SPEECH_LEFT
    assert on_disk_s(tmp_path) > 1
    ring = tmp_path / "runtime/ring"
    assert f"{ring} can't be deleted (Operation not permitted" in caplog.text
    assert not any(ring.read_bytes())
