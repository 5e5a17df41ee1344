"""An event with a deadline, for the one wait that there is for each block of audio.

`asyncio.timeout` around `Event.wait` makes and cancels a timer each time: as dear as sending the block.
"""

import asyncio


class Wakeup:
    """Event with a deadline: set by any task, waited for by one task at a time, all in one event loop."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Wake the waiter, or make the next wait return at once."""
        self._is_set = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Clear the event, so that the next wait blocks."""
        self._is_set = False

    async def wait(self, by_s: float | None = None) -> None:
        """Wait until the event is set or the loop's clock reaches `by_s`; can return sooner, so check the deadline.

        A timer for an earlier time keeps running: deadlines move with each block, and it fires once in seconds.
        """
        if self._is_set:
            return
        loop = asyncio.get_running_loop()
        if by_s is not None and (self._timer is None or by_s < self._timer.when()):
            if self._timer:
                self._timer.cancel()
            self._timer = loop.call_at(by_s, self._alarm)
        self._waiter = loop.create_future()
        await self._waiter

    def _alarm(self) -> None:
        self._timer = None
        self.set()
