"""Whether this machine keeps up with its detectors. Pure: time is an argument."""

from typing import Final

TOO_LATE_S: Final = 3.0
"""So far behind, it does not catch up any more; the hand-over holds 10 s for it (`HELD_S`), and then audio is lost."""


class LoadMonitor:
    """Follows how far judging lags behind the audio, by what it takes alone."""

    def __init__(self) -> None:
        self._behind_s = 0.0
        self.late_s = 0.0
        """Audio that was judged late: later than the block after it had come."""

    def add(self, length_s: float, took_s: float) -> bool:
        """A block of `length_s` took so long. Whether this machine is too slow."""
        self._behind_s = max(0.0, self._behind_s + took_s - length_s)
        if self._behind_s > length_s:
            self.late_s += length_s
        return self._behind_s >= TOO_LATE_S
