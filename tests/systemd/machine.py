"""A machine that boots: systemd as process 1, in a container over a throw-away layer of a root directory.

It shares the host's network, so that a server on 127.0.0.1 is reached from inside. Its memory and processor limits are
not in force: a container's controllers are the host's.
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S

MICROPHONE = "/srv/microphone"
"""Inside: where the virtual one has its files."""

SCRIPT = r"""
set -e
layer=$1 lower=$2 name=$3
mount -t tmpfs tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
: >"$layer/root/etc/machine-id"
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then  # the host's are of the old kind: a view of our own
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
echo ready
read -r _
mkdir "/sys/fs/cgroup/$name"
sh -c 'echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"; exec systemd-nspawn -q -D "$0/root" --machine="$1" --register=no \
    --keep-unit --boot --console=pipe --link-journal=no --settings=no --resolv-conf=off --timezone=off' \
    "$layer" "$name" </dev/null >"$layer/console" 2>&1 &
echo "$!"
wait "$!" || true
find "/sys/fs/cgroup/$name" -depth -type d -exec rmdir {} +
"""


class Machine:
    """Made, but not yet booted: `root` can be prepared."""

    program = "/usr/bin/edged"
    """Inside: the command."""
    python = "/usr/bin/env PYTHONPATH=/usr/lib/edged /usr/bin/python3"
    """Inside: an interpreter that finds edged."""

    def __init__(self, lower: Path, layer: Path) -> None:
        layer.mkdir()
        command = ["unshare", "-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh", str(layer), str(lower)]
        self._layer = layer
        self._leader: int | None = None
        self._name = f"edged-test-{os.getpid()}-{time.monotonic_ns()}"
        self._keeper = subprocess.Popen([*command, self._name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._line() != "ready":
            self.power_cut()
            pytest.skip("mounting in a namespace of one's own is not permitted here")
        self.root = Path(f"/proc/{self._keeper.pid}/root{layer}/root")
        """The machine's files, as seen from outside; inside a running one /run, /tmp and /dev are others."""

    def _line(self) -> str:
        assert self._keeper.stdout
        return self._keeper.stdout.readline().decode().strip()

    # -- before it boots ----------------------------------------------------------------------------------------------

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file inside, with its directories."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def boot(self) -> None:
        """Boot and wait until systemd is up."""
        assert self._keeper.stdin
        self._keeper.stdin.write(b"go\n")
        self._keeper.stdin.flush()
        shell = int(self._line())
        self.until(lambda: self._find_leader(shell) or not Path(f"/proc/{shell}").exists(), "the container")
        if self._leader is None:
            console = (self.root.parent / "console").read_text(errors="replace").strip()
            pytest.skip(f"systemd-nspawn does not work here: {console}")
        up = ("running", "degraded")
        # looked for each time: its first child is not yet process 1, but makes it
        self.until(lambda: self._find_leader(shell) and self.try_("systemctl", "is-system-running") in up, "the boot")

    def _find_leader(self, nspawn: int) -> bool:
        try:
            children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
        except FileNotFoundError:
            return False
        self._leader = int(children[0]) if children else None
        return self._leader is not None

    # -- while it runs ------------------------------------------------------------------------------------------------

    def call(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command inside; before it boots, in its root directory."""
        if self._leader is None:
            inside = ["nsenter", "-t", str(self._keeper.pid), "-m", "chroot", f"{self._layer}/root"]
        else:
            inside = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
        return subprocess.run(
            [*inside, *command], input=text or "", capture_output=True, text=True, check=False, env=clean
        )

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command that must succeed; its output."""
        done = self.call(*command, text=text)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def try_(self, *command: str) -> str:
        """Run a command and return its output, whether it succeeds or not."""
        return self.call(*command).stdout.strip()

    def until(self, condition: Any, what: str, within_s: float = PATIENCE_S) -> Any:
        """Wait for something; what the condition gave when it was true."""
        limit_s = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < limit_s, f"{what} did not come within {within_s:g} s"
            time.sleep(0.1)
        return found

    def power_cut(self) -> None:
        """Everything inside ends at once; nothing of it is left."""
        if self._leader:
            os.kill(self._leader, signal.SIGKILL)
        assert self._keeper.stdin
        assert self._keeper.stdout
        self._keeper.stdin.close()
        if self._leader is None:
            self._keeper.kill()
        self._keeper.wait(PATIENCE_S)
        self._keeper.stdout.close()


class Service:
    """A unit on a machine."""

    def __init__(self, machine: Machine, unit: str = "edged.service") -> None:
        self.machine = machine
        self.unit = unit
        self._begun_us = 0

    def configure(self, **settings: str | float | bool | list[str]) -> None:
        """Write the service's configuration file from `section__key=value`."""
        lines = [f"{name.replace('__', '.')} = {json.dumps(value)}" for name, value in settings.items()]
        name = match[1] if (match := re.fullmatch(r"edged@(.*)\.service", self.unit)) else "edged"
        self.machine.write(f"/etc/edged/{name}.toml", "\n".join(lines) + "\n")

    def drop_in(self, text: str) -> None:
        """Write the service's only drop-in."""
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/test.conf", text)
        self.machine.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start it, and have `log` begin here. A start that fails is for the test to look at."""
        self.mark()
        self.machine.call("systemctl", "restart", self.unit)

    def mark(self) -> None:
        """Let `log` and `entries` begin here."""
        self._begun_us = time.time_ns() // 1000

    def stop(self) -> None:
        """Stop it, and forget that it failed."""
        self.machine.call("systemctl", "stop", self.unit)
        self.machine.call("systemctl", "reset-failed", self.unit)

    def reset(self) -> None:
        """Stopped at once, with no traces of what it did."""
        self.machine.call("systemctl", "kill", "--signal=KILL", self.unit)
        self.stop()
        for kind in ("lib", "log"):
            self.machine.run("sh", "-c", f"rm -rf /var/{kind}/edged*")
        self.machine.run(
            "sh", "-c", "rm -rf /run/edged* /run/systemd/system/edged* /etc/credstore*/* /srv/microphone/*.state"
        )

    def __getitem__(self, name: str) -> str:
        """A property, as `systemctl show` has it."""
        return self.machine.run("systemctl", "show", "--value", "-p", name, self.unit)

    def restarted(self, first: int) -> int:
        """Wait until systemd has started it again, in place of process `first`; the new process.

        All of it is read at once: between the end of one process and the start of the next, `MainPID` is 0 and
        `ActiveState` may still be that of the first.
        """

        def new() -> int | None:
            shown = self.machine.run("systemctl", "show", "-p", "ActiveState", "-p", "MainPID", self.unit)
            now = dict(line.split("=", 1) for line in shown.splitlines())
            pid = int(now["MainPID"])
            return pid if now["ActiveState"] == "active" and pid not in {0, first} else None

        pid: int = self.machine.until(new, "the new start")
        return pid

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Return the entries of `journalctl -o json` for the service since `mark`."""
        self.machine.try_("journalctl", "--sync")
        text = self.machine.try_("journalctl", "-q", "--all", "-ojson", "-u", self.unit, *matches)
        entries = [json.loads(line) for line in text.splitlines()]
        # not by --after-cursor: in 252 it skips the first entry if the cursor's own does not match
        return [entry for entry in entries if int(entry["__REALTIME_TIMESTAMP"]) >= self._begun_us]

    @property
    def log(self) -> str:
        """Return the log lines of the daemon, and of systemd about it, since `mark`."""
        return "\n".join(str(entry["MESSAGE"]) for entry in self.entries())

    def says(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait for a text in its log."""
        try:
            self.machine.until(lambda: text in self.log, f"{text!r} in the log", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log}\n{self['StatusText']}") from None

    def shows(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait for a text in its status."""
        try:
            self.machine.until(lambda: text in self["StatusText"], f"{text!r} in the status", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self['StatusText']}\n{self.log}") from None
