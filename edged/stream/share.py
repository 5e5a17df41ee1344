"""What connections to one server share: how many there may be at a time, who has them, and what was told of it."""

import asyncio
import time
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakKeyDictionary

LIMITED_S: Final = 600.0
"""After the server has said that there are too many, one is used for so long: limits are rarely lifted in less."""

ASK_S: Final = 5.0
"""How often one who holds a connection is asked again to leave."""


class Holder(Protocol):
    """Has a connection, or wants one."""

    @property
    def presses(self) -> bool:
        """It can't wait any longer: it goes before all others, and is not asked to leave for one that can."""

    @property
    def speaks(self) -> bool:
        """What is being said now waits with it: for that a backlog that does not press is broken off."""

    def leave(self, *, soon: bool) -> None:
        """Somebody else waits: end it as soon as that costs nothing; `soon`: even if it costs something."""


class Share:
    """`most` connections; who wants one more waits until another leaves, in order: who left comes last.

    With one for both, live speech and backlog take turns so: live speech waits no longer than it must, and the backlog
    for a pause, unless it comes near a bound: then it goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limited_until = float("-inf")
        self._holders: list[Holder] = []
        self._waiting: list[Holder] = []
        self._changed = asyncio.Event()
        self._told: WeakKeyDictionary[Holder, set[str]] = WeakKeyDictionary()

    def told(self, holder: Holder) -> set[str]:
        """What `holder` has told of its present outage: its own to fill and to clear."""
        return self._told.setdefault(holder, set())

    def is_told(self, reason: str) -> bool:
        """Whether somebody has: two connections to one server fail in the same way."""
        return any(reason in told for told in self._told.values())

    async def take(self, holder: Holder) -> None:
        """Returns when there is a connection for `holder`."""
        self._waiting.append(holder)
        try:
            while self._first is not holder or len(self._holders) >= self._allowed:
                for other in self._holders:
                    if holder.presses or not other.presses:
                        other.leave(soon=holder.presses or holder.speaks)
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_S):
                        await self._changed.wait()
            self._holders.append(holder)
        finally:
            self._waiting.remove(holder)
            self._changed.set()

    @property
    def _first(self) -> Holder:
        """Of those who wait."""
        return next((holder for holder in self._waiting if holder.presses), self._waiting[0])

    @property
    def _allowed(self) -> int:
        return 1 if time.monotonic() < self._limited_until else self._most

    def give(self, holder: Holder) -> None:
        """The connection has ended, or did not come about."""
        self._holders.remove(holder)
        self._changed.set()

    def limited(self) -> None:
        """The server says that there are too many."""
        self._limited_until = time.monotonic() + LIMITED_S
