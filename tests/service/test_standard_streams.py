"""Standard error written in the background: it never waits, loses no more than it must, and says what it lost."""

import errno
import os
import pty
import re
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edged.service.standard_streams import QUEUE_BYTES, BackgroundWriter, write_all

LINE = b"x" * 99 + b"\n"


class Reader:
    """The other end of a descriptor: takes nothing before `resume`, then everything."""

    def __init__(self, ours: int, theirs: int, release: Callable[[], None] = lambda: None) -> None:
        self.theirs = theirs
        self._ours = ours
        self._release = release
        self._got = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def resume(self) -> None:
        """Take all that comes from now on."""
        self._release()
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):  # how a terminal says that all is read
            while piece := os.read(self._ours, 65_536):
                self._got += piece

    def end(self) -> bytes:
        """All that has come, when there will be no more."""
        if not self._thread.ident:
            self.resume()
        os.close(self.theirs)
        self._thread.join(10)
        os.close(self._ours)
        return bytes(self._got)


def _pipe() -> Reader:
    return Reader(*os.pipe())


def _terminal() -> Reader:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    termios.tcflow(theirs, termios.TCOOFF)  # as Ctrl-S does
    return Reader(ours, theirs, lambda: termios.tcflow(theirs, termios.TCOON))


def _stream() -> Reader:
    ours, theirs = (end.detach() for end in socket.socketpair())
    return Reader(ours, theirs)


@pytest.fixture(params=[_terminal, _pipe, _stream])
def reader(request: pytest.FixtureRequest) -> Reader:
    made: Reader = request.param()
    return made


