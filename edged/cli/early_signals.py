"""Signal handlers until the daemon installs its own: on a small machine its imports alone take a second."""

import os
import signal

from edged.model.errors import ExitStatus
from edged.service.standard_streams import DRAIN_S, BackgroundWriter
from edged.service.terminal import Terminal


def settle_signals(errors: BackgroundWriter) -> None:
    """Let SIGTERM and SIGINT end the process at once, and SIGHUP too if its terminal was closed.

    Nothing has been captured yet, so nothing is lost. The message about it goes to `errors`.
    """
    terminal = Terminal()

    def leave(status: ExitStatus) -> None:
        """End without an exception: within an import it would not reach the top."""
        errors.write(b"edged: stopped before capture began\n")
        errors.drain(DRAIN_S)
        os._exit(status)

    def hang_up() -> None:
        if terminal.is_closed():
            leave(ExitStatus.OK)

    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, lambda *_: hang_up())
    signal.signal(signal.SIGTERM, lambda *_: leave(ExitStatus.OK))
    signal.signal(signal.SIGINT, lambda *_: leave(ExitStatus.INTERRUPTED))
