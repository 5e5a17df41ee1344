"""Conditions that stop the daemon: a signal, the end of the recording, or transcripts that no sink takes any more."""

import asyncio
import logging
import signal
from collections.abc import Callable

from edged.service.terminal import Terminal

log = logging.getLogger("edged")


class StopConditions:
    """Reasons to stop, as they come. Make it in the event loop.

    `reload` is called for a SIGHUP, unless the terminal was closed, which stops the daemon.
    """

    def __init__(self, stop_s: float, reload: Callable[[], None]) -> None:
        self.requested = asyncio.Event()
        """Set when the daemon is to stop in order."""
        self.hurried = asyncio.Event()
        """Set when the stop is to wait for nothing any more."""
        self.ended = False
        """Whether the recording has ended: edged waits for all of its results, longer than `stop_s`."""
        self.interrupted = False
        """Whether Ctrl-C stopped the daemon."""
        self._signalled = False
        self._stop_s = stop_s
        self._reload = reload
        self._terminal = Terminal()
        self._loop = asyncio.get_running_loop()

    def handle_signals(self) -> None:
        """Handle SIGTERM, SIGINT and SIGHUP from now on."""
        self._loop.add_signal_handler(signal.SIGTERM, self._on_signal, False)
        self._loop.add_signal_handler(signal.SIGINT, self._on_signal, True)
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def ignore_signals(self) -> None:
        """Ignore signals from now on: one more would only spoil the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def recording_ended(self) -> None:
        """Stop because there is no more audio."""
        log.info("the recording has ended; waiting until all of it is transcribed")
        self.ended = True
        self.requested.set()

    def output_closed(self) -> None:
        """Stop because the last sink is gone."""
        log.warning("no sink is left, so nobody would read the transcripts; stopping")
        self._request()

    def _on_signal(self, interrupted: bool) -> None:
        """Stop: the first signal waits up to `stop_s` for final results, the second does not."""
        if self._signalled:
            log.info("stopping at once")
            self.hurried.set()
            return
        log.info("stopping; waiting up to %g s for final results", self._stop_s)
        self._signalled, self.interrupted = True, interrupted
        self._request()

    def _request(self) -> None:
        """Stop within `stop_s`, also while a recording's end is awaited."""
        if self.ended:
            self._loop.call_later(self._stop_s, self.hurried.set)
        self.requested.set()

    def _on_hangup(self) -> None:
        if self._terminal.is_closed():
            self._on_signal(interrupted=False)
        else:
            self._reload()
