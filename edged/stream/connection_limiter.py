"""Limits the connections to one server: who has one, who waits, and who is asked to close one."""

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
"""Shortest turn while two users both have something to send: each turn costs a connection."""

ASK_S: Final = 5.0
"""Interval between requests to the same user to close its connection."""


class ConnectionUser(Protocol):
    """A client that has a connection, or wants one."""

    @property
    def is_urgent(self) -> bool:
        """Whether it can't wait any longer: it goes first, and is not asked to close for a user that can wait."""

    @property
    def has_live_speech(self) -> bool:
        """Whether live speech waits with it: a backlog that is not urgent is interrupted for that."""

    @property
    def waits(self) -> bool:
        """Whether it has something to send. Nobody closes for a user that would only hold a connection in silence."""

    def request_close(self, *, soon: bool) -> None:
        """End the connection for another user as soon as that costs nothing; `soon`: even if it costs something."""


class ConnectionLimiter:
    """At most `most` connections: a user that wants one more waits until another closes one. Waiting users queue.

    Where the server allows one connection, live speech and backlog take turns. Live speech waits no longer than needed.
    The backlog waits for a pause in live speech, unless it is near a bound: then it goes first. A user with nothing to
    send waits until the other is done.
    """

    def __init__(self, most: int) -> None:
        self._limit = ConnectionQuota(most)
        self._holders: dict[ConnectionUser, float] = {}
        """Users with a connection, and the time at which each got it."""
        self._waiting: list[ConnectionUser] = []
        self._changed = asyncio.Event()
        self._told: WeakKeyDictionary[ConnectionUser, set[str]] = WeakKeyDictionary()

    def told(self, holder: ConnectionUser) -> set[str]:
        """Return the reasons that `holder` has logged in its current outage. The holder adds to and clears the set."""
        return self._told.setdefault(holder, set())

    def is_told(self, reason: str) -> bool:
        """Return whether some user has logged this reason: two connections to one server fail in the same way."""
        return any(reason in told for told in self._told.values())

    async def acquire(self, holder: ConnectionUser) -> None:
        """Wait until `holder` may have a connection."""
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
        """Return whether `other` must close its connection for `holder`."""
        if holder.is_urgent or not holder.waits:
            return holder.is_urgent
        return not other.is_urgent and (not other.waits or time.monotonic() >= since_s + TURN_S)

    @property
    def _first(self) -> ConnectionUser:
        """The waiting user that is served next."""
        return min(self._waiting, key=lambda holder: (not holder.is_urgent, not holder.waits))

    @property
    def _allowed(self) -> int:
        speaks = any(holder.has_live_speech for holder in [*self._holders, *self._waiting])
        return self._limit.allowed(time.monotonic(), speaks=speaks)

    def stir(self) -> None:
        """Check again who is served next, because a waiting user may have something to send."""
        if self._waiting:
            self._changed.set()

    def release(self, holder: ConnectionUser) -> None:
        """Note that the connection of `holder` has ended, or was never opened."""
        del self._holders[holder]
        self._limit.gone(holder)
        self._changed.set()

    def opened(self, holder: ConnectionUser) -> None:
        """Note that the connection of `holder` is open."""
        self._limit.opened(holder, time.monotonic())

    async def ended(self, holder: ConnectionUser, *, ours: bool) -> bool:
        """Note that an open connection has ended; `ours`: at our request. Return whether the server allows only one."""
        now = time.monotonic()
        if not ours and self._limit.lost(holder):
            await asyncio.sleep(AT_ONCE_S)  # does the other end too?
        return self._tell(self._limit.ended(holder, now, ours=ours))

    def failed(self, holder: ConnectionUser, status: int | None) -> bool:
        """Note that opening failed, with an HTTP status if any. Return whether it was one connection too many."""
        return self._tell(self._limit.failed(holder, time.monotonic(), status))

    def _tell(self, too_many: bool) -> bool:
        if too_many and self._limit.news():
            text = (
                "the server seems to allow one connection: live speech and backlog take turns; trying two again in %s"
            )
            log.info("recogniser: %s", text % duration(self._limit.lasts_s))
        return too_many
