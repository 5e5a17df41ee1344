"""What signals do before the daemon handles them: on a small machine its imports alone take a second."""

import os
import signal
from contextlib import suppress

from edged.errors import Exit


def settle_signals() -> None:
    """SIGHUP does nothing, SIGTERM and SIGINT end the process: nothing has been captured yet, so nothing is left."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _leave(Exit.OK))
    signal.signal(signal.SIGINT, lambda *_: _leave(Exit.INTERRUPTED))


def _leave(status: Exit) -> None:
    """At once, wherever the program is: an exception may come while something is imported, where it is no help."""
    with suppress(OSError):  # standard error is closed
        os.write(2, b"edged: stopped before it has listened\n")
    os._exit(status)
