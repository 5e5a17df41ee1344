"""Learns how many connections the server allows from how they end. Pure: time is an argument.

The law:
- A connection that ends, or can't be opened, while another one stays open is evidence of a limit of one. It is enough
  at once if the second was opened just before, or was refused as one too many; otherwise the third time in a row. Two
  connections that are lost together are no evidence.
- Then one connection is used: for ten minutes at first, and twice as long each time that there is new evidence.
- After that, a second one is tried only while nobody speaks: if the server ends the first for it, no words are lost.
  Two connections that are open together for a minute end the limit.
"""

from typing import Final

from edged.stream.backoff import HOLDS_S

LIMITED_S: Final = 600.0
LONGEST_S: Final = 86_400.0
"""Limits are rarely lifted, but programs that took the other connection end."""

JUST_S: Final = 5.0
"""A connection that ends within this of another's opening has ended because of it. A server may take as long to notice
that one of ours has ended."""

AT_ONCE_S: Final = 1.0
"""Connections that end within this of each other have the same cause: the network, or a restart of the server."""

TIMES: Final = 3
"""Ends in a row beside an open connection that the network does not explain any more."""

TOO_MANY: Final = frozenset({403, 409, 429, 503})
"""HTTP statuses with which servers refuse one connection too many."""

LASTING: Final = frozenset({403, 409})
"""Statuses that otherwise mean a permanent fault. The others say themselves that they are temporary, and are logged."""


class ConnectionQuota:
    """The limit of one server. Connections are identified by the objects that hold them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._until_s = float("-inf")
        self._shown = 0
        """Times the limit has shown since two connections were open together."""
        self._is_new = False
        self._opened: dict[object, float] = {}
        self._lost: set[object] = set()
        """Holders whose connection has just ended, not at our request."""
        self._beside = 0
        """Ends in a row while another connection stayed open."""
        self._failing: dict[object, float] = {}
        """Holders that can't open one beside another, and since when."""
        self._ended_s = float("-inf")

    def allowed(self, now: float, *, speaks: bool) -> int:
        """Return the number of connections to use at most; `speaks`: somebody speaks now."""
        if self._together_s(now) >= HOLDS_S:
            self._shown = self._beside = 0
        return 1 if now < self._until_s or (self._shown and speaks) else self._most

    def opened(self, holder: object, now: float) -> None:
        """Note an open connection."""
        self._opened[holder] = now
        self._failing.pop(holder, None)

    def lost(self, holder: object) -> bool:
        """Note an end that we did not ask for. Return whether another is open: then call `ended` after `AT_ONCE_S`."""
        self._lost.add(holder)
        return bool(self._opened.keys() - self._lost)

    def ended(self, holder: object, now: float, *, ours: bool) -> bool:
        """Note an end at `now`; `ours`: at our request. Return whether the server ended it in favour of another."""
        together_s = self._together_s(now)
        self._opened.pop(holder)
        self._lost.discard(holder)
        self._ended_s = now
        if ours or together_s < 0 or not self._opened.keys() - self._lost:
            return False
        self._beside = self._beside + 1 if together_s < HOLDS_S else 0
        if not self._beside or (together_s > JUST_S and self._beside < TIMES and not self._shown):
            return False
        self._show(now)
        return True

    def failed(self, holder: object, now: float, status: int | None) -> bool:
        """Note that opening failed, with an HTTP status if any. Return whether it was one connection too many."""
        if not self._opened:
            self._failing.pop(holder, None)
            if status == 429:
                self._show(now)
            return status in LASTING and self._shown > 0 and now - self._ended_s <= JUST_S
        since_s = self._failing.setdefault(holder, now)
        if status not in TOO_MANY and now - since_s < HOLDS_S:
            return False
        del self._failing[holder]
        self._show(now)
        return True

    @property
    def lasts_s(self) -> float:
        """Duration of the limit, from when it has shown last."""
        return min(LONGEST_S, LIMITED_S * 2.0 ** min(self._shown - 1, 16))

    def gone(self, holder: object) -> None:
        """Forget the connection of `holder`, without learning from its end."""
        self._opened.pop(holder, None)
        self._lost.discard(holder)

    def news(self) -> bool:
        """Return, once, whether the limit has shown for the first time since two connections were open together."""
        news, self._is_new = self._is_new, False
        return news

    def _together_s(self, now: float) -> float:
        """Return how long two connections have been open together; negative if there are not two."""
        return now - max(self._opened.values()) if len(self._opened) > 1 else -1.0

    def _show(self, now: float) -> None:
        if now >= self._until_s:  # else it is the same showing: both ends of one quarrel
            self._shown += 1
            self._is_new = self._shown == 1
            self._until_s = now + self.lasts_s
        self._beside = 0
