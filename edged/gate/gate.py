"""The gate: from verdicts on frames to the ranges that pass. Positions only; it never sees a sample. Pure.

The gate opens on an onset, passes a pre-roll before the first voiced frame, and stays open through a hangover after the
last one. What passes from its opening to its closing is a segment.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from edged.config.settings import GateSettings as GateSettings
from edged.gate.onset import OnsetDetector
from edged.model.ranges import Range

BRIDGED_HOLE_MS: Final = 50
"""Longest hole within a segment: the recogniser would invent a word across a longer one."""


class SegmentOpened(NamedTuple):
    """A segment begins at `at`, where the next PassedRange begins."""

    at: int


class PassedRange(NamedTuple):
    """The range `[start, end)` passes; `voiced` are its voiced parts, joined where they are adjacent."""

    start: int
    end: int
    voiced: tuple[Range, ...]


class SegmentClosed(NamedTuple):
    """The segment ends at `at`. If it `continues`, it only became too long: the next one begins at the next sample."""

    at: int
    continues: bool = False


GateEvent = SegmentOpened | PassedRange | SegmentClosed


class Opinion(NamedTuple):
    """The judgement of a second detector on a frame that webrtcvad has judged."""

    is_speech: bool
    """Somebody speaks, so the frame shall pass."""
    onset: int
    """Position at which that speech began."""


class Gate:
    """Decides which frames pass, in order and none of them twice.

    The last part of a hangover is withheld until it is known whether speech goes on. If not, it does not pass, and can
    be the pre-roll of the next segment.
    """

    def __init__(self, settings: GateSettings, rate: int, *, look_back: int | None = None) -> None:
        """With `look_back`, opinions open the gate and hold it open, up to so many samples after the onset."""

        def samples(ms: float) -> int:
            return round(ms * rate / 1000)

        self._pass_all = not settings.enabled
        self._needs_opinion = look_back is not None
        self._onset = OnsetDetector.from_settings(settings, rate, more_samples=look_back or 0)
        self._pre_roll = samples(settings.pre_roll_ms)
        self._hangover = samples(settings.hangover_ms)
        self._max_segment = samples(settings.max_segment_s * 1000)
        self._max_bridged_hole = samples(BRIDGED_HOLE_MS)
        self.history_samples = self._pre_roll + self._onset.window_samples
        """Longest distance from the begin of a segment to the frame that opens it: the caller must keep that audio."""
        self._withheld = min(self._pre_roll, self._hangover // 2)
        self._earliest_begin = 0
        """Position before which nothing may pass: it has passed, or it is missing."""
        self._segment_begin: int | None = None
        """Begin of the open segment, or of its last piece; None while the gate is closed."""
        self._next_to_pass = 0
        """Position of the first sample of the segment that has not passed yet."""
        self._passed_to = 0
        """End of what has passed; it is before `_next_to_pass` only after a bridged hole."""
        self._held_open_to = 0
        """End of the last frame that holds the gate open, or the position where a forced opening began."""
        self._voiced: deque[Range] = deque()
        """Voiced frames of the segment from `_next_to_pass` on."""
        self._end = 0

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._segment_begin is not None

    @property
    def passed_to(self) -> int:
        """Position before which everything has passed or never will; audio after it may still pass."""
        return self._passed_to if self.is_open else max(self._earliest_begin, self._end - self.history_samples)

    def ignore_opinions(self) -> None:
        """Decide by the verdicts of webrtcvad alone from now on."""
        self._needs_opinion = False

    def require_opinions(self) -> None:
        """Decide by opinions from now on."""
        self._needs_opinion = True

    def feed(
        self, start: int, frame: int, verdicts: Sequence[bool], *, forced: bool = False, opinion: Opinion | None = None
    ) -> list[GateEvent]:
        """Judge consecutive frames of `frame` samples from `start`. `forced` holds the gate open in any case.

        A voiced frame always counts as voiced. If the gate needs opinions, only the `opinion` opens it and holds it
        open. Raises ValueError if `start` is not the end of the frames before (or the end of the hole after them).
        """
        if start != self._end:
            raise ValueError(f"frames go on at {self._end}, not at {start}")
        events: list[GateEvent] = []
        for verdict in verdicts:
            at, self._end = self._end, self._end + frame
            is_speech = opinion is not None and opinion.is_speech if self._needs_opinion else verdict
            if self._segment_begin is None:
                onset = self._onset.feed(at, self._end, verdict)
                if (is_speech if self._needs_opinion else onset) or forced or self._pass_all:
                    self._open(events, at, opinion)
                continue
            if at - self._segment_begin >= self._max_segment and (is_speech or self._pass_all):
                # Only where something passes: nobody would notice the end of an empty piece.
                self._pass(events, at)
                events += [SegmentClosed(at, continues=True), SegmentOpened(at)]
                self._segment_begin = at
            if verdict:
                self._voiced.append((at, self._end))
            if is_speech:
                self._held_open_to = self._end
            if self._end >= self._held_open_to + self._hangover and not (forced or self._pass_all):
                self._pass(events, self._pass_limit(forced))
                events.append(SegmentClosed(self._passed_to))
                self._close()
        if self._segment_begin is not None:
            self._pass(events, self._pass_limit(forced))
        return events

    def skip_hole(self, resumes_at: int) -> list[GateEvent]:
        """Skip missing audio up to `resumes_at`. A long hole ends an open segment, and a new one begins after it."""
        events: list[GateEvent] = []
        if self._segment_begin is not None:
            self._pass(events, self._end)
            if resumes_at - self._end > self._max_bridged_hole:
                events += [SegmentClosed(self._end), SegmentOpened(resumes_at)]
                self._segment_begin = self._passed_to = resumes_at
            self._held_open_to += resumes_at - self._end
        self._onset.take()
        self._earliest_begin = self._next_to_pass = self._end = resumes_at
        return events

    def finish(self) -> list[GateEvent]:
        """End an open segment, as no frame follows."""
        events: list[GateEvent] = []
        if self._segment_begin is not None:
            self._pass(events, self._end)
            events.append(SegmentClosed(self._end))
            self._close()
        return events

    def _open(self, events: list[GateEvent], at: int, opinion: Opinion | None) -> None:
        """Open the gate for the frame at `at`."""
        voiced = self._onset.take()
        onset = at if opinion is None else min(at, opinion.onset)
        if voiced and not self._needs_opinion:
            onset, self._held_open_to = voiced[0][0], voiced[-1][1]
        else:
            self._held_open_to = self._end if opinion and opinion.is_speech else self._end - self._hangover
        begin = max(self._earliest_begin, onset - self._pre_roll)
        self._segment_begin = self._next_to_pass = self._passed_to = begin
        events.append(SegmentOpened(begin))
        self._voiced.extend((start, end) for start, end in voiced if start >= begin)

    def _pass_limit(self, forced: bool) -> int:
        """Return the position up to which audio may pass now; what follows is withheld."""
        if self._pass_all:
            return self._end
        closes_at = self._held_open_to + self._hangover
        return min(self._end, max(closes_at, self._end if forced else 0) - self._withheld)

    def _pass(self, events: list[GateEvent], to: int) -> None:
        if self._next_to_pass >= to:
            return
        voiced = list[Range]()
        while self._voiced and self._voiced[0][0] < to:
            start, end = self._voiced.popleft()
            joined_start = voiced.pop()[0] if voiced and voiced[-1][1] == start else start
            voiced.append((joined_start, min(end, to)))
            if end > to:
                self._voiced.appendleft((to, end))
        events.append(PassedRange(self._next_to_pass, to, tuple(voiced)))
        self._next_to_pass = self._passed_to = to

    def _close(self) -> None:
        self._segment_begin = None
        self._earliest_begin = self._next_to_pass
        self._onset.take()
        while self._voiced:  # withheld: they may begin the next segment
            self._onset.feed(*self._voiced.popleft(), True)
