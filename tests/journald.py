"""The real systemd-journald, private: in a mount namespace of its own, so that no other journal sees anything.

Its sockets and files are reached from outside through /proc/<pid>/root.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S

PROGRAM = "/lib/systemd/systemd-journald"

PREPARE = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal
printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\nRateLimitBurst=0\\n' \\
    >/run/systemd/journald.conf.d/t.conf
[ -s /etc/machine-id ] || { tr -d - </proc/sys/kernel/random/uuid >/run/id; mount --bind /run/id /etc/machine-id; }
echo ready
exec sleep infinity
"""


class Journald:
    """Starts with the journal running. What can happen to it are verbs."""

    def __init__(self) -> None:
        if os.geteuid():
            pytest.skip("a journald of one's own needs root")
        for need in (PROGRAM, "/etc/machine-id"):
            if not Path(need).exists():
                pytest.skip(f"{need} is not here")
        if not (shutil.which("unshare") and shutil.which("nsenter")):
            pytest.skip("unshare and nsenter are not installed")
        self._keeper = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", PREPARE], stdout=subprocess.PIPE
        )
        assert self._keeper.stdout
        if self._keeper.stdout.readline() != b"ready\n":
            self.end()
            pytest.skip("mount namespaces are not permitted here")
        self._daemon: subprocess.Popen[bytes] | None = None
        self.root = Path(f"/proc/{self._keeper.pid}/root")
        self.socket = str(self.root / "run/systemd/journal/socket")
        self.start()

    def start(self) -> None:
        before = self._inode()
        self._daemon = subprocess.Popen(
            ["nsenter", "-t", str(self._keeper.pid), "-m", PROGRAM],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: self._inode() not in (0, before))
        # the socket for standard error is made after the native one
        wait_for(lambda: (self.root / "run/systemd/journal/stdout").exists())
        wait_for(lambda: any((self.root / "run/log/journal").iterdir()))

    def kill(self) -> None:
        """Kill journald: its socket stays, and refuses."""
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def stop(self) -> None:
        """Stop journald: a stopped journald takes nothing."""
        assert self._daemon
        self._daemon.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._daemon
        self._daemon.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """No socket, no daemon: a machine without a journal."""
        self.kill()
        Path(self.socket).unlink()

    def lose(self) -> None:
        """Delete the stored entries, as a reboot does; journald runs on."""
        self.kill()
        shutil.rmtree(self.directory)
        self.start()

    @property
    def directory(self) -> str:
        """Return the directory of its files, for `journal.Reader(path=...)`."""
        return str(next((self.root / "run/log/journal").iterdir()))

    def read(self, *matches: str) -> list[dict[str, Any]]:
        """Return the entries of `journalctl -o json`."""
        command = ["journalctl", "--all", "-q", "-o", "json", "-D", self.directory, *matches]
        done = subprocess.run(command, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_for(self, count: int, *matches: str) -> list[dict[str, Any]]:
        """The entries, once there are so many; more are returned as well."""
        wait_for(lambda: len(self.read(*matches)) >= count)
        return self.read(*matches)

    def end(self) -> None:
        if getattr(self, "_daemon", None):
            self.go_on()
            self.kill()
        self._keeper.kill()
        self._keeper.wait()
        assert self._keeper.stdout
        self._keeper.stdout.close()

    def _inode(self) -> int:
        try:
            return os.stat(self.socket).st_ino
        except FileNotFoundError:
            return 0


def wait_for(condition: Any, timeout_s: float = PATIENCE_S) -> None:
    """Real processes take their time; fails after far more of it than they need."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "did not come true in time"
        time.sleep(0.01)
