"""What the log says of speech that waits: how much it is, and when it will be done. Pure: time is an argument."""

from typing import Final, NamedTuple

EVERY_S: Final = 60.0
"""How often it is told while there is one."""


class BacklogTrend(NamedTuple):
    """What there is to say."""

    left_s: float
    done_s: float | None
    """When it is done, if it goes on so; None: it does not shrink."""


class BacklogReport:
    """Compares what waits with what waited when it was told of last."""

    def __init__(self, least_s: float, now_s: float) -> None:
        """Less than `least_s` is none."""
        self._least_s = least_s
        self._at_s, self._before_s = now_s, 0.0

    def found(self, length_s: float) -> None:
        """An earlier run has left so much: more waits now, but that is no sign of growth."""
        self._before_s += length_s

    def look(self, now_s: float, left_s: float) -> BacklogTrend | None:
        """To be called every few seconds with how much waits; what to tell, if it is time for it."""
        passed_s = now_s - self._at_s
        if passed_s < EVERY_S:
            return None
        shrunk_s = self._before_s - left_s
        self._at_s, self._before_s = now_s, left_s
        if left_s < self._least_s:
            return None
        return BacklogTrend(left_s, left_s / shrunk_s * passed_s if shrunk_s > 0 else None)
