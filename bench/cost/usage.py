"""Resources that a running process has used so far, as the kernel counts them."""

import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """Resources used by all threads of a process since its start."""

    at_s: float
    """`time.monotonic()` when it was looked at."""
    cpu_s: float
    """User and system, to the nanosecond."""
    wakeups: int
    """Voluntary context switches of the threads that live."""
    rss_kb: int
    peak_kb: int
    disk_bytes: int
    """Written to a disk; what goes into memory (tmpfs) is not counted."""
    sent_bytes: int
    received_bytes: int
    """By the TCP connections that are open now, without the kernel's headers."""


def usage(pid: int) -> Usage:
    """Look at a process. Raises OSError if it is gone."""
    status = dict(re.findall(r"(\w+):\s+(\d+)", Path(f"/proc/{pid}/status").read_text()))
    io = dict(re.findall(r"(\w+): (\d+)", Path(f"/proc/{pid}/io").read_text()))
    sent, received = _socket_bytes(pid)
    return Usage(
        time.monotonic(),
        time.clock_gettime(~pid << 3 | 2),  # the kernel's number of that process's clock: MAKE_PROCESS_CPUCLOCK
        wakeups(pid),
        int(status["VmRSS"]),
        int(status["VmHWM"]),
        int(io["write_bytes"]),
        sent,
        received,
    )


def wakeups(pid: int) -> int:
    """Voluntary context switches of the threads that live."""
    tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(
        int(found[1]) for text in tasks if (found := re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M))
    )


def _socket_bytes(pid: int) -> tuple[int, int]:
    listed = subprocess.run(["ss", "-tinpH"], capture_output=True, text=True, check=True).stdout
    mine = [line for line in re.split(r"\n(?=\S)", listed) if f"pid={pid}," in line]

    def total(name: str) -> int:
        return sum(int(number) for line in mine for number in re.findall(rf"\b{name}:(\d+)", line))

    return total("bytes_sent"), total("bytes_received")
