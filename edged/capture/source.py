"""The interface of an audio source, and its counters. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edged.model.audio import SourceEvent, SourceLost

Deliver = Callable[[SourceEvent], None]
"""Called from the source's own thread, in order; must not block: `HandOver.put`."""


@dataclass(slots=True)
class CaptureCounters:
    """Written by the source's thread alone; to be read by anyone at any time."""

    blocks: int = 0
    overruns: int = 0
    lost_samples: int = 0
    """Estimated: by overruns and while the device was away."""
    opened: int = 0
    """`Opened` delivered: a device that opens but gives no block does not count."""
    peak: int = 0
    """Largest magnitude since the start, 0 to 32768."""
    clipped: int = 0
    offset: int = 0
    """See `Level.offset`."""
    last_block_s: float | None = None
    """`time.monotonic()` of the last block, or of opening the device; None while it is not open. For `level.Watch`."""
    turned_s: float | None = None
    """`time.monotonic()` of the last time that its thread looked for a device that is away, or began to open it."""


class Source(Protocol):
    """Delivers audio from `start` to `stop`; used once."""

    @property
    def counters(self) -> CaptureCounters:
        """Kept up to date while it runs."""

    def check(self) -> SourceLost | None:
        """Before `start`: tries what the settings ask for, and closes again.

        Returns what is missing at the moment (absent, busy: the run may begin, it is waited for), or None.
        Raises ConfigurationError or SourceMismatch if only other settings help. After `start` the same is a Lost.
        """

    def start(self) -> None:
        """Begins to deliver, from a thread of its own."""

    def rest(self, seconds: float) -> None:
        """So much audio may come at a time from now on; 0, as it is at first: every period as soon as it is there."""

    def reopen(self) -> None:
        """Opens the device again although a read of it has not returned; whatever that read gives is dropped."""

    def stop(self, timeout_s: float) -> bool:
        """Ends it; False if its thread still hangs in the kernel after that long. Nothing is delivered any more."""
