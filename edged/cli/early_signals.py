"""What signals do before the daemon handles them: on a small machine its imports alone take a second."""

import os
import signal

from edged.model.errors import ExitStatus
from edged.service.standard_streams import DRAIN_S, BackgroundWriter
from edged.service.terminal import Terminal


def settle_signals(errors: BackgroundWriter) -> None:
    """SIGTERM and SIGINT end the process: nothing has been captured yet, so nothing is left. So does SIGHUP if the
    terminal was closed; else it does nothing. What says so goes to `errors`.
    """
    terminal = Terminal()

    def leave(status: ExitStatus) -> None:
        """At once, wherever the program is: an exception may come while something is imported, where it is no help."""
        errors.write(b"edged: stopped before it has listened\n")
        errors.drain(DRAIN_S)
        os._exit(status)

    def hang_up() -> None:
        if terminal.is_closed():
            leave(ExitStatus.OK)

    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, lambda *_: hang_up())
    signal.signal(signal.SIGTERM, lambda *_: leave(ExitStatus.OK))
    signal.signal(signal.SIGINT, lambda *_: leave(ExitStatus.INTERRUPTED))
