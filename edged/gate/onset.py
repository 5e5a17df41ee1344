"""Detection of an onset: enough voiced frames close together. Positions only. Pure."""

from collections import deque
from math import ceil

from edged.config.settings import GateSettings as GateSettings
from edged.model.ranges import Range


class OnsetDetector:
    """A sliding window of frames that remembers the voiced ones."""

    def __init__(self, frames: int, ratio: float, frame_samples: int, more_samples: int = 0) -> None:
        """An onset is a share of `ratio` voiced frames among the last `frames`.

        `more_samples` extends the memory beyond these frames.
        """
        frames = max(1, frames)
        # Rounded before it is rounded up: 0.1 of 30 frames is 3, not 4.
        self._min_voiced = max(1, ceil(round(frames * ratio, 6)))
        self._onset_samples = frames * frame_samples
        self.window_samples = self._onset_samples + more_samples
        """Length of the memory."""
        self._voiced: deque[Range] = deque()

    @classmethod
    def from_settings(cls, settings: GateSettings, rate: int, more_samples: int = 0) -> "OnsetDetector":
        """Make a detector as the settings define an onset."""
        frame_samples = rate * settings.frame_ms // 1000
        return cls(settings.onset_ms // settings.frame_ms, settings.onset_ratio, frame_samples, more_samples)

    def feed(self, start: int, end: int, voiced: bool) -> bool:
        """Take the next frame. Return whether the last frames are an onset."""
        if voiced:
            self._voiced.append((start, end))
        while self._voiced and self._voiced[0][0] < end - self.window_samples:
            self._voiced.popleft()
        if len(self._voiced) < self._min_voiced:
            return False
        return self._voiced[-self._min_voiced][0] >= end - self._onset_samples

    def take(self) -> list[Range]:
        """Return the voiced frames in memory, and forget them."""
        voiced = list(self._voiced)
        self._voiced.clear()
        return voiced
