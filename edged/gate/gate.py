"""The gate: from verdicts on frames to what is let through. Positions only; it never sees a sample."""

from collections import deque
from collections.abc import Sequence
from math import ceil
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

    Frames come in order, and nothing is let through twice. The last of a hangover is withheld until it is known
    whether somebody goes on: if not, it was never let through, and is the pre-roll of whoever speaks next.
    """

    def __init__(self, settings: GateSettings, rate: int) -> None:
        def samples(ms: float) -> int:
            return round(ms * rate / 1000)

        self._always = not settings.enabled
        self._window_frames = max(1, settings.onset_ms // settings.frame_ms)
        # Rounded before it is rounded up: 0.1 of 30 frames is 3, not 4.
        self._needed = max(1, ceil(round(self._window_frames * settings.onset_ratio, 6)))
        self._pre_roll = samples(settings.pre_roll_ms)
        self._hangover = samples(settings.hangover_ms)
        self._longest = samples(settings.max_segment_s * 1000)
        self._bridged = samples(BRIDGED_HOLE_MS)
        self.history_samples = self._pre_roll + self._window_frames * samples(settings.frame_ms)
        """How far back a segment may begin before the frame that opens it: what the caller must keep."""
        self._withheld = min(self._pre_roll, self._hangover // 2)
        self._window: deque[Range] = deque()
        """Voiced frames that may still become an onset; only those within the window's length are counted."""
        self._window_samples = self._window_frames * samples(settings.frame_ms)
        self._floor = 0
        """Nothing before this may be let through: it was already, or it is not there."""
        self._opened_at: int | None = None
        self._let_to = 0
        """While open: from where on audio is still to be let through."""
        self._through_to = 0
        """The end of what was let through; behind `_let_to` only after a bridged hole."""
        self._voiced_to = 0
        """While open: the end of the last voiced frame (or where a forced opening began)."""
        self._end = 0

    @property
    def is_open(self) -> bool:
        """Whether the next frame is let through as it comes."""
        return self._opened_at is not None

    @property
    def let_to(self) -> int:
        """What lies before this was let through or never will be; what lies behind it may still be."""
        return self._through_to if self.is_open else self._floor

    def feed(self, start: int, frame: int, verdicts: Sequence[bool], *, forced: bool = False) -> list[GateEvent]:
        """Judge consecutive frames of `frame` samples from `start`. `forced` holds the gate open regardless.

        Raises ValueError if `start` is not where the frames before ended (or where `hole` said).
        """
        if start != self._end:
            raise ValueError(f"frames go on at {self._end}, not at {start}")
        events: list[GateEvent] = []
        voiced: list[Range] = []
        for verdict in verdicts:
            at, self._end = self._end, self._end + frame
            if self._opened_at is None:
                if verdict:
                    self._window.append((at, self._end))
                if self._onset() or forced or self._always:
                    voiced += self._open(events, at)
                continue
            if at - self._opened_at >= self._longest and (verdict or self._always):
                # Only where something is let through: a piece that stays empty would be an end that nobody sees.
                self._let(events, voiced, at)
                events += [Close(at, continues=True), Open(at)]
                self._opened_at = at
            if verdict:
                voiced.append((at, self._end))
                self._voiced_to = self._end
            if self._end >= self._voiced_to + self._hangover and not (forced or self._always):
                self._let(events, voiced, self._due(forced))
                events.append(Close(self._through_to))
                self._shut()
        if self._opened_at is not None:
            self._let(events, voiced, self._due(forced))
        return events

    def hole(self, resumes_at: int) -> list[GateEvent]:
        """Audio is missing up to `resumes_at`. A segment across a long hole ends, and a new one begins at once."""
        events: list[GateEvent] = []
        if self._opened_at is not None:
            self._let(events, [], self._end)
            if resumes_at - self._end > self._bridged:
                events += [Close(self._end), Open(resumes_at)]
                self._opened_at = self._through_to = resumes_at
            self._voiced_to += resumes_at - self._end
        self._window.clear()
        self._floor = self._let_to = self._end = resumes_at
        return events

    def finish(self) -> list[GateEvent]:
        """No frame follows: an open segment ends here."""
        events: list[GateEvent] = []
        if self._opened_at is not None:
            self._let(events, [], self._end)
            events.append(Close(self._end))
            self._shut()
        return events

    def _onset(self) -> bool:
        window = self._window
        oldest = self._end - self._window_samples
        while window and window[0][0] < oldest:
            window.popleft()
        return len(window) >= self._needed

    def _open(self, events: list[GateEvent], at: int) -> list[Range]:
        """Open for the frame at `at`; returns the voiced frames that did it."""
        window = list(self._window)
        self._window.clear()
        begin = max(self._floor, (window[0][0] if window else at) - self._pre_roll)
        self._opened_at = self._let_to = self._through_to = begin
        self._voiced_to = window[-1][1] if window else self._end - self._hangover
        events.append(Open(begin))
        return window

    def _due(self, forced: bool) -> int:
        """How far audio is let through by now; what lies beyond is withheld."""
        if self._always:
            return self._end
        sure = self._voiced_to + self._hangover
        return min(self._end, max(sure, self._end if forced else 0) - self._withheld)

    def _let(self, events: list[GateEvent], voiced: list[Range], to: int) -> None:
        if self._let_to < to:
            events.append(Through(self._let_to, to, tuple(voiced)))
            self._let_to = self._through_to = to
            voiced.clear()

    def _shut(self) -> None:
        self._opened_at = None
        self._floor = self._let_to
        self._window.clear()
