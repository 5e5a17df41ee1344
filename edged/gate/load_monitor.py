"""Whether this machine keeps up with its detectors. Pure: time is an argument."""

from typing import Final

OVERLOAD_S: Final = 3.0
"""Lag from which the machine is too slow. The capture queue holds 10 s (`MAX_QUEUED_S`) before audio is lost."""


class LoadMonitor:
    """The lag of judging behind the audio, as far as its own duration causes it."""

    def __init__(self) -> None:
        self._lag_s = 0.0
        self.late_s = 0.0
        """Amount of audio that was judged after the next block had come."""

    def add(self, length_s: float, took_s: float) -> bool:
        """Take the length of a block and the time to judge it. Return whether this machine is too slow."""
        self._lag_s = max(0.0, self._lag_s + took_s - length_s)
        if self._lag_s > length_s:
            self.late_s += length_s
        return self._lag_s >= OVERLOAD_S
