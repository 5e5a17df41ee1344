"""The interface of an audio source, and its counters. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edged.model.audio import SourceEvent, SourceLost

Deliver = Callable[[SourceEvent], None]
"""Takes each event from the source's own thread, in order, and must not block: `CaptureQueue.put`."""


@dataclass(slots=True)
class CaptureCounters:
    """Counters of one source, written by its thread alone. Any thread may read them at any time."""

    blocks: int = 0
    overruns: int = 0
    lost_samples: int = 0
    """Estimated number of samples lost in overruns and while the device was away."""
    openings: int = 0
    """Number of `SourceOpened` events; a device that opens but delivers no block does not count."""
    peak: int = 0
    """Largest magnitude since the start, 0 to 32768."""
    clipped_samples: int = 0
    dc_offset: int = 0
    """Mean of the last block that clipped."""
    last_block_s: float | None = None
    """`time.monotonic()` of the last block, or of opening the device; None while no device is open."""
    heartbeat_s: float | None = None
    """`time.monotonic()` when the thread last looked for an absent device, or last began to open one."""


class Source(Protocol):
    """A microphone or recording that delivers audio from `start` to `stop`. One object serves one run."""

    @property
    def counters(self) -> CaptureCounters:
        """Return the counters, which stay up to date while the source runs."""

    def check(self) -> SourceLost | None:
        """Open what the settings ask for, before `start`, and close it again.

        Returns what is missing at the moment, for a device that may still appear (absent or busy), or None.
        Raises ConfigurationError or SourceMismatchError if only other settings help. After `start`, the source reports
        the same faults as SourceLost.
        """

    def start(self) -> None:
        """Start a thread that delivers events."""

    def set_read_interval(self, seconds: float) -> None:
        """Let audio accumulate for this long between reads; 0, the default: read each period when it is complete."""

    def reopen(self) -> None:
        """Open the device again although a read of it hangs. Audio that this read still returns is dropped."""

    def stop(self, timeout_s: float) -> bool:
        """Stop delivering events. Return False if the thread still hangs in the kernel after the timeout."""
