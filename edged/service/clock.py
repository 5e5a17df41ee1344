"""The machine's clocks: boot time inside, wall time when something is written, and whether that can be trusted.

A Raspberry Pi has no battery clock: after boot its date is wrong until NTP has set it, perhaps months off. So times
inside are CLOCK_BOOTTIME, which never steps and goes on through a suspend, and become wall time as late as possible.
"""

import ctypes
import os
import socket
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

State = Literal["synchronized", "unsynchronized", "unknown"]

CACHE_S = 5.0
"""Synchronisation changes a few times a day; a record is written every few seconds."""

CHRONY_TIMEOUT_S = 0.05
"""chronyd on this machine answers within 1 ms; a dead one refuses at once. This bounds a stopped one."""

CHRONY_TRACKING = struct.pack("!BBBBHHIII", 6, 1, 0, 0, 33, 0, 0, 0, 0).ljust(104, b"\0")
"""Protocol 6, request, command 33 (tracking), padded to the length of its answer, as chronyd demands (its candm.h)."""

CHRONY_ANSWER = struct.Struct("!BB2xHHH18x4s20xHH")
"""Protocol, kind, command, reply, status; then reference id, stratum, leap status."""

CHRONY_UNSYNCHRONISED = 3
"""Leap status of a chronyd that is not synchronised."""

CHRONY_ITSELF = b"\x7f\x7f\x01\x01"
"""Reference id of a chronyd that takes its own clock for true (`local`), which is no synchronisation."""

UNSYNCHRONISED_US = 16_000_000
"""The kernel's maximum error grows by 500 us/s and stops here (NTP_PHASE_LIMIT). Better than STA_UNSYNC, which chrony
leaves set unless it also keeps the battery clock right; timedated judges in the same way."""


def boottime_s() -> float:
    """Return seconds since boot, time suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_offset_s(tries: int = 5) -> float:
    """Return wall time (seconds since 1970) minus boot time.

    The two clocks can't be read at once: wall time is read between two readings of boot time, and of several tries
    the tightest counts, so that being interrupted does no harm. Good to a few microseconds.
    """
    best_s = float("inf")
    offset_s = 0.0
    for _ in range(tries):
        before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        wall_s = time.clock_gettime(time.CLOCK_REALTIME)
        after_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if after_s - before_s < best_s:
            best_s = after_s - before_s
            offset_s = wall_s - (before_s + after_s) / 2
    return offset_s


def timestamp(wall_s: float) -> str:
    """Format a time as RFC 3339 in UTC, to the millisecond: `2026-11-20T09:15:02.120Z`."""
    seconds, milliseconds = divmod(round(wall_s * 1000), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


def boot_id(proc: str = "/proc") -> str | None:
    """Return the id of this boot, 32 hexadecimal digits; None where it can't be found out.

    `ProcSubset=pid` hides it from a service; its unit passes it on with `Environment=EDGED_BOOT_ID=%b`.
    """
    try:
        text = Path(proc, "sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        text = os.environ.get("EDGED_BOOT_ID", "")
    return text.strip().replace("-", "") or None


class Synchronization:
    """Check of whether something keeps the wall clock right, as far as a service in its sandbox can tell.

    The answer is kept for `CACHE_S`. The first source that knows counts:
    - systemd-timesyncd, the default on Debian and Raspberry Pi OS, leaves a file once it has set the clock, and its
      directory is there as long as it runs;
    - chronyd answers monitoring requests on this machine's UDP port 323, from anybody (its Unix socket is root's);
    - the kernel, told by ntpd and others. It is asked only where no system call filter is in force: a filter may
      answer `adjtimex`, which can also set the clock, with SIGSYS.
    """

    def __init__(
        self,
        run: str = "/run",
        proc: str = "/proc",
        chrony: tuple[str, int] = ("127.0.0.1", 323),
    ) -> None:
        self._timesyncd = Path(run, "systemd/timesync")
        self._chrony_directory = Path(run, "chrony")
        self._chrony = chrony
        self._status = Path(proc, "self/status")
        self._state: State = "unknown"
        self._until_s = float("-inf")

    def __call__(self) -> State:
        """Return the state, within a millisecond; within `CHRONY_TIMEOUT_S` at worst."""
        now_s = boottime_s()
        if now_s >= self._until_s:
            self._state = self._find_out()
            self._until_s = now_s + CACHE_S
        return self._state

    def _find_out(self) -> State:
        if (self._timesyncd / "synchronized").exists():
            return "synchronized"
        known = self._ask_chrony() or self._ask_kernel()
        if known:
            return known
        return "unsynchronized" if self._timesyncd.exists() else "unknown"

    def _ask_chrony(self) -> State | None:
        try:
            if not self._chrony_directory.exists():
                return None
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.settimeout(CHRONY_TIMEOUT_S)
                asking.connect(self._chrony)
                asking.send(CHRONY_TRACKING)
                answer = asking.recv(1024)
        except OSError:
            return None  # not there, stopped, or forbidden by the sandbox: no answer, and somebody else may have one
        return chrony_state(answer)

    def _ask_kernel(self) -> State | None:
        return None if self._filtered() else kernel_state()

    def _filtered(self) -> bool:
        """Return whether a system call filter is in force, or might be."""
        try:
            lines = self._status.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return True
        return "Seccomp:\t0" not in lines


def chrony_state(answer: bytes) -> State | None:
    """Return what chronyd's answer to `CHRONY_TRACKING` says; None if it is no such answer."""
    if len(answer) < CHRONY_ANSWER.size:
        return None
    protocol, kind, command, reply, status, reference, _stratum, leap = CHRONY_ANSWER.unpack_from(answer)
    if (protocol, kind, command, reply, status) != (6, 2, 33, 5, 0):
        return None
    return "unsynchronized" if leap == CHRONY_UNSYNCHRONISED or reference == CHRONY_ITSELF else "synchronized"


class _Timex(ctypes.Structure):
    """The beginning of the kernel's `struct timex`, and room for its rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_char * 512),
    )


def kernel_state() -> State | None:
    """Return what the kernel's clock discipline says; None if it can't be asked.

    Never call it under a system call filter.
    """
    timex = _Timex(modes=0)  # 0: read, set nothing
    if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
        return None
    return "synchronized" if timex.maxerror < UNSYNCHRONISED_US else "unsynchronized"


synchronization = Synchronization()
"""Synchronization of this machine's clock."""
