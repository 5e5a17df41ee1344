"""The queue from the capture thread to the event loop: bounded, in order, and never in the way of the microphone."""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from edged.model.audio import BYTES_PER_SAMPLE, Block, SourceEvent

MAX_QUEUED_S: Final = 10.0
"""Bound of the queue, 320 kB at 16 kHz. The watchdog restarts a loop that stands still for much longer."""


class CaptureQueue:
    """Takes events from one thread and gives them to another, in order.

    At the bound, `MAX_QUEUED_S` whatever the blocks' length, it drops the oldest Block; it never drops another event. A
    drop shows twice: as a hole between the positions of the Blocks around it, and in `dropped_samples`.
    """

    def __init__(self, wake: Callable[[], object], rate: int) -> None:
        """`wake` is called from the putting thread when something waits and no call is pending; it must not block.

        It is `lambda: loop.call_soon_threadsafe(on_captured)`, where `on_captured` calls `take()`.
        """
        self._wake = wake
        self._max_samples = round(MAX_QUEUED_S * rate)
        self._lock = Lock()
        self._events: deque[SourceEvent] = deque()
        self._samples = 0
        self._wake_pending = False
        self.dropped_samples = 0

    def put(self, event: SourceEvent) -> None:
        """Add an event, without waiting for the thread that takes it."""
        with self._lock:
            self._events.append(event)
            if isinstance(event, Block):
                self._samples += _samples(event)
                while self._samples > self._max_samples:
                    self._drop_oldest_block()
            if self._wake_pending:
                return
            self._wake_pending = True
        self._wake()

    def take(self) -> list[SourceEvent]:
        """Remove and return all events, oldest first; the next `put` wakes the loop again."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
            self._samples = 0
            self._wake_pending = False
        return events

    def _drop_oldest_block(self) -> None:
        for index, event in enumerate(self._events):
            if isinstance(event, Block):
                del self._events[index]
                self._samples -= _samples(event)
                self.dropped_samples += _samples(event)
                return


def _samples(block: Block) -> int:
    return len(block.pcm) // BYTES_PER_SAMPLE
