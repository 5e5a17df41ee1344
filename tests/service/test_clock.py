import ctypes
import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.service import clock
from edged.service.clock import (
    CHRONY_TRACKING,
    Synchronization,
    boot_id,
    boottime_s,
    chrony_state,
    kernel_state,
    synchronization,
    timestamp,
    wall_offset_s,
)

# What chronyd 4.3 answered on a machine: taking its own clock for true (`local`), and with no source at all.
LOCAL = bytes.fromhex(
    "060200000021000500000000000000000000123400000000000000007f7f01010000000000000000000000000000000000000000"
    "00050000000000006b007565267c6cd9" + "00" * 36
)
NO_SOURCE = bytes.fromhex(
    "0602000000210005000000000000000000001234000000000000000000000000000000000000000000000000000000000000000000000003"
    "000000000000000000000000000000000000000000000000000000000000000000000000048000000480000000000000"
)
SYNCHRONISED = LOCAL[:28] + bytes.fromhex("c0a80001") + LOCAL[32:]
"""The same with a server's address as reference."""


def test_boot_time_goes_on_and_is_not_before_the_monotonic_clock() -> None:
    """The two clocks differ by the time suspended."""
    first_s, monotonic_s, second_s = boottime_s(), time.monotonic(), boottime_s()
    assert first_s <= second_s
    assert second_s - monotonic_s >= -0.001


def test_boot_time_and_the_offset_make_wall_time() -> None:
    before_s = time.time()
    wall_s = boottime_s() + wall_offset_s()
    assert before_s - 0.01 <= wall_s <= time.time() + 0.01


def test_the_offset_is_taken_from_the_tightest_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last attempt are interrupted between their readings."""
    readings = iter([10.0, 1010.0, 14.0, 20.0, 1020.1, 20.2, 30.0, 1039.0, 40.0])
    monkeypatch.setattr("time.clock_gettime", lambda _: next(readings))
    assert wall_offset_s(tries=3) == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("wall_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_166_102.12, "2026-11-20T09:15:02.120Z"),
        (1_795_166_102.9996, "2026-11-20T09:15:03.000Z"),
        (1_795_166_102.0004, "2026-11-20T09:15:02.000Z"),
        (-0.001, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_timestamp_is_rfc_3339_in_utc_with_milliseconds(wall_s: float, text: str) -> None:
    assert timestamp(wall_s) == text


@given(st.floats(0, 4e9))
def test_a_timestamp_read_back_is_the_time_to_half_a_millisecond(wall_s: float) -> None:
    assert datetime.fromisoformat(timestamp(wall_s)).timestamp() == pytest.approx(wall_s, abs=0.000_502, rel=0)


class TestBootId:
    def test_it_is_the_kernels_without_dashes(self, tmp_path: Path) -> None:
        path = tmp_path / "sys/kernel/random/boot_id"
        path.parent.mkdir(parents=True)
        path.write_text("dae67a51-70ab-4b81-a72f-b2d9e5874a81\n")
        assert boot_id(str(tmp_path)) == "dae67a5170ab4b81a72fb2d9e5874a81"

    def test_where_the_sandbox_hides_it_the_unit_passes_it_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGED_BOOT_ID", "dae67a5170ab4b81a72fb2d9e5874a81")
        assert boot_id(str(tmp_path)) == "dae67a5170ab4b81a72fb2d9e5874a81"

    def test_otherwise_it_is_not_known(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("EDGED_BOOT_ID", raising=False)
        assert boot_id(str(tmp_path)) is None


def refused() -> tuple[str, int]:
    """An address where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
        return host, port


class Machine:
    """A /run and a /proc. The kernel is never asked: a filter is in force."""

    def __init__(self, directory: Path) -> None:
        self.run, self.proc = directory / "run", directory / "proc"
        self.seccomp(2)

    def seccomp(self, mode: int) -> None:
        (self.proc / "self").mkdir(parents=True, exist_ok=True)
        (self.proc / "self/status").write_text(f"Name:\tedged\nSeccomp:\t{mode}\nSeccomp_filters:\t9\n")

    def timesyncd(self, *, synchronised: bool) -> None:
        (self.run / "systemd/timesync").mkdir(parents=True, exist_ok=True)
        if synchronised:
            (self.run / "systemd/timesync/synchronized").touch()

    def ask(self, chrony: tuple[str, int] | None = None) -> str:
        return Synchronization(str(self.run), str(self.proc), chrony or refused())()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@contextmanager
