"""The service manager, as the daemon sees it: readiness, status line, signs of life, and stopping."""

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
from edged.service.status import ServiceStatus, status_line
from edged.service.watchdog import Watchdog

ABSENCES: Final[dict[MessageId | None, str]] = {
    MessageId.MICROPHONE_BUSY: "held by another program",
    MessageId.MICROPHONE_FORBIDDEN: "not permitted",
}
"""Words of the status line for a microphone that is there and can't be used."""

EXTEND_START_EVERY_S = 5.0
"""Interval at which a start that takes long asks for more time."""

EXTEND_START_S = 30.0
"""Time that each request asks for, after which a loop that stands still is killed."""


class ServiceManager:
    """Connection to systemd, if it listens. No call waits or raises."""

    def __init__(self) -> None:
        self._notifier = Notifier(os.environ)
        self._watchdog = Watchdog(watchdog_s(os.environ, os.getpid()), time.monotonic())
        self._device: str | None = None
        self._absence = ""
        self._absent_since_s = time.monotonic()
        self._stop_at_s: float | None = None
        self._faults: dict[MessageId | None, str] = {}

    @property
    def listens(self) -> bool:
        """Whether a service manager shows the status, so that it is worth finding out."""
        return self._notifier.listening

    @asynccontextmanager
    async def starting(self, step: str) -> AsyncIterator[None]:
        """Ask for more time while the body runs, which may hang before `ready`, as a disk does.

        After `EXTEND_START_EVERY_S`, `step` shows as the status. systemd kills only a process whose loop stands still.
        (pyalsaaudio 0.10 holds Python's lock while it opens a card: one that hangs there stops the loop.)
        """
        task = asyncio.create_task(self._ask_for_time(step), name="starting")
        try:
            yield
        finally:
            task.cancel()

    async def _ask_for_time(self, step: str) -> None:
        while True:
            await asyncio.sleep(EXTEND_START_EVERY_S)
            self._notifier.status(step)
            self._notifier.starting(EXTEND_START_S)

    def ready(self) -> None:
        """Report that the daemon runs, with or without a microphone."""
        self._notifier.ready()

    def reloading(self) -> None:
        """Report a reload; `ready` ends it."""
        self._notifier.reloading()

    def stopping(self, wait_s: float, grace_s: float) -> None:
        """Report a stop, which waits up to `wait_s` for final results, and takes up to `grace_s` more."""
        self._stop_at_s = time.monotonic() + wait_s
        self._notifier.stopping(wait_s + grace_s)

    def microphone_opened(self, device: str) -> None:
        """Note the device that is captured from now on."""
        self._device = device

    def microphone_lost(self, message_id: MessageId | None) -> None:
        """Note that nothing is captured from now on, or for another reason than before."""
        if self._device or not self._absence:
            self._absent_since_s = time.monotonic()
        self._device, self._absence = None, ABSENCES.get(message_id, "absent")
        self._faults.clear()

    @property
    def fault(self) -> str | None:
        """Fault of the microphone's signal, if it has one."""
        return "; ".join(self._faults.values()) or None

    def signal_changed(self, change: SignalChange) -> None:
        """Note that the microphone's signal has a fault, or has it no more."""
        if change.fault:
            self._faults[change.message_id] = change.text
        else:
            self._faults.pop(change.message_id, None)

    def block(self) -> None:
        """Note a block of audio, which keeps the watchdog quiet."""
        self._watchdog.block(time.monotonic())
        self._feed()

    def turn(self, thread_s: float | None, *, open: bool) -> None:  # noqa: A002  the source's own word
        """Note that the event loop has looked at the source; see `Watchdog.turn`."""
        self._watchdog.turn(thread_s, open=open)
        self._feed()

    def show(self, status: ServiceStatus) -> None:
        """Show the status, with what is known here added: device, fault, stop."""
        now_s = time.monotonic()
        whole = replace(
            status,
            device=self._device,
            absence=self._absence,
            absent_s=now_s - self._absent_since_s,
            fault=self.fault,
            ending_s=None if self._stop_at_s is None else max(0.0, self._stop_at_s - now_s),
        )
        self._notifier.status(status_line(whole))

    def _feed(self) -> None:
        if self._watchdog.due(time.monotonic()):
            self._notifier.alive()
