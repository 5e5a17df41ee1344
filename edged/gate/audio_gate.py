"""The gate with its audio: cuts blocks into frames, asks the detectors, and adds the samples to what passes. Pure."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from edged.config.settings import GateSettings as GateSettings
from edged.gate.gate import Gate, GateEvent, PassedRange, SegmentClosed, SegmentOpened
from edged.gate.second_opinion import WARM_UP_MS, SecondOpinion
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.ranges import Range

Detector = Callable[[bytes], bool]
"""Takes one frame of 10, 20 or 30 ms, and returns whether it is voiced."""


class SecondDetector(Protocol):
    """A better and costlier detector, whose answer depends on everything that it has heard since `reset`."""

    chunk_samples: int
    """Number of samples that it takes at a time."""

    def reset(self) -> None:
        """Forget the past: the next chunk does not follow the last one."""

    def __call__(self, pcm: bytes) -> float:
        """Take the next chunk. Return how likely it is, from 0 to 1, that somebody speaks in it."""


class SegmentAudio(NamedTuple):
    """Samples from `position` on that passed; `voiced` are voiced parts of the segment, in positions."""

    position: int
    pcm: bytes
    voiced: tuple[Range, ...]


SegmentEvent = SegmentOpened | SegmentAudio | SegmentClosed
"""Output of the gate: a segment is SegmentOpened, then SegmentAudio, then SegmentClosed."""


class AudioGate:
    """The gate and its detectors for one stream of blocks. It keeps just enough audio for a pre-roll.

    Holes show in the positions of the blocks.
    """

    def __init__(
        self, settings: GateSettings, rate: int, detector: Detector, second: SecondDetector | None = None
    ) -> None:
        self._detector = detector
        self._listener = _Listener(second, self._kept_pcm, rate) if second and settings.enabled else None
        self._settings, self._rate = settings, rate
        self._second_opinion = SecondOpinion(settings, rate, self._listener) if self._listener else None
        self._gate = Gate(settings, rate, look_back=self._second_opinion.look_back if self._second_opinion else None)
        self._kept_samples = self._gate.history_samples + (rate * WARM_UP_MS // 1000 if self._second_opinion else 0)
        self._frame_samples = rate * settings.frame_ms // 1000
        self._kept: deque[tuple[int, bytes]] = deque()
        """Blocks of the past, with their positions."""
        self._partial_frame = b""
        """Samples at the end of the last block that do not fill a frame."""
        self._expected_position: int | None = None
        self._any_voiced, self._last_voiced = True, False
        """Whether any frame of the last block was voiced, and whether its last one was."""

    @property
    def is_calm(self) -> bool:
        """Whether the gate is closed and no frame of the last block was voiced."""
        return not (self._any_voiced or self._gate.is_open)

    @property
    def is_mid_speech(self) -> bool:
        """Whether the gate is open and the last frame was voiced."""
        return self._last_voiced and self._gate.is_open

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._gate.is_open

    @property
    def passed_to(self) -> int:
        """Position before which everything has passed or never will; audio after it may still pass."""
        return self._gate.passed_to

    @property
    def likelihood(self) -> float | None:
        """Likelihood of speech by the second opinion; None while it is not asked."""
        second_opinion = self._second_opinion
        return None if second_opinion is None or second_opinion.is_idle or not self._listener else self._listener.last

    @property
    def has_second_opinion(self) -> bool:
        """Whether a second opinion takes part."""
        return self._second_opinion is not None

    def suspend_second_opinion(self) -> None:
        """Stop asking for a second opinion, because the machine is too slow for it."""
        self._second_opinion = None
        self._gate.ignore_opinions()

    def resume_second_opinion(self) -> None:
        """Ask for a second opinion again, if there was one. It begins without a past."""
        if self._listener and not self._second_opinion:
            self._second_opinion = SecondOpinion(self._settings, self._rate, self._listener)
            self._gate.require_opinions()

    def note_outcome(self, samples: int, *, words: bool) -> None:
        """Learn that the recogniser found words, or nothing, in so many samples of the audio that passed."""
        if self._second_opinion:
            self._second_opinion.note_outcome(samples, words=words)

    def feed(self, block: Block, *, forced: bool = False) -> list[SegmentEvent]:
        """Take the next block. Return what passes now. `forced` holds the gate open in any case."""
        events: list[SegmentEvent] = []
        if block.position != self._expected_position:
            events += self._skip_hole(block.position)
        self._expected_position = block.end
        self._kept.append((block.position, block.pcm))
        pcm = self._partial_frame + block.pcm if self._partial_frame else block.pcm
        frame_bytes = self._frame_samples * BYTES_PER_SAMPLE
        start = block.position - len(self._partial_frame) // BYTES_PER_SAMPLE
        frames_bytes = len(pcm) - len(pcm) % frame_bytes
        detector = self._detector
        verdicts = [detector(pcm[i : i + frame_bytes]) for i in range(0, frames_bytes, frame_bytes)]
        self._partial_frame = pcm[frames_bytes:]
        if verdicts:
            self._any_voiced, self._last_voiced = any(verdicts), verdicts[-1]
            events += self._with_audio(self._judge(start, verdicts, forced))
        self._trim(start + frames_bytes // BYTES_PER_SAMPLE)
        return events

    def finish(self) -> list[SegmentEvent]:
        """Judge what is left and end an open segment, as no block follows."""
        events = self._flush_partial_frame()
        return events + self._with_audio(self._gate.finish())

    def _judge(self, start: int, verdicts: list[bool], forced: bool) -> list[GateEvent]:
        gate, second_opinion, frame = self._gate, self._second_opinion, self._frame_samples
        if second_opinion is None or (second_opinion.is_idle and not gate.is_open and not any(verdicts)):
            return gate.feed(start, frame, verdicts, forced=forced)
        events: list[GateEvent] = []
        for at, voiced in zip(range(start, start + frame * len(verdicts), frame), verdicts, strict=True):
            opinion = second_opinion.judge(at, at + frame, voiced, is_open=gate.is_open)
            events += gate.feed(at, frame, [voiced], forced=forced, opinion=opinion)
        return events

    def _kept_pcm(self, start: int, end: int) -> bytes:
        """Return the kept samples within `[start, end)`."""
        return b"".join(pcm for _, pcm in self._slices(start, end))

    def _skip_hole(self, resumes_at: int) -> list[SegmentEvent]:
        events = self._flush_partial_frame()
        gate_events = self._gate.skip_hole(resumes_at)
        self._kept.clear()
        if self._second_opinion:
            self._second_opinion.reset()
        return events + self._with_audio(gate_events)

    def _flush_partial_frame(self) -> list[SegmentEvent]:
        """Feed samples that no longer fill a frame: too short to be judged, they count as not voiced."""
        if not self._partial_frame or self._expected_position is None:
            return []
        length = len(self._partial_frame) // BYTES_PER_SAMPLE
        self._partial_frame = b""
        return self._with_audio(self._gate.feed(self._expected_position - length, length, [False]))

    def _with_audio(self, gate_events: list[GateEvent]) -> list[SegmentEvent]:
        events: list[SegmentEvent] = []
        for event in gate_events:
            if isinstance(event, PassedRange):
                voiced = event.voiced
                for position, pcm in self._slices(event.start, event.end):
                    events.append(SegmentAudio(position, pcm, voiced))
                    voiced = ()
            else:
                events.append(event)
        return events

    def _slices(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for position, pcm in self._kept:
            low = max(start - position, 0) * BYTES_PER_SAMPLE
            high = min((end - position) * BYTES_PER_SAMPLE, len(pcm))
            if low < high:
                yield position + low // BYTES_PER_SAMPLE, pcm if high - low == len(pcm) else pcm[low:high]

    def _trim(self, judged_to: int) -> None:
        keep_from = judged_to - self._kept_samples
        kept = self._kept
        while kept and kept[0][0] + len(kept[0][1]) // BYTES_PER_SAMPLE <= keep_from:
            kept.popleft()


AVERAGED_MS: Final = 64
"""Time over which the likelihood is averaged, two chunks of silero: in one alone, the tick of a clock is a surprise."""


class _Listener:
    """Feeds the second detector with chunks of kept audio, and remembers its last answer."""

    def __init__(self, detector: SecondDetector, kept_pcm: Callable[[int, int], bytes], rate: int) -> None:
        self._detector = detector
        self._kept_pcm = kept_pcm
        self._listening_since: int | None = None
        self._fed_to = 0
        chunks = max(1, round(AVERAGED_MS * rate / 1000 / detector.chunk_samples))
        self._likelihoods: deque[float] = deque(maxlen=chunks)
        self.last = 0.0

    def __call__(self, start: int, end: int) -> float:
        """Return the likelihood of speech just before `end`; implements `second_opinion.Ask`.

        The detector takes whole chunks only: what is left before `end` comes with the next call.
        """
        size = self._detector.chunk_samples
        if start != self._listening_since:
            self._detector.reset()
            self._likelihoods.clear()
            self._listening_since, self._fed_to, self.last = start, start, 0.0
        while self._fed_to + size <= end:
            pcm = self._kept_pcm(self._fed_to, self._fed_to + size)
            if len(pcm) == size * BYTES_PER_SAMPLE:  # otherwise the run begins or a hole lies within it
                self._likelihoods.append(self._detector(pcm))
                self.last = sum(self._likelihoods) / len(self._likelihoods)
            self._fed_to += size
        return self.last
