"""What connections to one server share: how many there may be at a time, who has them, and what was told of it."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from edged.service.log import duration
from edged.stream.connection_quota import AT_ONCE_S, ConnectionQuota

log = logging.getLogger(__name__)

TURN_S: Final = 15.0
"""Two that both have something to send change after so long at the earliest: each turn costs a connection."""

ASK_S: Final = 5.0
"""How often one who holds a connection is asked again to leave."""


class ConnectionUser(Protocol):
    """Has a connection, or wants one."""

    @property
    def is_urgent(self) -> bool:
        """It can't wait any longer: it goes before all others, and is not asked to leave for one that can."""

    @property
    def has_live_speech(self) -> bool:
        """What is being said now waits with it: for that a backlog that does not press is broken off."""

    @property
    def waits(self) -> bool:
        """It has something to send. Nobody leaves for one that would only hold a connection in silence."""

    def request_close(self, *, soon: bool) -> None:
        """Somebody else waits: end it as soon as that costs nothing; `soon`: even if it costs something."""


class ConnectionLimiter:
    """`most` connections; who wants one more waits until another leaves, in order: who left comes last.

    With one for both, live speech and backlog take turns so: live speech waits no longer than it must, and the backlog
    for a pause, unless it comes near a bound: then it goes first. One that is silent waits until the other is done.
    """

    def __init__(self, most: int) -> None:
        self._limit = ConnectionQuota(most)
        self._holders: dict[ConnectionUser, float] = {}
        """And since when."""
        self._waiting: list[ConnectionUser] = []
        self._changed = asyncio.Event()
        self._told: WeakKeyDictionary[ConnectionUser, set[str]] = WeakKeyDictionary()

    def told(self, holder: ConnectionUser) -> set[str]:
        """What `holder` has told of its present outage: its own to fill and to clear."""
        return self._told.setdefault(holder, set())

    def is_told(self, reason: str) -> bool:
        """Whether somebody has: two connections to one server fail in the same way."""
        return any(reason in told for told in self._told.values())

    async def acquire(self, holder: ConnectionUser) -> None:
        """Returns when there is a connection for `holder`."""
        self._waiting.append(holder)
        try:
            while self._first is not holder or len(self._holders) >= self._allowed:
                for other, since_s in self._holders.items():
                    if self._is_asked(other, since_s, holder):
                        other.request_close(soon=holder.is_urgent or holder.has_live_speech)
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_S):
                        await self._changed.wait()
            self._holders[holder] = time.monotonic()
        finally:
            self._waiting.remove(holder)
            self._changed.set()

    def _is_asked(self, other: ConnectionUser, since_s: float, holder: ConnectionUser) -> bool:
        """Whether the other is to leave for this one."""
        if holder.is_urgent or not holder.waits:
            return holder.is_urgent
        return not other.is_urgent and (not other.waits or time.monotonic() >= since_s + TURN_S)

    @property
    def _first(self) -> ConnectionUser:
        """Of those who wait."""
        return min(self._waiting, key=lambda holder: (not holder.is_urgent, not holder.waits))

    @property
    def _allowed(self) -> int:
        speaks = any(holder.has_live_speech for holder in [*self._holders, *self._waiting])
        return self._limit.allowed(time.monotonic(), speaks=speaks)

    def stir(self) -> None:
        """Something may be there to send for one who waits."""
        if self._waiting:
            self._changed.set()

    def release(self, holder: ConnectionUser) -> None:
        """The connection has ended, or did not come about."""
        del self._holders[holder]
        self._limit.gone(holder)
        self._changed.set()

    def opened(self, holder: ConnectionUser) -> None:
        """The connection is open."""
        self._limit.opened(holder, time.monotonic())

    async def ended(self, holder: ConnectionUser, *, ours: bool) -> bool:
        """The open connection has ended; `ours`: as we asked for. True if the server allows only one."""
        now = time.monotonic()
        if not ours and self._limit.lost(holder):
            await asyncio.sleep(AT_ONCE_S)  # does the other end too?
        return self._tell(self._limit.ended(holder, now, ours=ours))

    def failed(self, holder: ConnectionUser, status: int | None) -> bool:
        """It could not be opened, with this HTTP status if any. True if it was one too many."""
        return self._tell(self._limit.failed(holder, time.monotonic(), status))

    def _tell(self, too_many: bool) -> bool:
        if too_many and self._limit.news():
            text = (
                "the server seems to allow one connection: live speech and backlog take turns; trying two again in %s"
            )
            log.info("recogniser: %s", text % duration(self._limit.lasts_s))
        return too_many
