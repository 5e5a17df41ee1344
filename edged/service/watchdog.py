"""When systemd's watchdog may be told that the daemon works: when it does. Pure.

The rules:
- Only progress counts: a block of audio that has come through the event loop, or, while the source says that it has
  nothing to give, a turn of its thread that looked for it. Who asks is the event loop: one that stands still tells
  nothing, whatever the threads do.
- The last progress may be half the timeout old. So a capture that hangs in the kernel, a dead thread, a hand-over that
  nobody empties or a blocked loop are noticed by their silence, and the service is killed between one and one and a
  half timeouts after its last progress.
- Zeros from a muted microphone are blocks. A microphone that is absent is looked for. A slow card is slow within half
  the timeout. A slow disk keeps a sink's thread waiting, which nothing here asks about. So none of these kills.
"""

PATIENCE = 0.5
"""How old progress may be, in timeouts: sd_watchdog_enabled(3) asks for a sign of life each half."""

OFTEN = 0.25
"""How often systemd is told, in timeouts: twice as often as it asks, so that one late turn does no harm, and once in
7.5 s at WatchdogSec=30 instead of with each of 75 blocks."""


class Watchdog:
    """`timeout_s` is `notify.watchdog_s`: None if nobody watches. Times are seconds of `time.monotonic()`."""

    def __init__(self, timeout_s: float | None, now_s: float) -> None:
        self._timeout_s = timeout_s
        self._progress_s = now_s
        self._told_s = float("-inf")

    def block(self, now_s: float) -> None:
        """A block of audio has come through the event loop."""
        self._progress_s = max(self._progress_s, now_s)

    def turn(self, thread_s: float | None, *, open: bool) -> None:  # noqa: A002  the source's own word
        """The event loop has looked at the source: when its thread last did something, and whether it is open.

        While it is open that excuses nothing: then blocks must come.
        """
        if not open and thread_s is not None:
            self._progress_s = max(self._progress_s, thread_s)

    def due(self, now_s: float) -> bool:
        """Whether to tell systemd now. Ask after each `block` and `turn`; True counts as told."""
        if self._timeout_s is None:
            return False
        if now_s - self._progress_s > PATIENCE * self._timeout_s or now_s - self._told_s < OFTEN * self._timeout_s:
            return False
        self._told_s = now_s
        return True
