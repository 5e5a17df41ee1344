"""The terminal that edged was started in, if any."""

import os
import signal

TERMINAL = "/dev/tty"
"""The terminal of this process's session."""


class Terminal:
    """The terminal at the start of the process: a SIGHUP without it means that it was closed, and is no order.

    Make it before SIGHUP gets a handler.
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup: go on without the terminal
        self._present = not ignored and _is_open()

    def is_closed(self) -> bool:
        """Return whether there was a terminal, and none is left."""
        return self._present and not _is_open()


def _is_open() -> bool:
    if any(map(os.isatty, range(3))):  # after a hangup none is
        return True
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
