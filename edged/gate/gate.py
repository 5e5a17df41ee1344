"""The gate: from verdicts on frames to what is let through. Positions only; it never sees a sample. Pure."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from edged.config.settings import GateSettings as GateSettings
from edged.gate.onset import OnsetDetector
from edged.model.ranges import Range

BRIDGED_HOLE_MS: Final = 50
"""A longer hole ends the segment: a word across it would be made up by the recogniser."""


class SegmentOpened(NamedTuple):
    """A segment begins at `at`, which is what comes first in the next `Through`."""

    at: int


class PassedRange(NamedTuple):
    """`[start, end)` is let through; `voiced` are the parts of it heard as voice, neighbours joined."""

    start: int
    end: int
    voiced: tuple[Range, ...]


class SegmentClosed(NamedTuple):
    """The segment ends at `at`. `continues`: only because it was long; the next begins at the next sample."""

    at: int
    continues: bool = False


GateEvent = SegmentOpened | PassedRange | SegmentClosed


class Opinion(NamedTuple):
    """What a second detector makes of a frame that the first has judged."""

    wanted: bool
    """Somebody speaks: it shall be let through."""
    since: int
    """Where that began."""


class Gate:
    """Opens on an onset, stays open over a hangover, and begins a pre-roll before the first voiced frame.

    Frames come in order, and nothing is let through twice. The last of a hangover is withheld until it is known
    whether somebody goes on: if not, it was never let through, and is the pre-roll of whoever speaks next.
    """

    def __init__(self, settings: GateSettings, rate: int, *, late: int | None = None) -> None:
        """With `late`, a second opinion opens and holds it, up to so many samples after what it is about began."""

        def samples(ms: float) -> int:
            return round(ms * rate / 1000)

        self._always = not settings.enabled
        self._seconded = late is not None
        self._onset = OnsetDetector.of(settings, rate, more=late or 0)
        self._pre_roll = samples(settings.pre_roll_ms)
        self._hangover = samples(settings.hangover_ms)
        self._longest = samples(settings.max_segment_s * 1000)
        self._bridged = samples(BRIDGED_HOLE_MS)
        self.history_samples = self._pre_roll + self._onset.window
        """How far back a segment may begin before the frame that opens it: what the caller must keep."""
        self._withheld = min(self._pre_roll, self._hangover // 2)
        self._floor = 0
        """Nothing before this may be let through: it was already, or it is not there."""
        self._opened_at: int | None = None
        self._let_to = 0
        """While open: from where on audio is still to be let through."""
        self._through_to = 0
        """The end of what was let through; behind `_let_to` only after a bridged hole."""
        self._held_to = 0
        """While open: the end of the last frame that holds it so (or where a forced opening began)."""
        self._voiced: deque[Range] = deque()
        """While open: what was voiced from `_let_to` on."""
        self._end = 0

    @property
    def is_open(self) -> bool:
        """Whether the next frame is let through as it comes."""
        return self._opened_at is not None

    @property
    def passed_to(self) -> int:
        """What lies before this was let through or never will be; what lies behind it may still be."""
        return self._through_to if self.is_open else max(self._floor, self._end - self.history_samples)

    def ignore_opinions(self) -> None:
        """From now on webrtcvad's verdicts are all there is."""
        self._seconded = False

    def require_opinions(self) -> None:
        """From now on a second opinion decides again, as at the start."""
        self._seconded = True

    def feed(
        self, start: int, frame: int, verdicts: Sequence[bool], *, forced: bool = False, opinion: Opinion | None = None
    ) -> list[GateEvent]:
        """Judge consecutive frames of `frame` samples from `start`. `forced` holds the gate open regardless.

        A voiced frame is reported as one in any case; whether it opens and holds the gate is for the `opinion` to say,
        if there is one. Raises ValueError if `start` is not where the frames before ended (or where `hole` said).
        """
        if start != self._end:
            raise ValueError(f"frames go on at {self._end}, not at {start}")
        events: list[GateEvent] = []
        for verdict in verdicts:
            at, self._end = self._end, self._end + frame
            wanted = opinion is not None and opinion.wanted if self._seconded else verdict
            if self._opened_at is None:
                onset = self._onset.feed(at, self._end, verdict)
                if (wanted if self._seconded else onset) or forced or self._always:
                    self._open(events, at, opinion)
                continue
            if at - self._opened_at >= self._longest and (wanted or self._always):
                # Only where something is let through: a piece that stays empty would be an end that nobody sees.
                self._let(events, at)
                events += [SegmentClosed(at, continues=True), SegmentOpened(at)]
                self._opened_at = at
            if verdict:
                self._voiced.append((at, self._end))
            if wanted:
                self._held_to = self._end
            if self._end >= self._held_to + self._hangover and not (forced or self._always):
                self._let(events, self._due(forced))
                events.append(SegmentClosed(self._through_to))
                self._shut()
        if self._opened_at is not None:
            self._let(events, self._due(forced))
        return events

    def skip_hole(self, resumes_at: int) -> list[GateEvent]:
        """Audio is missing up to `resumes_at`. A segment across a long hole ends, and a new one begins at once."""
        events: list[GateEvent] = []
        if self._opened_at is not None:
            self._let(events, self._end)
            if resumes_at - self._end > self._bridged:
                events += [SegmentClosed(self._end), SegmentOpened(resumes_at)]
                self._opened_at = self._through_to = resumes_at
            self._held_to += resumes_at - self._end
        self._onset.take()
        self._floor = self._let_to = self._end = resumes_at
        return events

    def finish(self) -> list[GateEvent]:
        """No frame follows: an open segment ends here."""
        events: list[GateEvent] = []
        if self._opened_at is not None:
            self._let(events, self._end)
            events.append(SegmentClosed(self._end))
            self._shut()
        return events

    def _open(self, events: list[GateEvent], at: int, opinion: Opinion | None) -> None:
        """Open for the frame at `at`."""
        voiced = self._onset.take()
        first = at if opinion is None else min(at, opinion.since)
        if voiced and not self._seconded:
            first, self._held_to = voiced[0][0], voiced[-1][1]
        else:
            self._held_to = self._end if opinion and opinion.wanted else self._end - self._hangover
        begin = max(self._floor, first - self._pre_roll)
        self._opened_at = self._let_to = self._through_to = begin
        events.append(SegmentOpened(begin))
        self._voiced.extend((start, end) for start, end in voiced if start >= begin)

    def _due(self, forced: bool) -> int:
        """How far audio is let through by now; what lies beyond is withheld."""
        if self._always:
            return self._end
        sure = self._held_to + self._hangover
        return min(self._end, max(sure, self._end if forced else 0) - self._withheld)

    def _let(self, events: list[GateEvent], to: int) -> None:
        if self._let_to >= to:
            return
        voiced = list[Range]()
        while self._voiced and self._voiced[0][0] < to:
            start, end = self._voiced.popleft()
            since = voiced.pop()[0] if voiced and voiced[-1][1] == start else start
            voiced.append((since, min(end, to)))
            if end > to:
                self._voiced.appendleft((to, end))
        events.append(PassedRange(self._let_to, to, tuple(voiced)))
        self._let_to = self._through_to = to

    def _shut(self) -> None:
        self._opened_at = None
        self._floor = self._let_to
        self._onset.take()
        while self._voiced:  # withheld, and perhaps the next one's pre-roll
            self._onset.feed(*self._voiced.popleft(), True)
