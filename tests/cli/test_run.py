"""`edged run` around the daemon: its summary's file, and signals that come before the daemon handles them."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edged.testkit.compose import place
from tests.patience import PATIENCE_S

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


@pytest.mark.slow
def test_the_summary_is_written_over_an_older_one(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text("x" * 10_000)
    assert run(tmp_path, "--summary", str(file)).returncode == 0
    assert json.loads(file.read_text())["captured_s"] == pytest.approx(0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"), [("absent/s.json", "No such file"), (".", "Is a directory"), ("pipe", "No such device")]
)
def test_a_summary_that_cannot_be_written_is_told_before_anything_begins(tmp_path: Path, name: str, why: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, "--summary", str(tmp_path / name))
    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"edged: --summary {tmp_path / name} can't be written: {why}")


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_summary_that_can_no_longer_be_written_changes_no_status(tmp_path: Path) -> None:
    """What the run came to is its status; the summary's fate is a warning."""
    place_ = tmp_path / "there"
    place_.mkdir()
    words = command(tmp_path, "--summary", str(place_ / "s.json"), seconds=1.0)
    with started(sys.executable, "-m", "edged", *words, cwd=tmp_path) as process:
        assert process.stderr
        assert any("capturing" in line for line in process.stderr)
        place_.rmdir()
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    assert "WARNING the summary can't be written" in said


FORGETFUL = """
import sys
from edged.cli import main
from edged.transcripts.sinks import journal
journal.journal_cautions = lambda namespace: ["it forgets"]
sys.exit(main.main())
"""
"""A program on a machine whose journal does not keep what it promises."""


@pytest.mark.slow
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


def stopped_terminal() -> tuple[int, int]:
    """As after Ctrl-S."""
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    return ours, theirs


def full_pipe() -> tuple[int, int]:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    os.set_blocking(theirs, True)
    return ours, theirs


def journal_that_stands_still() -> tuple[int, int]:
    """A stream as journald's that nobody drains."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            theirs.send(bytes(4096))
    theirs.setblocking(True)
    return ours.detach(), theirs.detach()


@contextmanager
def listening(directory: Path, words: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has told a service manager that it is ready; gone at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify"))
        manager.settimeout(30)
        environment = os.environ | {"NOTIFY_SOCKET": str(directory / "notify")} | options.pop("env", {})
        options.setdefault("stdout", subprocess.DEVNULL)
        process: subprocess.Popen[bytes] = subprocess.Popen(words, env=environment, **options)
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("made", [stopped_terminal, full_pipe, journal_that_stands_still])
@pytest.mark.parametrize("stopped", [False, True], ids=["the recording ends", "SIGTERM"])
def test_a_log_that_nobody_takes_delays_nothing(
    tmp_path: Path, made: Callable[[], tuple[int, int]], stopped: bool
) -> None:
    """All of the recording is heard in time; the end and SIGTERM are obeyed."""
    ours, theirs = made()
    stat = os.fstat(theirs)
    words = command(tmp_path, "--summary", str(tmp_path / "s.json"), seconds=60 if stopped else 1)
    words = [sys.executable, "-m", "edged", *words, "--set", "daemon.log_level=debug"]
    journal = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
    with listening(tmp_path, words, stderr=theirs, env=journal) as process:
        if stopped:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    os.close(ours)
    os.close(theirs)
    summary = json.loads((tmp_path / "s.json").read_text())
    assert stopped or summary["captured_s"] == pytest.approx(1)
    assert summary["dropped_s"] == summary["holes"] == 0


IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.{disposition})
os.login_tty(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-m", "edged", *sys.argv[2:]])
"""


