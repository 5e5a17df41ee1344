"""A virtual machine that boots Debian with edged as its service, from a disk of its own. What happens to it is a verb.

Its network is qemu's own: 10.0.2.2 is this machine's 127.0.0.1. Commands and the account of what was played go over
serial ports, so that they work without a network.
"""

import asyncio
import itertools
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.systemd import root
from tests.vm.account import Heard
from tests.vm.disk import Disk

HOST = "10.0.2.2"
"""The address of this machine as seen from inside."""

PROCESSOR = "Nehalem"
"""The least that compiled wheels expect. Emulating a newer one takes half as long again."""

DRIVER = "/sys/bus/platform/drivers/snd_aloop"
"""Inside: the loop-back card is tied to it, and untied as by pulling a plug."""

BOOT_S = 900.0
"""An emulated processor needs 20 s when it has ours for itself, and 240 were not enough beside eight busy ones."""

PATIENCE_S = 600.0
"""Limit for events without a deadline of their own."""

RATE = 16_000
"""Sample rate of the sound in the room."""

LINE_BYTES = 1 << 26
"""Longest answer of a command: far more than any transcripts here."""


class Done(NamedTuple):
    """The result of a command."""

    status: int
    output: str
    error: str


class Off(Exception):
    """The machine was switched off before it answered."""


def accelerator() -> str:
    """KVM where the processor has it; a /dev/kvm of another kind (as in some clouds) can't boot Debian's kernel."""
    real = any(Path("/sys/module", name).exists() for name in ("kvm_intel", "kvm_amd"))
    return "kvm" if real and Path("/dev/kvm").exists() else "tcg,thread=multi"


