"""Connection churn: short connections are logged one by one while they are few, then summed up. Pure."""

from collections import deque
from typing import Final

from edged.stream.backoff import HOLDS_S

MANY: Final = 3
WITHIN_S: Final = 600.0
"""A period with `MANY` short connections is one condition, logged as such."""

SUM_S: Final = 3600.0
"""Interval between the summaries while the condition lasts."""


class ConnectionChurn:
    """Count of the short connections of one client."""

    def __init__(self) -> None:
        self.high = False
        """Connections are logged in sum: from the `MANY`th short one until one holds."""
        self._opened_s = 0.0
        self._short: deque[float] = deque(maxlen=MANY)
        """Opening times of the last short connections."""
        self._since_s = 0.0
        self._count = 0

    def opened(self, now: float) -> None:
        """Note that a connection is open."""
        self._opened_s = now

    def holds(self, now: float) -> bool:
        """Return whether to log the present connection as one that works; end the summary if it has held."""
        if self.high and now - self._opened_s >= HOLDS_S:
            self.high = False
            self._short.clear()
        return not self.high

    def ended(self, now: float) -> str | None:
        """Note that a connection has ended; return a summary of the short ones if it is due."""
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
