"""What stops the daemon: a signal, the end of the recording, or transcripts that nobody takes any more."""

import asyncio
import logging
import signal
from collections.abc import Callable

from edged.service.terminal import Terminal

log = logging.getLogger("edged")


class StopConditions:
    """Made in the event loop. `reload` is called for a SIGHUP that is an order, not the end of a terminal."""

    def __init__(self, stop_s: float, reload: Callable[[], None]) -> None:
        self.requested = asyncio.Event()
        """Stop, in order."""
        self.hurried = asyncio.Event()
        """Wait for nothing any more."""
        self.ended = False
        """The recording has: all of it is waited for, for longer than `stop_s`."""
        self.interrupted = False
        """By Ctrl-C."""
        self._signalled = False
        self._stop_s = stop_s
        self._reload = reload
        self._terminal = Terminal()
        self._loop = asyncio.get_running_loop()

    def handle_signals(self) -> None:
        """From now on they come here."""
        self._loop.add_signal_handler(signal.SIGTERM, self._on_signal, False)
        self._loop.add_signal_handler(signal.SIGINT, self._on_signal, True)
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def ignore_signals(self) -> None:
        """It is over; one more signal would only spoil the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def recording_ended(self) -> None:
        """There is no more audio."""
        log.info("the recording has ended; waiting until all of it is answered")
        self.ended = True
        self.requested.set()

    def output_closed(self) -> None:
        """The last sink is gone."""
        log.warning("no sink is left, so nobody would read what is said: stopping")
        self._request()

    def _on_signal(self, interrupted: bool) -> None:
        """The first waits for the last words, `stop_s` at most; the second does not."""
        if self._signalled:
            log.info("stopping at once")
            self.hurried.set()
            return
        log.info("stopping; the last words are waited for, at most %g s", self._stop_s)
        self._signalled, self.interrupted = True, interrupted
        self._request()

    def _request(self) -> None:
        """Within `stop_s`, also if a recording's end is awaited already."""
        if self.ended:
            self._loop.call_later(self._stop_s, self.hurried.set)
        self.requested.set()

    def _on_hangup(self) -> None:
        if self._terminal.is_closed():
            self._on_signal(interrupted=False)
        else:
            self._reload()
