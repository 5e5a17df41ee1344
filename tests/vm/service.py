"""edged as a service on a virtual machine, and the people in its room."""

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence

from edged.model.record import Record, decode
from tests.end_to_end.stage import Setting
from tests.vm.machine import HOST, PATIENCE_S, RATE, Machine, Off

TRANSCRIPTS = "/var/log/edged/transcripts.jsonl"
SPEAKER = "hw:Loopback,1,0"
"""The device whose sound reaches the card's microphone sample by sample."""

CARD = "modules_load=snd-aloop"
"""Kernel parameter that loads the kernel's loop-back card, so that a microphone is there at boot."""

SETTINGS: Mapping[str, Setting] = {
    "capture.device": "plughw:CARD=Loopback",
    "deepgram.allow_plaintext": True,  # qemu's network is this machine
    "reconnect.initial_s": 0.2,
    "reconnect.max_s": 1,
    "transcripts.sinks": ["file"],
}


class Service:
    """The edged service in a virtual machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._talking: asyncio.Task[str] | None = None

    async def configure(self, port: int, settings: Mapping[str, Setting]) -> None:
        """Settings, on disk; a recogniser of this machine; and a start with them."""
        url: Mapping[str, Setting] = {"deepgram.url": f"ws://{HOST}:{port}/v1/listen"}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in {**SETTINGS, **url, **settings}.items()]
        await self.machine.run(
            "sh", "-ec", "cat >/etc/edged/edged.toml; sync; systemctl restart edged", text="".join(lines)
        )

    async def begin_anew(self) -> None:
        """Stopped, without a past, with the card out and the network fine."""
        await self.machine.call("systemctl", "stop", "edged")
        await self.machine.call("systemctl", "reset-failed", "edged")
        await self.machine.call("rmmod", "snd-aloop")
        await self.machine.shell("rm -rf /var/lib/edged/* /run/edged/* /var/log/edged/* /run/systemd/timesync")
        await self.machine.plug_network()

    async def show(self, name: str) -> str:
        """A property of the unit."""
        return await self.machine.run("systemctl", "show", "--value", "-p", name, "edged")

    async def shows(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait for a text in its status line."""
        seen = ""

        async def there() -> bool:
            nonlocal seen
            return text in (seen := await self.show("StatusText"))

        try:
            await self.machine.until(there, f"{text!r} in the status", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}\n{self.log}") from None

    async def says(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait for a text in its log, since the machine was switched on."""
        limit_s = time.monotonic() + within_s
        while text not in self.log:
            assert time.monotonic() < limit_s, f"{text!r} did not come within {within_s:g} s:\n{self.log}"
            await asyncio.sleep(0.1)

    @property
    def log(self) -> str:
        """All it has said since the machine was switched on: the journal goes to the console, too."""
        return "\n".join(line for line in self.machine.console.splitlines() if " edged[" in line)

    @property
    def capture_s(self) -> tuple[float, float]:
        """When the microphone was opened first since the machine was switched on: after the kernel's start, and after
        systemd began to start edged."""
        times = (
            rf"^\[\s*([\d.]+)\] {what}" for what in (r"edged\[\d+\]: capturing ", r"systemd\[1\]: Starting edged\.")
        )
        opened, begun = (re.search(time, self.machine.console, re.MULTILINE) for time in times)
        return (float(opened[1]), float(opened[1]) - float(begun[1])) if opened and begun else (0.0, 0.0)

    # -- the room -----------------------------------------------------------------------------------------------------

    async def talk(self, start: int, end: int | None = None, device: str = SPEAKER) -> None:
        """Somebody speaks the recording from a sample on; returns when the first of it has sounded."""
        limits = [str(start)] if end is None else [str(start), str(end)]
        command = ("/opt/edged/bin/python", "/srv/room.py", device, *limits)
        before = len(self.machine.heard)
        self._talking = asyncio.create_task(self._play(*command))
        limit_s = time.monotonic() + PATIENCE_S
        while len(self.machine.heard) == before or self.machine.at <= start:
            if self._talking.done():
                raise AssertionError(f"nobody can be heard: {self._talking.result()}")
            assert time.monotonic() < limit_s, f"nobody listens:\n{self.log}"
            await asyncio.sleep(0.05)

    async def _play(self, *command: str) -> str:
        try:
            return (await self.machine.call(*command, within_s=3600)).error
        except Off:
            return "the machine was switched off"

    async def told(self, until: int) -> None:
        """Wait until the room is at a sample."""
        while self.machine.at < until:
            assert self._talking
            assert not self._talking.done(), f"the talk has ended: {self._talking.result()}"
            await asyncio.sleep(min(1.0, (until - self.machine.at) / RATE + 0.02))

    # -- what came of it ----------------------------------------------------------------------------------------------

    async def records(self, file: str = TRANSCRIPTS) -> list[Record]:
        """Return the records in the file. Raises for a line that is no record."""
        done = await self.machine.call("cat", file)
        return [decode(line) for line in done.output.splitlines()]

    async def words(self) -> list[str]:
        """The words of all records, in the order of writing."""
        return [word.word for record in await self.records() for word in record.words]

    async def comes(self, words: Sequence[str], quiet_s: float = 45.0) -> None:
        """Wait until all these words are written, or none has come for `quiet_s`: longer than any wait of edged's."""
        missing, since_s = len(words) + 1, time.monotonic()
        while missing and time.monotonic() < since_s + quiet_s:
            got = set(await self.words())
            now = sum(word not in got for word in words)
            if now != missing:
                missing, since_s = now, time.monotonic()
            await asyncio.sleep(1.0)
