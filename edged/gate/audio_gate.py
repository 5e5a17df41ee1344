"""From blocks to speech: cuts blocks into frames, asks the detectors, puts samples to what the gate lets through.

Pure.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from edged.config.settings import GateSettings as GateSettings
from edged.gate.gate import Gate, GateEvent, PassedRange, SegmentClosed, SegmentOpened
from edged.gate.second_opinion import WARM_MS, SecondOpinion
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.ranges import Range

Detector = Callable[[bytes], bool]
"""Takes one frame of 10, 20 or 30 ms; says whether it heard a voice in it."""


class SecondDetector(Protocol):
    """Hears better than the first and costs more; its answer depends on all that it has heard since `reset`."""

    chunk_samples: int
    """How much it takes at a time."""

    def reset(self) -> None:
        """What comes next does not follow what came before."""

    def __call__(self, pcm: bytes) -> float:
        """Take the next chunk; how likely it is, from 0 to 1, that somebody speaks in it."""


class SegmentAudio(NamedTuple):
    """Samples from `position` on, let through; `voiced` are parts of the segment heard as voice, in positions."""

    position: int
    pcm: bytes
    voiced: tuple[Range, ...]


SegmentEvent = SegmentOpened | SegmentAudio | SegmentClosed
"""What comes out: a segment is `Open`, then `Audio`, then `Close`."""


class AudioGate:
    """Keeps just enough of the past for a pre-roll. Holes are seen from the positions of the blocks."""

    def __init__(
        self, settings: GateSettings, rate: int, detector: Detector, second: SecondDetector | None = None
    ) -> None:
        self._detector = detector
        self._listener = _Listener(second, self._pcm, rate) if second and settings.enabled else None
        self._settings, self._rate = settings, rate
        self._second = SecondOpinion(settings, rate, self._listener) if self._listener else None
        self._gate = Gate(settings, rate, late=self._second.late if self._second else None)
        self._kept = self._gate.history_samples + (rate * WARM_MS // 1000 if self._second else 0)
        self._frame = rate * settings.frame_ms // 1000
        self._past: deque[tuple[int, bytes]] = deque()
        self._rest = b""
        """Less than a frame, left from the block before."""
        self._expected: int | None = None
        self._voiced, self._voiced_last = True, False
        """Any frame of the last block, and the last one of it."""

    @property
    def is_calm(self) -> bool:
        """Nothing is let through, and no frame of the last block was like a voice."""
        return not (self._voiced or self._gate.is_open)

    @property
    def is_mid_speech(self) -> bool:
        """What is let through was like a voice up to the end."""
        return self._voiced_last and self._gate.is_open

    @property
    def is_open(self) -> bool:
        """Whether speech, or what is held open, is being let through."""
        return self._gate.is_open

    @property
    def passed_to(self) -> int:
        """What lies before this was let through or never will be; what lies behind it may still be."""
        return self._gate.passed_to

    @property
    def likelihood(self) -> float | None:
        """How sure of speech the second opinion is; None while it is not asked."""
        return None if self._second is None or self._second.idle or not self._listener else self._listener.last

    @property
    def has_second_opinion(self) -> bool:
        """A second opinion is asked."""
        return self._second is not None

    def suspend_second_opinion(self) -> None:
        """Ask it no more: the machine is too slow for it."""
        self._second = None
        self._gate.ignore_opinions()

    def resume_second_opinion(self) -> None:
        """Ask it again, if there was one: afresh, as nobody knows what it would have said meanwhile."""
        if self._listener and not self._second:
            self._second = SecondOpinion(self._settings, self._rate, self._listener)
            self._gate.require_opinions()

    def note_outcome(self, samples: int, *, words: bool) -> None:
        """The recogniser has said what is in so much of what was let through: words, or nothing."""
        if self._second:
            self._second.note_outcome(samples, words=words)

    def feed(self, block: Block, *, forced: bool = False) -> list[SegmentEvent]:
        """Take the next block; returns what is let through now. `forced` holds the gate open regardless."""
        let: list[SegmentEvent] = []
        if block.position != self._expected:
            let += self._hole(block.position)
        self._expected = block.end
        self._past.append((block.position, block.pcm))
        pcm = self._rest + block.pcm if self._rest else block.pcm
        size = self._frame * BYTES_PER_SAMPLE
        start = block.position - len(self._rest) // BYTES_PER_SAMPLE
        whole = len(pcm) - len(pcm) % size
        detector = self._detector
        verdicts = [detector(pcm[i : i + size]) for i in range(0, whole, size)]
        self._rest = pcm[whole:]
        if verdicts:
            self._voiced, self._voiced_last = any(verdicts), verdicts[-1]
            let += self._with_audio(self._judge(start, verdicts, forced))
        self._trim(start + whole // BYTES_PER_SAMPLE)
        return let

    def finish(self) -> list[SegmentEvent]:
        """No block follows: what is left is judged and an open segment ends."""
        let = self._last_frame()
        return let + self._with_audio(self._gate.finish())

    def _judge(self, start: int, verdicts: list[bool], forced: bool) -> list[GateEvent]:
        gate, second, frame = self._gate, self._second, self._frame
        if second is None or (second.idle and not gate.is_open and not any(verdicts)):
            return gate.feed(start, frame, verdicts, forced=forced)
        events: list[GateEvent] = []
        for at, heard in zip(range(start, start + frame * len(verdicts), frame), verdicts, strict=True):
            opinion = second.judge(at, at + frame, heard, is_open=gate.is_open)
            events += gate.feed(at, frame, [heard], forced=forced, opinion=opinion)
        return events

    def _pcm(self, start: int, end: int) -> bytes:
        """What there is of `[start, end)` in the past."""
        return b"".join(pcm for _, pcm in self._slices(start, end))

    def _hole(self, resumes_at: int) -> list[SegmentEvent]:
        let = self._last_frame()
        events = self._gate.skip_hole(resumes_at)
        self._past.clear()
        if self._second:
            self._second.reset()
        return let + self._with_audio(events)

    def _last_frame(self) -> list[SegmentEvent]:
        """The samples that no longer make up a frame: too short to be judged, so unvoiced, but not lost."""
        if not self._rest or self._expected is None:
            return []
        length = len(self._rest) // BYTES_PER_SAMPLE
        self._rest = b""
        return self._with_audio(self._gate.feed(self._expected - length, length, [False]))

    def _with_audio(self, events: list[GateEvent]) -> list[SegmentEvent]:
        let: list[SegmentEvent] = []
        for event in events:
            if isinstance(event, PassedRange):
                voiced = event.voiced
                for position, pcm in self._slices(event.start, event.end):
                    let.append(SegmentAudio(position, pcm, voiced))
                    voiced = ()
            else:
                let.append(event)
        return let

    def _slices(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for position, pcm in self._past:
            low = max(start - position, 0) * BYTES_PER_SAMPLE
            high = min((end - position) * BYTES_PER_SAMPLE, len(pcm))
            if low < high:
                yield position + low // BYTES_PER_SAMPLE, pcm if high - low == len(pcm) else pcm[low:high]

    def _trim(self, judged: int) -> None:
        keep_from = judged - self._kept
        past = self._past
        while past and past[0][0] + len(past[0][1]) // BYTES_PER_SAMPLE <= keep_from:
            past.popleft()


STEADY_MS: Final = 64
"""A likelihood is the mean over this long, two chunks of silero: a tick of a clock is surprising for one."""


class _Listener:
    """Gives the second detector what it must have heard, in chunks, and remembers what it last said."""

    def __init__(self, detector: SecondDetector, pcm: Callable[[int, int], bytes], rate: int) -> None:
        self._detector = detector
        self._pcm = pcm
        self._since: int | None = None
        self._to = 0
        self._likelihoods: deque[float] = deque(maxlen=max(1, round(STEADY_MS * rate / 1000 / detector.chunk_samples)))
        self.last = 0.0

    def __call__(self, since: int, end: int) -> float:
        """See `second.Ask`. A whole chunk is needed: what is left before `end` comes with the next one."""
        size = self._detector.chunk_samples
        if since != self._since:
            self._detector.reset()
            self._likelihoods.clear()
            self._since, self._to, self.last = since, since, 0.0
        while self._to + size <= end:
            pcm = self._pcm(self._to, self._to + size)
            if len(pcm) == size * BYTES_PER_SAMPLE:  # else the run begins, or a hole lies, in the midst of it
                self._likelihoods.append(self._detector(pcm))
                self.last = sum(self._likelihoods) / len(self._likelihoods)
            self._to += size
        return self.last
