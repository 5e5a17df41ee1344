"""A thread that captures, and the PCM that it owns.

Only the thread itself reads and closes its PCM: closing one under a read is a use after free. If a read hangs, another
thread stops the card (`drop`), the hung thread is left behind, and a new thread opens the device again.
"""

import logging
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import alsaaudio

logger = logging.getLogger(__name__)


class OpenReason(Enum):
    """The reason for which a thread opens the device; it decides what the first block after the opening means.

    The first reason of a thread is NOT_OPEN, or HUNG_READ if it replaces a thread that hangs. Transitions:
      any -> NOT_OPEN      the opening or a read failed
      any -> SIGNAL_FAULT  the signal asks for another opening (`SignalChecks.wants_reopening`)
    """

    NOT_OPEN = "not open"
    """The run begins, or the last opening failed: the first block ends an outage, and the signal checks restart."""
    HUNG_READ = "hung read"
    """A read of the last opening does not return. The stall that was reported lasts until the first block."""
    SIGNAL_FAULT = "signal fault"
    """The device delivers, but its signal has a fault that an opening may cure or explain: this is no outage."""


class CaptureThread:
    """A thread that captures until it is cancelled, with the PCM that it has open."""

    def __init__(self, run: Callable[["CaptureThread"], None], reason: OpenReason) -> None:
        self.reason = reason
        """The reason of the first opening."""
        self.cancelled = threading.Event()
        """Set when the thread shall end; what it still reads is dropped."""
        self.thread = threading.Thread(target=run, args=(self,), name="edged-capture", daemon=True)
        self._pcm: Any = None
        self._lock = threading.Lock()

    def own(self, pcm: Any) -> None:
        """Take over an open PCM, until `close`."""
        self._pcm = pcm

    def close(self) -> None:
        """Close the PCM; called only from the thread itself."""
        with self._lock:
            pcm, self._pcm = self._pcm, None
            pcm.close()

    def drop(self) -> None:
        """Stop the card under a hung read, so that a kernel driver releases it and another thread can open it.

        Called from a thread of its own, because a plug-in may hang here too. This does not free what the read uses.
        """
        with self._lock:
            if self._pcm is not None:
                try:
                    self._pcm.drop()
                except alsaaudio.ALSAAudioError as error:
                    logger.debug("the hung read can't be stopped: %s", error)
