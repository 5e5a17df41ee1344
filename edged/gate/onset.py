"""An onset: enough voiced frames close together. Positions only. Pure."""

from collections import deque
from math import ceil

from edged.config.settings import GateSettings as GateSettings
from edged.model.ranges import Range


class OnsetDetector:
    """Remembers the voiced ones among the last frames."""

    def __init__(self, frames: int, ratio: float, frame: int, more: int = 0) -> None:
        """`ratio` of so many frames, each of `frame` samples, make an onset; `more` samples beyond are remembered."""
        frames = max(1, frames)
        # Rounded before it is rounded up: 0.1 of 30 frames is 3, not 4.
        self._needed = max(1, ceil(round(frames * ratio, 6)))
        self._counted = frames * frame
        self.window = self._counted + more
        """How far back it remembers, in samples."""
        self._voiced: deque[Range] = deque()

    @classmethod
    def of(cls, settings: GateSettings, rate: int, more: int = 0) -> "OnsetDetector":
        """As the settings have it."""
        frame = rate * settings.frame_ms // 1000
        return cls(settings.onset_ms // settings.frame_ms, settings.onset_ratio, frame, more)

    def feed(self, start: int, end: int, voiced: bool) -> bool:
        """Take the next frame; whether enough of them were voiced."""
        if voiced:
            self._voiced.append((start, end))
        while self._voiced and self._voiced[0][0] < end - self.window:
            self._voiced.popleft()
        if len(self._voiced) < self._needed:
            return False
        return self._voiced[-self._needed][0] >= end - self._counted

    def take(self) -> list[Range]:
        """The voiced frames remembered, which are forgotten then."""
        voiced = list(self._voiced)
        self._voiced.clear()
        return voiced
