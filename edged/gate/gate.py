"""The gate: from verdicts on frames to what is let through. Positions only; it never sees a sample."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from edged.ranges import Range
from edged.settings import Gate as GateSettings

BRIDGED_HOLE_MS: Final = 50
"""A longer hole ends the segment: a word across it would be made up by the recogniser."""


class Open(NamedTuple):
    """A segment begins at `at`, which is what comes first in the next `Through`."""

    at: int


class Through(NamedTuple):
    """`[start, end)` is let through; `voiced` are the parts of it in which the detector heard a voice."""

    start: int
    end: int
    voiced: tuple[Range, ...]


class Close(NamedTuple):
    """The segment ends at `at`. `continues`: only because it was long; the next begins at the next sample."""

    at: int
    continues: bool = False


GateEvent = Open | Through | Close


class Gate:
    """Opens on an onset, stays open over a hangover, and begins a pre-roll before the first voiced frame.

    Frames come in order. Nothing is let through twice: a pre-roll is cut where the segment before it ended.
    """

    def __init__(self, settings: GateSettings, rate: int) -> None:
        def samples(ms: float) -> int:
            return round(ms * rate / 1000)

        self._always = not settings.enabled
        self._window_frames = max(1, settings.onset_ms // settings.frame_ms)
        self._needed = max(1, round(self._window_frames * settings.onset_ratio))
        self._pre_roll = samples(settings.pre_roll_ms)
        self._hangover = samples(settings.hangover_ms)
        self._longest = samples(settings.max_segment_s * 1000)
        self._bridged = samples(BRIDGED_HOLE_MS)
        self.history_samples = self._pre_roll + self._window_frames * samples(settings.frame_ms)
        """How far back a segment may begin before the frame that opens it: what the caller must keep."""
        self._window: deque[Range] = deque()
        """Voiced frames that may still become an onset; only those within the window's length are counted."""
        self._window_samples = self._window_frames * samples(settings.frame_ms)
        self._floor = 0
        """Nothing before this may be let through: it was already, or it is not there."""
        self._opened_at: int | None = None
        self._open_until = 0
        self._end = 0

    @property
    def is_open(self) -> bool:
        """Whether the next frame is let through as it comes."""
        return self._opened_at is not None

    def feed(self, start: int, frame: int, verdicts: Sequence[bool], *, forced: bool = False) -> list[GateEvent]:
        """Judge consecutive frames of `frame` samples from `start`. `forced` holds the gate open regardless.

        Raises ValueError if `start` is not where the frames before ended (or where `hole` said).
        """
        if start != self._end:
            raise ValueError(f"frames go on at {self._end}, not at {start}")
        events: list[GateEvent] = []
        through_from = start
        voiced: list[Range] = []
        for verdict in verdicts:
            at, self._end = self._end, self._end + frame
            if verdict:
                if self._opened_at is None:
                    self._window.append((at, self._end))
                elif voiced and voiced[-1][1] == at:
                    voiced[-1] = (voiced[-1][0], self._end)
                else:
                    voiced.append((at, self._end))
            if self._opened_at is None:
                if forced or self._always or self._onset():
                    through_from = self._open_at(events, voiced)
                continue
            if verdict:
                self._open_until = self._end + self._hangover
            if self._end >= self._open_until and not (forced or self._always):
                self._flush(events, through_from, voiced)
                events.append(Close(self._end))
                self._shut()
            elif self._end - self._opened_at >= self._longest:
                self._flush(events, through_from, voiced)
                events += [Close(self._end, continues=True), Open(self._end)]
                self._opened_at = through_from = self._end
        if self._opened_at is not None:
            self._flush(events, through_from, voiced)
        return events

    def hole(self, resumes_at: int) -> list[GateEvent]:
        """Audio is missing up to `resumes_at`. A segment across a long hole ends, and a new one begins at once."""
        events: list[GateEvent] = []
        missing = resumes_at - self._end
        if self._opened_at is not None and missing > self._bridged:
            events += [Close(self._end), Open(resumes_at)]
            self._opened_at = resumes_at
        self._window.clear()
        self._floor = self._end = resumes_at
        self._open_until += missing
        return events

    def finish(self) -> list[GateEvent]:
        """No frame follows: an open segment ends here."""
        events: list[GateEvent] = [Close(self._end)] if self._opened_at is not None else []
        self._shut()
        return events

    def _onset(self) -> bool:
        window = self._window
        oldest = self._end - self._window_samples
        while window and window[0][0] < oldest:
            window.popleft()
        return len(window) >= self._needed

    def _open_at(self, events: list[GateEvent], voiced: list[Range]) -> int:
        """Open now; returns where the segment begins."""
        first = self._window[0][0] if self._window else self._end
        begin = max(self._floor, first - self._pre_roll)
        self._opened_at = begin
        self._open_until = self._window[-1][1] + self._hangover if self._window else self._end
        for start, end in self._window:
            if voiced and voiced[-1][1] == start:
                voiced[-1] = (voiced[-1][0], end)
            else:
                voiced.append((start, end))
        self._window.clear()
        events.append(Open(begin))
        return begin

    def _flush(self, events: list[GateEvent], start: int, voiced: list[Range]) -> None:
        if start < self._end:
            events.append(Through(start, self._end, tuple(voiced)))
        voiced.clear()

    def _shut(self) -> None:
        self._opened_at = None
        self._floor = self._end
        self._window.clear()