def numbered(size: int) -> list[bytes]:
    """Lines of so many bytes together."""
    return [b"%09d\n" % number for number in range(size // 10)]


def test_a_write_never_waits_and_what_the_queue_holds_comes_in_order(reader: Reader) -> None:
    writer = BackgroundWriter(reader.theirs)
    lines = numbered(QUEUE_BYTES // 2)
    begun_s = time.monotonic()
    for line in lines:
        writer.write(line)
    assert time.monotonic() - begun_s < 2
    reader.resume()
    assert writer.drain(10)
    assert reader.end() == b"".join(lines)


@pytest.mark.slow
def test_what_the_queue_cannot_hold_is_dropped_and_counted_when_the_reader_takes_data_again(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """The loss is in one place, and all lines before it are there."""
    writer = BackgroundWriter(reader.theirs)
    lines = numbered(4 * QUEUE_BYTES)
    for line in lines:
        writer.write(line)
    assert not caplog.records
    reader.resume()
    assert writer.drain(10)
    writer.write(b"next\n")
    assert writer.drain(10)
    kept = reader.end().removesuffix(b"next\n")
    assert b"".join(lines).startswith(kept)
    lost = len(lines) - kept.count(b"\n")
    assert [record.getMessage() for record in caplog.records] == [
        f"{lost} lines of the log lost: standard error took nothing"
    ]


@pytest.mark.slow
def test_a_drain_has_a_deadline(reader: Reader) -> None:
    writer = BackgroundWriter(reader.theirs)
    for line in numbered(4 * QUEUE_BYTES):
        writer.write(line)
    assert not writer.drain(0.05)
    reader.resume()
    assert writer.drain(10)
    reader.end()


def test_lines_that_a_full_disk_refused_are_counted_once_it_takes_some(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    write = os.write

    def on_a_disk(fd: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    with (tmp_path / "log").open("wb") as file:
        monkeypatch.setattr(os, "write", on_a_disk)
        writer = BackgroundWriter(file.fileno())
        writer.write(b"one\ntwo\n")
        assert writer.drain(5)
        full = False
        writer.write(b"three\n")
        assert writer.drain(5)
    assert (tmp_path / "log").read_bytes() == b"three\n"
    assert [record.getMessage() for record in caplog.records] == [
        "2 lines of the log lost: standard error took nothing"
    ]


@pytest.mark.slow
def test_a_writer_without_work_never_wakes_up() -> None:
    """The writer's thread waits without a timeout."""
    ours, theirs = os.pipe()
    before = set(threading.enumerate())
    writer = BackgroundWriter(theirs)
    (thread,) = set(threading.enumerate()) - before
    writer.write(b"once\n")
    assert writer.drain(5)
    time.sleep(0.05)

    def switches() -> list[str]:
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        return re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)

    counted = switches()
    time.sleep(0.5)
    assert switches() == counted
    os.close(ours)
    os.close(theirs)


def test_a_descriptor_that_another_process_made_non_blocking_is_waited_for() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    data = LINE * 2000  # more than a pipe holds
    thread = threading.Thread(target=write_all, args=(theirs, data))
    thread.start()
    got = b""
    while len(got) < len(data):
        got += os.read(ours, 65_536)
    thread.join()
    assert got == data
    os.close(ours)
    os.close(theirs)


STREAMS = """
import os, sys
for fd in {closed}:
    os.close(fd)
os.execv(sys.executable, [sys.executable, "-m", "edged", *{arguments}])
"""
"""A command that is started with some of its standard streams closed."""


@pytest.mark.slow
@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2]])
@pytest.mark.parametrize(("arguments", "status"), [(["check", "--sample"], 0), (["check", "--set", "x.y=1"], 78)])
def test_closed_streams_change_no_status_and_their_numbers_go_to_no_file(
    closed: list[int], arguments: list[str], status: int
) -> None:
    program = STREAMS.format(closed=closed, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) is (1 not in closed and status == 0)


def test_a_closed_stream_is_occupied_by_something_that_cannot_be_written() -> None:
    program = (
        "import os; from edged.service.standard_streams import set_up; os.close(1); os.close(2); set_up()\n"
        "import sys; print('to nobody'); print('to nobody', file=sys.stderr)\n"
        "fd = os.open('/dev/null', os.O_RDONLY); os.write(0, b'%d ' % fd)\n"
        "for each in (1, 2):\n"
        "    try: os.write(each, b'x')\n"
        "    except OSError as error: os.write(0, b'%d ' % error.errno)\n"
    )
    ours, theirs = os.pipe()
    subprocess.run([sys.executable, "-c", program], stdin=theirs, timeout=60, check=True)
    fd, *faults = os.read(ours, 100).split()
    assert int(fd) > 2
    assert [int(fault) for fault in faults] == [errno.EBADF] * 2
    os.close(ours)
    os.close(theirs)


def gone() -> int:
    """The writing end of a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(("arguments", "status"), [(["check", "--set", "x.y=1"], 78), (["chek"], 64), (["--help"], 0)])
def test_an_error_that_nobody_reads_keeps_its_status(arguments: list[str], status: int) -> None:
    writer = gone()
    command = [sys.executable, "-m", "edged", *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=writer, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == status


def test_output_that_cannot_be_written_is_reported_without_a_traceback() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edged", "check", "--sample"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 70
    assert done.stderr.startswith("edged: can't write to standard output: No space left on device: free some space")


def test_lines_of_the_log_are_whole_whichever_thread_logs() -> None:
    program = (
        "import logging, sys, threading\n"
        "from edged.service import log, standard_streams\n"
        "standard_streams.set_up(background=True); log.setup('info')\n"
        "def tell(name):\n"
        "    for number in range(200): logging.getLogger('edged').info('%s %d end', name, number)\n"
        "threads = [threading.Thread(target=tell, args=(name,)) for name in 'abcd']\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=60, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 800
    assert all(re.fullmatch(r".{24}INFO    [abcd] \d+ end", line) for line in lines)


def test_a_program_that_ends_at_once_has_said_its_last_line() -> None:
    program = (
        "import logging\nfrom edged.service import log, standard_streams\n"
        "standard_streams.set_up(background=True); log.setup('info')\n"
        "logging.getLogger('edged').info('begin')\n"
        "raise ZeroDivisionError\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[0].endswith("begin")
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError"