def chronyd(answer: bytes | None) -> Iterator[tuple[str, int]]:
    """Answers each request of the right length so; None: takes it and is silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        host, port = listening.getsockname()

        def serve() -> None:
            request, sender = listening.recvfrom(1000)
            if request == CHRONY_TRACKING and answer is not None:
                listening.sendto(answer, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        yield host, port
        listening.sendto(b"", (host, port))  # in case that nobody asked
        thread.join()


def test_timesyncd_tells_by_its_file(machine: Machine) -> None:
    machine.timesyncd(synchronised=False)
    assert machine.ask() == "unsynchronized"
    machine.timesyncd(synchronised=True)
    assert machine.ask() == "synchronized"


def test_nothing_to_ask_is_unknown(machine: Machine) -> None:
    assert machine.ask() == "unknown"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (SYNCHRONISED, "synchronized"),
        (LOCAL, "unsynchronized"),
        (NO_SOURCE, "unsynchronized"),
        (b"nonsense", "unknown"),
        (b"\0" * 104, "unknown"),
        (SYNCHRONISED[:40], "unknown"),
        (None, "unknown"),
    ],
)
def test_chronyd_is_asked_over_udp(machine: Machine, answer: bytes | None, state: str) -> None:
    (machine.run / "chrony").mkdir(parents=True)
    with chronyd(answer) as address:
        assert machine.ask(address) == state


def test_where_chrony_does_not_run_it_is_not_asked(machine: Machine) -> None:
    with chronyd(SYNCHRONISED) as address:
        assert machine.ask(address) == "unknown"


def test_a_chronyd_that_does_not_answer_leaves_the_word_to_others(machine: Machine) -> None:
    (machine.run / "chrony").mkdir(parents=True)
    machine.timesyncd(synchronised=False)
    assert machine.ask() == "unsynchronized"


@given(st.binary(max_size=120))
def test_whatever_chronyd_sends_is_taken(answer: bytes) -> None:
    assert chrony_state(answer) in {None, "synchronized", "unsynchronized"}


CHRONY_CONFIGURATION = """\
{source}
port 0
cmdport 323
bindcmdaddress 127.0.0.1
bindcmdaddress /
pidfile {directory}/pid
"""


@pytest.mark.parametrize("source", ["", "local stratum 5"])
def test_a_real_chronyd_answers(tmp_path: Path, source: str) -> None:
    """The real chronyd runs in a network namespace of its own and does not touch the clock (-x)."""
    unpacked = Path(__file__).parents[2] / ".cache/chrony/usr"  # by script/setup
    program = shutil.which("chronyd", path=f"{os.environ['PATH']}:/usr/sbin:{unpacked}/sbin")
    if not program or not shutil.which("unshare"):
        pytest.skip("chronyd is not installed")
    libraries = ":".join(map(str, unpacked.glob("lib/*-linux-*")))
    (tmp_path / "chrony.conf").write_text(CHRONY_CONFIGURATION.format(source=source, directory=tmp_path))
    (tmp_path / "run/chrony").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    script = f"""
        ip link set lo up
        LD_LIBRARY_PATH={libraries} {program} -x -d -u root -f {tmp_path}/chrony.conf >/dev/null 2>&1 &
        for i in $(seq 100); do
            state=$({sys.executable} -c '
from edged.service.clock import Synchronization
print(Synchronization("{tmp_path}/run", "{tmp_path}/proc")())')
            [ "$state" = unknown ] || break
            sleep .1
        done
        kill $!; echo $state
    """
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("network namespaces are not permitted here")
    assert done.stdout == "unsynchronized\n"


def test_the_kernel_is_asked_where_no_filter_is_in_force(machine: Machine) -> None:
    machine.seccomp(0)
    assert machine.ask() == (kernel_state() or "unknown")


def test_the_kernel_answers_here_as_timedated_would_have_it() -> None:
    """Against the same call by the C library, with all fields in their places."""

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 400),
        )

    timex = Timex()
    if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
        assert kernel_state() is None
    else:
        unsynchronised = 0x40  # STA_UNSYNC: the kernel sets it when the error reaches 16 s
        assert timex.maxerror >= 0
        assert (kernel_state() == "unsynchronized") == (timex.maxerror >= 16_000_000)
        if timex.maxerror >= 16_000_000:
            assert timex.status & unsynchronised


CLOCK_ADJTIME = {"x86_64": 305, "aarch64": 266}
"""The system call of glibc's adjtimex, by architecture."""

UNDER_A_FILTER = """
import ctypes, struct, sys
allow, kill = 0x7fff0000, 0x80000000
program = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0),  # load the system call's number
    (0x15, 0, 1, int(sys.argv[1])),  # is it clock_adjtime?
    (0x06, 0, 0, kill),
    (0x06, 0, 0, allow),
])
buffer = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
if libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, ctypes.addressof(buffer))), 0, 0):
    sys.exit(77)
from edged.service.clock import Synchronization, kernel_state
state = kernel_state() if sys.argv[2] == "ask" else Synchronization(run=sys.argv[3])()
print(state)
"""


@pytest.mark.skipif(platform.machine() not in CLOCK_ADJTIME, reason="the call's number is not known for this processor")
def test_a_filter_that_kills_who_asks_the_kernel_kills_nobody(tmp_path: Path) -> None:
    number = str(CLOCK_ADJTIME[platform.machine()])

    def under_a_filter(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", UNDER_A_FILTER, number, *arguments], capture_output=True, text=True, check=False
        )

    done = under_a_filter("ask")
    if done.returncode == 77:
        pytest.skip("system call filters are not permitted here")
    assert done.returncode == -31, "the filter must kill (SIGSYS), or this test shows nothing"
    done = under_a_filter("look", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "unknown\n"), done.stderr


def test_an_answer_is_kept_for_some_seconds(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(clock, "boottime_s", lambda: now_s)
    asking = Synchronization(str(machine.run), str(machine.proc), refused())
    assert asking() == "unknown"
    machine.timesyncd(synchronised=True)
    now_s = 104.9
    assert asking() == "unknown"
    now_s = 105.0
    assert asking() == "synchronized"


def test_this_machine_gives_one_of_the_three_answers() -> None:
    assert synchronization() in {"synchronized", "unsynchronized", "unknown"}
