"""What the service manager is told: that the daemon is ready, what it does, that it works, and that it ends."""

import os
import time
from dataclasses import replace

from edged.service.notify import Notifier, watchdog_s
from edged.service.status import Condition, line
from edged.service.watchdog import Watchdog


class Manager:
    """systemd, if it listens; otherwise nobody. Never waits, never raises."""

    def __init__(self) -> None:
        self._notifier = Notifier(os.environ)
        self._watchdog = Watchdog(watchdog_s(os.environ, os.getpid()), time.monotonic())
        self._device: str | None = None
        self._absent_since_s = time.monotonic()
        self._ending_at_s: float | None = None
        self.fault: str | None = None
        """What is wrong with the microphone's signal, if anything is."""

    @property
    def listens(self) -> bool:
        """Whether it is worth while to find out the condition."""
        return self._notifier.listening

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

    def captures(self, device: str | None) -> None:
        """What is captured from now on; None: nothing."""
        self._device, self._absent_since_s = device, time.monotonic()

    def block(self) -> None:
        """A block has come through: that is what keeps the watchdog from biting."""
        self._watchdog.block(time.monotonic())
        self._feed()

    def turn(self, thread_s: float | None, *, open: bool) -> None:  # noqa: A002  the source's own word
        """The loop has looked at the source; see `Watchdog.turn`."""
        self._watchdog.turn(thread_s, open=open)
        self._feed()

    def tell(self, condition: Condition) -> None:
        """Show the condition, to which what is known here is added: device, fault, end."""
        now_s = time.monotonic()
        whole = replace(
            condition,
            device=self._device,
            absent_s=now_s - self._absent_since_s,
            fault=self.fault,
            ending_s=None if self._ending_at_s is None else max(0.0, self._ending_at_s - now_s),
        )
        self._notifier.status(line(whole))

    def _feed(self) -> None:
        if self._watchdog.due(time.monotonic()):
            self._notifier.alive()
