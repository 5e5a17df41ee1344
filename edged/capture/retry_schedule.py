"""The schedule for reopening a device that could not be opened. Pure."""

MIN_RETRY_S = 1.0
"""Shortest wait: a device that was away for less than ten times as long is back within 2 s of its return."""
MAX_RETRY_S = 60.0
"""Longest wait: each failed opening costs CPU time in libasound, and 90 bytes that alsaaudio does not free."""
UNAVAILABLE_SHARE = 0.1
"""Wait for an absent or busy device, as a share of the outage so far: somebody may bring it back at any moment."""
FAULT_SHARE = 1.0
"""Wait for a device that is there and fails, as a share of the outage so far: the waits double."""


class RetrySchedule:
    """Says when one device is due for the next opening. The longer an outage lasts, the longer are the waits."""

    def __init__(self, min_retry_s: float = MIN_RETRY_S) -> None:
        self._min_retry_s = min_retry_s
        self._outage_since_s: float | None = None
        self._due_s = 0.0

    def record_failure(self, now_s: float, *, unavailable: bool) -> None:
        """Record that the device could not be opened, or was lost; `unavailable`: it is absent or busy."""
        if self._outage_since_s is None:
            self._outage_since_s = now_s
        wait_s = (now_s - self._outage_since_s) * (UNAVAILABLE_SHARE if unavailable else FAULT_SHARE)
        self._due_s = now_s + min(max(wait_s, self._min_retry_s), MAX_RETRY_S)

    def record_success(self) -> None:
        """Record that the device delivers: the outage is over."""
        self._outage_since_s = None

    def is_due(self, now_s: float) -> bool:
        """Return whether to open the device, if nothing calls for it earlier."""
        return now_s >= self._due_s
