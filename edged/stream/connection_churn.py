"""Connections that come and go: told each by each as long as they are few, then summed up. Pure."""

from collections import deque
from typing import Final

from edged.stream.backoff import HOLDS_S

MANY: Final = 3
WITHIN_S: Final = 600.0
"""So many that did not hold, within so long, are one condition, and not news each."""

SUM_S: Final = 3600.0
"""How often they are summed up while it lasts."""


class ConnectionChurn:
    """Counts the connections of one link."""

    def __init__(self) -> None:
        self.high = False
        """They are told in sum: from the `MANY`th that did not hold until one does."""
        self._opened_s = 0.0
        self._short: deque[float] = deque(maxlen=MANY)
        """When the last of them were opened."""
        self._since_s = 0.0
        self._count = 0

    def opened(self, now: float) -> None:
        """A connection is open."""
        self._opened_s = now

    def holds(self, now: float) -> bool:
        """Whether the present connection may be told of as one that works. Ends the sum if it has held."""
        if self.high and now - self._opened_s >= HOLDS_S:
            self.high = False
            self._short.clear()
        return not self.high

    def ended(self, now: float) -> str | None:
        """A connection has ended. Returns what there is to say of those that did not hold, if it is news."""
        if now - self._opened_s >= HOLDS_S:
            self.holds(now)
            return None
        self._short.append(self._opened_s)
        self._count += 1
        first_s = self._short[0]
        if not self.high and len(self._short) == MANY and now - first_s <= WITHIN_S:
            self.high, self._since_s, self._count = True, now, 0
            return f"the last {MANY} connections ended within {now - first_s:.0f} s"
        if self.high and now - self._since_s >= SUM_S:
            count, lasted_s = self._count, now - self._since_s
            self._since_s, self._count = now, 0
            return f"{count} connections ended early within {lasted_s / 60:.0f} min"
        return None