@contextmanager
def in_a_terminal(
    directory: Path, disposition: str = "SIG_DFL", *arguments: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A daemon that a shell has started, and the terminal's outer end, for the test to close."""
    ours, theirs = pty.openpty()
    program = IN_A_TERMINAL.format(disposition=disposition)
    words = [sys.executable, "-c", program, str(theirs), *command(directory, *arguments, seconds=60)]
    with listening(directory, words, pass_fds=[theirs]) as process:
        os.close(theirs)
        yield process, ours


@pytest.mark.slow
def test_a_terminal_that_is_closed_stops_it(tmp_path: Path) -> None:
    """The kernel's own SIGHUP: nobody sees any more what it hears."""
    with in_a_terminal(tmp_path) as (process, terminal):
        os.close(terminal)
        assert process.wait(10) == 0


@pytest.mark.slow
def test_nohup_lets_it_go_on_without_its_terminal(tmp_path: Path) -> None:
    with in_a_terminal(tmp_path, "SIG_IGN") as (process, terminal):
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)


@pytest.mark.slow
def test_sighup_in_a_terminal_that_is_there_only_opens_files_again(tmp_path: Path) -> None:
    with in_a_terminal(tmp_path) as (process, terminal):
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        os.close(terminal)


@pytest.mark.slow
def test_sighup_without_any_terminal_only_opens_files_again(tmp_path: Path) -> None:
    """As logrotate sends it to a service."""
    words = [sys.executable, "-m", "edged", *command(tmp_path, seconds=60)]
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with listening(tmp_path, words, **options) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)


CONSOLE = ("--set", 'transcripts.sinks=["console"]')


def console_and_file(directory: Path) -> list[str]:
    sets = ['transcripts.sinks=["console", "file"]', f"transcripts.file.path={directory / 't.jsonl'}"]
    return [word for each in sets for word in ("--set", each)]


def to_a_reader(directory: Path, *arguments: str) -> tuple[list[str], int, int]:
    ours, theirs = os.pipe()
    return [sys.executable, "-m", "edged", *command(directory, *arguments, seconds=60)], ours, theirs


@pytest.mark.slow
def test_a_reader_that_leaves_stops_it_where_nobody_else_gets_the_transcripts(tmp_path: Path) -> None:
    """At once, in a room where nobody speaks too: it would listen, and pay, for nobody."""
    words, ours, theirs = to_a_reader(tmp_path, *CONSOLE)
    with (tmp_path / "log").open("wb") as log, listening(tmp_path, words, stdout=theirs, stderr=log) as process:
        os.close(theirs)
        os.close(ours)
        assert process.wait(10) == 0
    said = (tmp_path / "log").read_text()
    assert said.count("sink console: nobody reads the console") == 1
    assert said.count("no sink is left") == 1


@pytest.mark.slow
def test_a_reader_that_leaves_stops_nothing_that_is_also_written_to_a_file(tmp_path: Path) -> None:
    words, ours, theirs = to_a_reader(tmp_path, *console_and_file(tmp_path))
    with listening(tmp_path, words, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        os.close(ours)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["os.close(1)", "os.close(1); os.close(2)", "[os.close(fd) for fd in range(3)]"])
def test_closed_output_stops_it_where_nobody_else_gets_the_transcripts(tmp_path: Path, closed: str) -> None:
    words = ["-m", "edged", *command(tmp_path, *CONSOLE, seconds=60)]
    program = f"import os, sys; {closed}; os.execv(sys.executable, [sys.executable, *{words}])"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_streams_disturb_nothing_that_is_written_to_a_file(tmp_path: Path, closed: int) -> None:
    words = ["-m", "edged", *command(tmp_path, *console_and_file(tmp_path))]
    program = f"import os, sys; os.close({closed}); os.execv(sys.executable, [sys.executable, *{words}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_signal_before_the_daemon_handles_it_is_obeyed_though_nobody_takes_the_log(tmp_path: Path) -> None:
    ours, theirs = full_pipe()
    words = [sys.executable, "-c", WAITING.format(how=AT_AN_IMPORT), *command(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, cwd=tmp_path)
    try:
        while not (tmp_path / "waits").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


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
from edged.daemon.persistence import Persistence
begun = Persistence.open
async def slow(self):
    wait()
    return await begun(self)
Persistence.open = slow
"""


@pytest.mark.slow
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
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == (status or 0)
    assert "Traceback" not in said
    assert ("stopped before capture began" in said) is (status is not None)
    assert ("the recording has ended" in said) is (status is None)
