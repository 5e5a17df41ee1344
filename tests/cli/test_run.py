"""`edged run` around the daemon: its summary's file, and signals that come before the daemon handles them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edged.recognizer.compose import place

IDLE = ("deepgram.url=ws://127.0.0.1:9/v1/listen", "spool.enabled=false", "transcripts.sinks=[]")
"""Nobody listens there, and it does not matter: nothing is said."""


def command(directory: Path, *arguments: str, seconds: float = 0.2) -> list[str]:
    """The words after `edged`: a silent recording is heard, without any file but those of `arguments`."""
    script = place([], seconds)
    script.save(directory / "silence.wav", directory / "silence.json")
    sets = [*IDLE, "capture.source=wav", f"capture.path={directory / 'silence.wav'}"]
    return ["run", "--config", "/dev/null", *(word for each in sets for word in ("--set", each)), *arguments]


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    words = [sys.executable, "-m", "edged", *command(directory, *arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_summary_is_written_over_an_older_one(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text("x" * 10_000)
    assert run(tmp_path, "--summary", str(file)).returncode == 0
    assert json.loads(file.read_text())["captured_s"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "why"), [("absent/s.json", "No such file"), (".", "Is a directory"), ("pipe", "No such device")]
)
def test_a_summary_that_cannot_be_written_is_told_before_anything_begins(tmp_path: Path, name: str, why: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, "--summary", str(tmp_path / name))
    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"edged: --summary {tmp_path / name} can't be written: {why}")


def test_a_run_that_does_not_begin_leaves_no_empty_summary(tmp_path: Path) -> None:
    assert run(tmp_path, "--summary", str(tmp_path / "s.json"), "--set", "capture.rate=1").returncode == 78
    assert not (tmp_path / "s.json").exists()


@contextmanager
def started(*words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_summary_that_can_no_longer_be_written_changes_no_status(tmp_path: Path) -> None:
    """What the run came to is its status; the summary's fate is a warning."""
    place_ = tmp_path / "there"
    place_.mkdir()
    words = command(tmp_path, "--summary", str(place_ / "s.json"), seconds=1.0)
    with started(sys.executable, "-m", "edged", *words, cwd=tmp_path) as process:
        assert process.stderr
        assert any("capturing" in line for line in process.stderr)
        place_.rmdir()
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "WARNING the summary can't be written" in said


FORGETFUL = """
import sys
from edged.cli import main, run
run.journal_cautions = lambda namespace: ["it forgets"]
sys.exit(main.main())
"""
"""A program on a machine whose journal does not keep what it promises."""


@pytest.mark.parametrize(
    ("sinks", "told"),
    [("['journal']", 1), ("['console', 'journal']", 1), ("['file', 'journal']", 0), ("['console']", 0)],
)
def test_a_journal_that_alone_keeps_the_records_is_told_of_once(tmp_path: Path, sinks: str, told: int) -> None:
    sets = [f"transcripts.sinks={sinks}", f"transcripts.file.path={tmp_path / 'records.jsonl'}"]
    words = [sys.executable, "-c", FORGETFUL, *command(tmp_path, *(word for each in sets for word in ("--set", each)))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.count("WARNING it forgets") == told
    assert "the recording has ended" in done.stderr


WAITING = """
import sys, time
from pathlib import Path

def wait():
    Path("waits").touch()
    until = time.monotonic() + 20
    while not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)

{how}
from edged.cli.main import main
sys.exit(main())
"""
"""A program that waits at one of its steps: `waits` appears then, and `go` lets it go on."""

AT_AN_IMPORT = """
class Slow:
    def find_spec(self, name, *_):
        if name == "edged.cli.run":
            wait()
sys.meta_path.insert(0, Slow())
"""
BEFORE_THE_HANDLERS = """
from edged.books import Books
begun = Books.open
async def slow(self):
    wait()
    await begun(self)
Books.open = slow
"""


@pytest.mark.parametrize("how", [AT_AN_IMPORT, BEFORE_THE_HANDLERS])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, None)])
def test_a_signal_before_the_daemon_handles_it(
    tmp_path: Path, how: str, number: signal.Signals, status: int | None
) -> None:
    """Nothing was captured yet: it ends in order, and quietly; SIGHUP means nothing yet, and the run goes on."""
    words = [sys.executable, "-c", WAITING.format(how=how), *command(tmp_path)]
    with started(*words, cwd=tmp_path) as process:
        while not (tmp_path / "waits").exists():
            assert process.poll() is None
        process.send_signal(number)
        if status is None:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
            (tmp_path / "go").touch()
        _, said = process.communicate(timeout=30)
        assert process.returncode == (status or 0)
    assert "Traceback" not in said
    assert ("stopped before it has listened" in said) is (status is not None)
    assert ("the recording has ended" in said) is (status is None)
