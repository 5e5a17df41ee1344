"""When to open a device again that could not be opened. Pure."""

SHORTEST_S = 1.0
"""A device that was away for less than ten times as long is back within 2 s of its return."""
LONGEST_S = 60.0
"""Each failing opening costs libasound's time, and 90 bytes that alsaaudio does not give back."""
AWAY_SHARE = 0.1
"""Of an outage's length, for a device that is absent or busy: somebody may bring it back at any moment."""
FAULT_SHARE = 1.0
"""For one that is there and fails: the waits double."""


class RetrySchedule:
    """Of one device. The longer an outage lasts, the longer are the waits between its openings."""

    def __init__(self, shortest_s: float = SHORTEST_S) -> None:
        self._shortest_s = shortest_s
        self._since_s: float | None = None
        self._due_s = 0.0

    def failed(self, now_s: float, *, away: bool) -> None:
        """Note that it could not be opened, or was lost."""
        if self._since_s is None:
            self._since_s = now_s
        wait_s = (now_s - self._since_s) * (AWAY_SHARE if away else FAULT_SHARE)
        self._due_s = now_s + min(max(wait_s, self._shortest_s), LONGEST_S)

    def worked(self) -> None:
        """Note that it delivers: the outage is over."""
        self._since_s = None

    def is_due(self, now_s: float) -> bool:
        """Whether to open it, if nothing speaks for an earlier time."""
        return now_s >= self._due_s
