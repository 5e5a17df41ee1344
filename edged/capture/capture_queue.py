"""From the capture thread to the event loop: bounded, in order, and never in the way of the microphone."""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from edged.model.audio import BYTES_PER_SAMPLE, Block, SourceEvent

HELD_S: Final = 10.0
"""The bound, 320 kB at 16 kHz. A loop that stands still for much longer is restarted by its watchdog."""


class CaptureQueue:
    """Takes items from one thread and gives them to another, in order.

    At the bound, `HELD_S` whatever the blocks' length, the oldest Block goes; news (everything that is no Block) is
    never dropped. What was dropped shows twice: as a gap between the positions of the Blocks around it, and in
    `dropped_samples`.
    """

    def __init__(self, wake: Callable[[], object], rate: int) -> None:
        """`wake` is called from the putting thread when something waits and no call is pending; it must not block.

        It is `lambda: loop.call_soon_threadsafe(on_captured)`, where `on_captured` calls `take()`.
        """
        self._wake = wake
        self._bound = round(HELD_S * rate)
        self._lock = Lock()
        self._items: deque[SourceEvent] = deque()
        self._samples = 0
        self._pending = False
        self.dropped_samples = 0

    def put(self, item: SourceEvent) -> None:
        """Adds an item; never waits for the taker."""
        with self._lock:
            self._items.append(item)
            if isinstance(item, Block):
                self._samples += _length(item)
                while self._samples > self._bound:
                    self._drop_oldest()
            if self._pending:
                return
            self._pending = True
        self._wake()

    def take(self) -> list[SourceEvent]:
        """Everything that waits, oldest first; the next `put` wakes again."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            self._samples = 0
            self._pending = False
        return items

    def _drop_oldest(self) -> None:
        for index, item in enumerate(self._items):
            if isinstance(item, Block):
                del self._items[index]
                self._samples -= _length(item)
                self.dropped_samples += _length(item)
                return


def _length(block: Block) -> int:
    return len(block.pcm) // BYTES_PER_SAMPLE
