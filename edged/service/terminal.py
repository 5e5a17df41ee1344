"""The terminal that edged was started in, if any."""

import os
import signal

TERMINAL = "/dev/tty"
"""The terminal of this process's session."""


class Terminal:
    """Tells a SIGHUP of a terminal that was closed from one that is an order. Make it before SIGHUP gets a handler."""

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup: go on without the terminal
        self._present = not ignored and _is_open()

    def is_closed(self) -> bool:
        """Whether there was a terminal, and none is left."""
        return self._present and not _is_open()


def _is_open() -> bool:
    if any(map(os.isatty, range(3))):  # after a hangup none is
        return True
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
