"""Rules for the sign of life that systemd's watchdog gets: only while the daemon makes progress. Pure.

The rules:
- Only progress counts: a block of audio that has come through the event loop, or, while the source has nothing to
  deliver, a turn of its thread that looked for a device. The event loop gives the sign of life, so one that stands
  still gives none, whatever the threads do.
- The last progress may be half the timeout old. A capture that hangs in the kernel, a dead thread, a capture queue that
  nobody empties and a blocked loop all end progress. systemd then kills the service between one and one and a half
  timeouts after its last progress.
- Zeros from a muted microphone are blocks. The source's thread looks for a microphone that is absent. A slow card is
  slow within half the timeout. A slow disk keeps only a sink's thread waiting. So none of these ends the service.
"""

MAX_PROGRESS_AGE = 0.5
"""Greatest age of progress, in timeouts: sd_watchdog_enabled(3) asks for a sign of life each half."""

INTERVAL = 0.25
"""Interval between signs of life, in timeouts: half of what systemd asks for, so that one late turn does no harm. At
WatchdogSec=30 that is one in 7.5 s, instead of one with each of 75 blocks."""


class Watchdog:
    """Progress of the daemon, and when to give the next sign of life.

    `timeout_s` is `notify.watchdog_s`: None if nobody watches. Times are seconds of `time.monotonic()`.
    """

    def __init__(self, timeout_s: float | None, now_s: float) -> None:
        self._timeout_s = timeout_s
        self._progress_s = now_s
        self._fed_s = float("-inf")

    def block(self, now_s: float) -> None:
        """Note that a block of audio has come through the event loop."""
        self._progress_s = max(self._progress_s, now_s)

    def turn(self, thread_s: float | None, *, open: bool) -> None:  # noqa: A002  the source's own word
        """Note when the source's thread last did something (`thread_s`), and whether the source is open.

        While the source is open, only blocks count as progress.
        """
        if not open and thread_s is not None:
            self._progress_s = max(self._progress_s, thread_s)

    def due(self, now_s: float) -> bool:
        """Return whether to give a sign of life now, which then counts as given. Ask after each `block` and `turn`."""
        if self._timeout_s is None:
            return False
        if (
            now_s - self._progress_s > MAX_PROGRESS_AGE * self._timeout_s
            or now_s - self._fed_s < INTERVAL * self._timeout_s
        ):
            return False
        self._fed_s = now_s
        return True
