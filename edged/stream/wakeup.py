"""An event with a deadline, for the one wait that there is for each block of audio.

`asyncio.timeout` around `Event.wait` makes and cancels a timer each time: as dear as sending the block.
"""

import asyncio


class Wakeup:
    """Rung by anyone, heard by one task at a time, all in one event loop."""

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Whoever waits goes on; who comes next does not wait."""
        self._rung = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """What was rung so far is known."""
        self._rung = False

    async def wait(self, by_s: float | None = None) -> None:
        """Wait until it is rung, or until the loop's clock says `by_s`; or sooner: look at what there is to do.

        A timer that was set for an earlier time is left to ring: deadlines move on with each block, and it comes
        once in the seconds that they are away.
        """
        if self._rung:
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
