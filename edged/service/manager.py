"""What the service manager is told: that the daemon is ready, what it does, that it works, and that it ends."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from edged.model.audio import SignalChange
from edged.model.message_ids import MessageId
from edged.service.notify import Notifier, watchdog_s
from edged.service.status import ServiceStatus, line
from edged.service.watchdog import Watchdog

ABSENCES: Final[dict[MessageId | None, str]] = {
    MessageId.MICROPHONE_BUSY: "held by another program",
    MessageId.MICROPHONE_FORBIDDEN: "not permitted",
}
"""What the status line says of a microphone that is there and can't be used."""

STARTING_EVERY_S = 5.0
"""How often a start that takes long asks for more time."""

STARTING_MORE_S = 30.0
"""How much: what a loop that stands still has then."""


class ServiceManager:
    """systemd, if it listens; otherwise nobody. Never waits, never raises."""

    def __init__(self) -> None:
        self._notifier = Notifier(os.environ)
        self._watchdog = Watchdog(watchdog_s(os.environ, os.getpid()), time.monotonic())
        self._device: str | None = None
        self._absence = ""
        self._absent_since_s = time.monotonic()
        self._ending_at_s: float | None = None
        self._faults: dict[MessageId | None, str] = {}

    @property
    def listens(self) -> bool:
        """Whether it is worth while to find out the condition."""
        return self._notifier.listening

    @asynccontextmanager
    async def starting(self, what: str) -> AsyncIterator[None]:
        """Around what may hang before `ready`, such as a disk: that is no reason to be killed, while the loop turns.

        Only from `STARTING_EVERY_S` on is anything told; `what` shows as the status then. (pyalsaaudio 0.10 holds
        Python's lock while it opens a card: one that hangs there stops the loop, and the process is killed.)
        """
        asking = asyncio.create_task(self._ask_for_time(what), name="starting")
        try:
            yield
        finally:
            asking.cancel()

    async def _ask_for_time(self, what: str) -> None:
        while True:
            await asyncio.sleep(STARTING_EVERY_S)
            self._notifier.status(what)
            self._notifier.starting(STARTING_MORE_S)

    def ready(self) -> None:
        """The loops turn, with or without a microphone."""
        self._notifier.ready()

    def reloading(self) -> None:
        """Files are opened again; `ready` ends it."""
        self._notifier.reloading()

    def stopping(self, wait_s: float, grace_s: float) -> None:
        """The last words are waited for, `wait_s` at most, and the end takes `grace_s` more at worst."""
        self._ending_at_s = time.monotonic() + wait_s
        self._notifier.stopping(wait_s + grace_s)

    def captures(self, device: str) -> None:
        """This from now on."""
        self._device = device

    def lost(self, message_id: MessageId | None) -> None:
        """Nothing is captured from now on, or for another reason than before."""
        if self._device or not self._absence:
            self._absent_since_s = time.monotonic()
        self._device, self._absence = None, ABSENCES.get(message_id, "absent")
        self._faults.clear()

    @property
    def fault(self) -> str | None:
        """What is wrong with the microphone's signal, if anything is."""
        return "; ".join(self._faults.values()) or None

    def signal(self, signal: SignalChange) -> None:
        """The microphone's signal has a fault, or not any more."""
        if signal.fault:
            self._faults[signal.message_id] = signal.text
        else:
            self._faults.pop(signal.message_id, None)

    def block(self) -> None:
        """A block has come through: that is what keeps the watchdog from biting."""
        self._watchdog.block(time.monotonic())
        self._feed()

    def turn(self, thread_s: float | None, *, open: bool) -> None:  # noqa: A002  the source's own word
        """The loop has looked at the source; see `Watchdog.turn`."""
        self._watchdog.turn(thread_s, open=open)
        self._feed()

    def tell(self, condition: ServiceStatus) -> None:
        """Show the condition, to which what is known here is added: device, fault, end."""
        now_s = time.monotonic()
        whole = replace(
            condition,
            device=self._device,
            absence=self._absence,
            absent_s=now_s - self._absent_since_s,
            fault=self.fault,
            ending_s=None if self._ending_at_s is None else max(0.0, self._ending_at_s - now_s),
        )
        self._notifier.status(line(whole))

    def _feed(self) -> None:
        if self._watchdog.due(time.monotonic()):
            self._notifier.alive()
