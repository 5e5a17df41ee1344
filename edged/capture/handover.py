"""From the capture thread to the event loop: bounded, in order, and never in the way of the microphone."""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from edged.audio import BYTES_PER_SAMPLE, Block, Captured

HELD_S: Final = 10.0
"""The bound, 320 kB at 16 kHz. A loop that stands still for much longer is restarted by its watchdog."""

COMPANY_S: Final = 0.5
"""So much that may wait is handed over together: in a quiet room the loop wakes twice a second. A voice that the gate
hears and `may_wait` does not is late by no more than that."""


class HandOver:
    """Takes items from one thread and gives them to another, in order.

    At the bound, `HELD_S` whatever the blocks' length, the oldest Block goes; news (everything that is no Block) is
    never dropped. What was dropped shows twice: as a gap between the positions of the Blocks around it, and in
    `dropped_samples`.
    """

    def __init__(
        self,
        wake: Callable[[], object],
        rate: int,
        *,
        may_wait: Callable[[Block], bool] = lambda _: False,
    ) -> None:
        """`wake` is called from the putting thread when something waits and no call is pending; it must not block.

        It is `lambda: loop.call_soon_threadsafe(on_captured)`, where `on_captured` calls `take()`. Blocks that
        `may_wait`, which is asked in the putting thread too, do so until there are `COMPANY_S` of them.
        """
        self._wake = wake
        self._bound, self._company = round(HELD_S * rate), round(COMPANY_S * rate)
        self._may_wait = may_wait
        self._lock = Lock()
        self._items: deque[Captured] = deque()
        self._samples = 0
        self._pending = False
        self.dropped_samples = 0

    def put(self, item: Captured) -> None:
        """Adds an item; never waits for the taker."""
        patient = isinstance(item, Block) and self._may_wait(item)
        with self._lock:
            self._items.append(item)
            if isinstance(item, Block):
                self._samples += _length(item)
                while self._samples > self._bound:
                    self._drop_oldest()
            if self._pending or (patient and self._samples < self._company):
                return
            self._pending = True
        self._wake()

    def take(self) -> list[Captured]:
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
