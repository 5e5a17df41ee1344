"""How many connections the server allows, as far as it has shown. Pure: time is an argument.

The law:
- One that ends, or can't be opened, beside another that stands shows that there may be only one: at once if the second
  was opened just before or is refused as one too many, else at the third time in a row. Two that are lost together
  show nothing.
- Then one is used, for ten minutes at first, and twice as long each time that it shows again.
- After that a second is tried only while nobody speaks: if the server ends the first for it, that costs no words. Two
  that stand together for a minute end the limit.
"""

from typing import Final

from edged.stream.backoff import HOLDS_S

LIMITED_S: Final = 600.0
LONGEST_S: Final = 86_400.0
"""Limits are rarely lifted, but programs that took the other connection end."""

JUST_S: Final = 5.0
"""A connection that ends so soon after another was opened has ended because of it. A server may take as long to notice
that one of ours has ended."""

AT_ONCE_S: Final = 1.0
"""Connections that end within so long have the same cause: the network's, or a server that starts again."""

TIMES: Final = 3
"""So many ends in a row beside another are none of the network's."""

TOO_MANY: Final = frozenset({403, 409, 429, 503})
"""HTTP statuses with which servers refuse one connection too many."""

LASTING: Final = frozenset({403, 409})
"""Those of them that otherwise mean a fault that stays. The others say themselves that it passes, and are told."""


class ConnectionQuota:
    """Holders are told by their identity."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._until_s = float("-inf")
        self._shown = 0
        """How often the limit has shown since two stood together."""
        self._is_new = False
        self._opened: dict[object, float] = {}
        self._lost: set[object] = set()
        """Those of them that have just ended, unasked."""
        self._beside = 0
        """Ends in a row beside another."""
        self._failing: dict[object, float] = {}
        """Since when one can't be opened beside another."""
        self._ended_s = float("-inf")

    def allowed(self, now: float, *, speaks: bool) -> int:
        """How many connections there may be; `speaks`: somebody does now."""
        if self._together_s(now) >= HOLDS_S:
            self._shown = self._beside = 0
        return 1 if now < self._until_s or (self._shown and speaks) else self._most

    def opened(self, holder: object, now: float) -> None:
        """A connection is open."""
        self._opened[holder] = now
        self._failing.pop(holder, None)

    def lost(self, holder: object) -> bool:
        """A connection has ended, unasked. True if another stands: `ended` had better wait for `AT_ONCE_S`."""
        self._lost.add(holder)
        return bool(self._opened.keys() - self._lost)

    def ended(self, holder: object, now: float, *, ours: bool) -> bool:
        """A connection ended at `now`; `ours`: as we asked for. True if that was for the sake of another."""
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
        """No connection could be opened, with this HTTP status if any. True if that is one too many."""
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
        """From when it has shown last."""
        return min(LONGEST_S, LIMITED_S * 2.0 ** min(self._shown - 1, 16))

    def gone(self, holder: object) -> None:
        """It has no connection any more, and nothing is to be learned from that."""
        self._opened.pop(holder, None)
        self._lost.discard(holder)

    def news(self) -> bool:
        """Whether it has shown for the first time since two stood together; asked once."""
        news, self._is_new = self._is_new, False
        return news

    def _together_s(self, now: float) -> float:
        """How long two have stood together; negative if there are not two."""
        return now - max(self._opened.values()) if len(self._opened) > 1 else -1.0

    def _show(self, now: float) -> None:
        if now >= self._until_s:  # else it is the same showing: both ends of one quarrel
            self._shown += 1
            self._is_new = self._shown == 1
            self._until_s = now + self.lasts_s
        self._beside = 0
