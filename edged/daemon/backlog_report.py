"""Log line on the backlog: how much speech waits, and when it will be transcribed."""

import logging
from typing import Final, NamedTuple

from edged.model.message_ids import MessageId
from edged.service.log import duration

log = logging.getLogger("edged")

INTERVAL_S: Final = 60.0
"""Interval between two lines while there is a backlog."""


class BacklogTrend(NamedTuple):
    """Seconds of speech that wait, and how fast they shrink."""

    left_s: float
    done_s: float | None
    """Time until none is left, at the present pace; None if it does not shrink."""


class BacklogReport:
    """Comparison of the backlog with that of the last report."""

    def __init__(self, least_s: float, now_s: float) -> None:
        """A backlog shorter than `least_s` is not reported."""
        self._least_s = least_s
        self._reported_s, self._before_s = now_s, 0.0

    def found(self, length_s: float) -> None:
        """Add backlog that an earlier run left, which is no sign of growth."""
        self._before_s += length_s

    def trend(self, now_s: float, left_s: float) -> BacklogTrend | None:
        """Return the trend if a report is due, with `left_s` waiting now; to be called every few seconds."""
        passed_s = now_s - self._reported_s
        if passed_s < INTERVAL_S:
            return None
        shrunk_s = self._before_s - left_s
        self._reported_s, self._before_s = now_s, left_s
        if left_s < self._least_s:
            return None
        return BacklogTrend(left_s, left_s / shrunk_s * passed_s if shrunk_s > 0 else None)

    def log(self, now_s: float, left_s: float, connection: str) -> None:
        """Log the trend if that is due, with the state of the `connection` if the backlog does not shrink."""
        trend = self.trend(now_s, left_s)
        if trend is None:
            return
        left = duration(trend.left_s)
        if trend.done_s is not None:
            log.info("backlog: %s of speech, done in about %s", left, duration(trend.done_s))
        else:
            text = "backlog: %s of speech, and it does not shrink (%s)"
            log.warning(text, left, connection, extra={"message_id": MessageId.BACKLOG})