class Machine:
    """Off at first. `recording`: raw samples for the people in the room."""

    def __init__(self, disk: Disk, recording: Path | None = None) -> None:
        self._disk = disk
        self._recording = recording
        self._directory = tempfile.TemporaryDirectory(prefix="edged-vm-")  # short: names of sockets are
        self.directory = Path(self._directory.name)
        self.image = self.directory / "disk.img"
        self.heard: list[Heard] = []
        """Audio that has sounded in the room, each range in one piece."""
        self.boots = 0
        self._process: asyncio.subprocess.Process | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._numbers = itertools.count()
        self._up = asyncio.Event()
        root.call("cp", "--sparse=always", "--reflink=auto", str(disk.image), str(self.image))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.cut()
        self._directory.cleanup()

    # -- on and off ---------------------------------------------------------------------------------------------------

    async def boot(self, *words: str, clock: str = "utc") -> float:
        """Switch it on; returns how long it took until commands can be given. `words`: for the kernel's command line.

        `clock`: what the battery clock says, as a date and time in UTC.
        """
        assert self._process is None, "it is on"
        begun_s = time.monotonic()
        self.boots += 1
        self._up.clear()
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL"), *self._command(words, clock), stdin=asyncio.subprocess.DEVNULL
        )
        self._monitor = await self._connect("monitor")
        await self._monitor[0].readline()
        self._agent = await self._connect("agent")
        self._room = await self._connect("room")
        self._listeners = [
            asyncio.create_task(self._listen(self._agent[0])),
            asyncio.create_task(self._follow(self._room[0])),
        ]
        await self.order("qmp_capabilities")
        try:
            async with asyncio.timeout(BOOT_S):
                await self._up.wait()
        except TimeoutError:
            raise AssertionError(f"it did not boot within {BOOT_S:g} s:\n{self.console[-6000:]}") from None
        return time.monotonic() - begun_s

    def _command(self, words: tuple[str, ...], clock: str) -> list[str]:
        ports = [
            f"-chardev socket,id={name},path={self.directory}/{name},server=on,wait=off"
            f" -device virtserialport,chardev={name},name=edged.{name}"
            for name in ("agent", "room")
        ]
        drives = [f"-drive file={self.image},format=raw,if=virtio,cache=writeback"]
        if self._recording:
            drives += [f"-drive file={self._recording},format=raw,if=virtio,readonly=on"]
        # no_timer_check: a busy host makes the kernel think that the emulated clock is not connected, and stop
        line = [
            "console=ttyS0",
            "quiet",
            "panic=-1",
            "net.ifnames=0",
            "mitigations=off",
            "systemd.journald.forward_to_console=1",
            *words,
        ]
        return [
            *f"qemu-system-x86_64 -accel {accelerator()} -cpu {PROCESSOR} -smp 2 -m 512 -M q35 -nodefaults".split(),
            *f"-display none -no-reboot -rtc base={clock} -serial file:{self.directory}/console{self.boots:02}".split(),
            *f"-qmp unix:{self.directory}/monitor,server=on,wait=off -device virtio-serial".split(),
            *" ".join(ports + drives).split(),
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,id=card,romfile="),
            *("-kernel", str(self._disk.kernel), "-initrd", str(self._disk.initrd), "-append", " ".join(line)),
        ]

    @property
    def on(self) -> bool:
        """Whether it is switched on."""
        return self._process is not None

    async def cut(self) -> None:
        """The mains fail: whatever was not on the disk is gone."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._ended()

    async def off(self, within_s: float = PATIENCE_S) -> None:
        """Wait until it has switched itself off."""
        assert self._process
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"it is still on after {within_s:g} s:\n{self.console[-3000:]}") from None
        await self._ended()

    async def _ended(self) -> None:
        assert self._process
        await self._process.wait()
        await asyncio.gather(*self._listeners)  # they read to the end: what was played last counts
        for _, writer in (self._agent, self._monitor, self._room):
            writer.close()
        self._process = None

    @property
    def console(self) -> str:
        """Return the console output of the kernel and the first process since the last boot."""
        return (self.directory / f"console{self.boots:02}").read_text(errors="replace")

    # -- verbs --------------------------------------------------------------------------------------------------------

    async def order(self, verb: str, **arguments: object) -> None:
        """One of qemu's own."""
        reader, writer = self._monitor
        writer.write(json.dumps({"execute": verb, "arguments": arguments}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            while line := await reader.readline():
                answer = json.loads(line)
                assert "error" not in answer, f"{verb}: {answer['error']}"
                if "return" in answer:
                    return
        raise Off

    async def unplug_network(self) -> None:
        """Unplug the network cable."""
        await self.order("set_link", name="card", up=False)

    async def plug_network(self) -> None:
        """Plug the network cable in again."""
        await self.order("set_link", name="card", up=True)

    async def press_power(self) -> None:
        """The power button, shortly."""
        await self.order("system_powerdown")

    async def suspend(self, length_s: float) -> None:
        """Suspend to memory, and wake up again."""
        asleep = asyncio.create_task(self.run("sh", "-c", "echo mem >/sys/power/state"))
        await asyncio.sleep(length_s)
        await self.order("system_wakeup")
        await asleep

    async def set_clock(self, at_s: float) -> None:
        """Set the clock as systemd-timesyncd does once it knows the time, with its mark."""
        await self.shell(
            f"date -s @{at_s:.3f}; mkdir -p /run/systemd/timesync; touch /run/systemd/timesync/synchronized"
        )

    async def plug_card(self) -> None:
        """Plug a sound card in, for the first time since the boot."""
        await self.run("modprobe", "snd-aloop")

    async def pull_card(self) -> None:
        """Unplug the card, even while a process has it open."""
        await self.shell(f"echo snd_aloop.0 >{DRIVER}/unbind")

    async def push_card(self) -> None:
        """Plug the card in again."""
        await self.shell(f"echo snd_aloop.0 >{DRIVER}/bind")

    # -- inside -------------------------------------------------------------------------------------------------------

    async def call(self, *command: str, text: str = "", within_s: float = PATIENCE_S) -> Done:
        """Run a command inside. Raises Off."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._agent[1].write(json.dumps({"id": number, "command": command, "text": text}).encode() + b"\n")
        try:
            async with asyncio.timeout(within_s):
                return await self._waiting[number]
        except TimeoutError:
            raise AssertionError(f"{command} did not end within {within_s:g} s:\n{self.console[-2000:]}") from None
        finally:
            del self._waiting[number]

    async def run(self, *command: str, text: str = "", within_s: float = PATIENCE_S) -> str:
        """Run a command that must succeed; its output."""
        done = await self.call(*command, text=text, within_s=within_s)
        assert done.status == 0, f"{' '.join(command)}: {done.status}\n{done.output}\n{done.error}"
        return done.output.strip()

    async def shell(self, script: str) -> str:
        """The same, for several commands."""
        return await self.run("sh", "-ec", script)

    async def until(self, condition: Any, what: str, within_s: float = PATIENCE_S) -> None:
        """Wait for something; `condition` is called, and what it gives awaited."""
        limit_s = time.monotonic() + within_s
        while not await condition():
            assert time.monotonic() < limit_s, f"{what} did not come within {within_s:g} s"
            await asyncio.sleep(0.3)

    async def prints(self, text: str, *command: str) -> bool:
        """Whether a command's output has a text in it."""
        return text in (await self.call(*command)).output

    @property
    def at(self) -> int:
        """Return the position in the room's recording; 0 before the first word."""
        return self.heard[-1].end if self.heard else 0

    # -- its ports ----------------------------------------------------------------------------------------------------

    async def _connect(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        limit_s = time.monotonic() + PATIENCE_S
        while True:
            with suppress(OSError):
                return await asyncio.open_unix_connection(self.directory / name, limit=LINE_BYTES)
            assert self._process
            assert self._process.returncode is None, "qemu did not start: it says why above"
            assert time.monotonic() < limit_s, "qemu did not open its ports"
            await asyncio.sleep(0.02)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                answer = json.loads(line)
                if "up" in answer:
                    self._up.set()
                elif waiting := self._waiting.get(answer["id"]):
                    waiting.set_result(Done(answer["status"], answer["output"], answer["error"]))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Off())

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                start, played, at_s = line.split()
                since_s = int(played) / RATE
                heard = Heard(int(start), int(played), float(at_s) - since_s, time.time() - since_s)
                if self.heard and self.heard[-1].start == heard.start and heard.end >= self.heard[-1].end:
                    last = self.heard.pop()  # who tells it may be late, and never early
                    began_s, truly_s = min(last.began_s, heard.began_s), min(last.truly_s, heard.truly_s)
                    heard = heard._replace(began_s=began_s, truly_s=truly_s)
                self.heard.append(heard)
