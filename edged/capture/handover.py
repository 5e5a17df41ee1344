"""From the capture thread to the event loop: bounded, in order, and never in the way of the microphone."""

from collections import deque
from collections.abc import Callable
from threading import Lock

from edged.audio import BYTES_PER_SAMPLE, Block, Captured

BLOCKS = 100
"""Default bound: 10 s of 100 ms blocks (320 kB). A loop that stands still for longer is restarted by its watchdog."""

COMPANY = 5
"""So many blocks that may wait are handed over together: in a quiet room the loop wakes twice a second."""


class HandOver:
    """Takes items from one thread and gives them to another, in order.

    At the bound the oldest Block goes; news (everything that is no Block) is never dropped. What was dropped shows
    twice: as a gap between the positions of the Blocks around it, and in `dropped_samples`.
    """

    def __init__(
        self,
        wake: Callable[[], object],
        blocks: int = BLOCKS,
        *,
        may_wait: Callable[[Block], bool] = lambda _: False,
    ) -> None:
        """`wake` is called from the putting thread when something waits and no call is pending; it must not block.

        It is `lambda: loop.call_soon_threadsafe(on_captured)`, where `on_captured` calls `take()`. Blocks that
        `may_wait`, which is asked in the putting thread too, do so until `COMPANY` of them are there.
        """
        self._wake = wake
        self._bound = blocks
        self._may_wait = may_wait
        self._lock = Lock()
        self._items: deque[Captured] = deque()
        self._blocks = 0
        self._pending = False
        self.dropped_samples = 0

    def put(self, item: Captured) -> None:
        """Adds an item; never waits for the taker."""
        patient = isinstance(item, Block) and self._may_wait(item)
        with self._lock:
            self._items.append(item)
            if isinstance(item, Block):
                self._blocks += 1
                if self._blocks > self._bound:
                    self._drop_oldest()
            if self._pending or (patient and self._blocks < COMPANY):
                return
            self._pending = True
        self._wake()

    def take(self) -> list[Captured]:
        """Everything that waits, oldest first; the next `put` wakes again."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            self._blocks = 0
            self._pending = False
        return items

    def _drop_oldest(self) -> None:
        for index, item in enumerate(self._items):
            if isinstance(item, Block):
                del self._items[index]
                self._blocks -= 1
                self.dropped_samples += len(item.pcm) // BYTES_PER_SAMPLE
                return
