"""A preview of what the gate does with a recording, and why. Pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from edged.config.settings import GateSettings as GateSettings
from edged.gate.audio_gate import AudioGate, Detector, SecondDetector, SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.ranges import Range


class PreviewFrame(NamedTuple):
    """One frame, and what the gate knew after it."""

    voiced: bool
    """The frame is voiced by webrtcvad."""
    likelihood: float | None
    """Likelihood of speech by the second opinion; None: it was not asked."""
    is_open: bool


class PreviewSegment(NamedTuple):
    """One segment, in samples."""

    start: int
    onset: int
    """First voiced frame: the pre-roll lies before it."""
    decided: int
    """Position at which the gate opened."""
    end: int
    tail: int
    """Begin of the hangover: nothing from here on holds the gate open."""


class GatePreview(NamedTuple):
    """The frames and segments of a whole recording."""

    rate: int
    samples: int
    frame: int
    """Number of samples in a frame."""
    frames: list[PreviewFrame]
    segments: list[PreviewSegment]

    @property
    def sent(self) -> list[Range]:
        """The ranges that pass; adjacent segments are one range."""
        joined: list[Range] = []
        for segment in self.segments:
            if joined and joined[-1][1] == segment.start:
                joined[-1] = (joined[-1][0], segment.end)
            else:
                joined.append((segment.start, segment.end))
        return joined


def preview(
    pcm: bytes,
    rate: int,
    settings: GateSettings,
    detector: Detector,
    second: SecondDetector | None,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> GatePreview:
    """Feed a recording (s16le mono) to a gate as if it came from a microphone.

    It goes frame by frame, because the result does not depend on the length of blocks.
    """
    verdicts = list[bool]()

    def detect(frame: bytes) -> bool:
        verdicts.append(detector(frame))
        return verdicts[-1]

    gate = AudioGate(settings, rate, detect, second)
    frame = rate * settings.frame_ms // 1000
    samples = len(pcm) // BYTES_PER_SAMPLE
    frames, events = list[PreviewFrame](), list[tuple[int, SegmentEvent]]()
    for at in range(0, samples, frame):
        block = Block(at, pcm[at * BYTES_PER_SAMPLE : (at + frame) * BYTES_PER_SAMPLE], at / rate)
        events += [(block.end, event) for event in gate.feed(block)]
        voiced = len(verdicts) > len(frames) and verdicts[-1]
        frames.append(PreviewFrame(voiced, gate.likelihood, gate.is_open))
        if len(frames) % 500 == 0:
            progress(at, samples)
    events += [(samples, event) for event in gate.finish()]
    progress(samples, samples)
    return GatePreview(rate, samples, frame, frames, list(_segments(events, rate, settings)))


def _segments(events: list[tuple[int, SegmentEvent]], rate: int, settings: GateSettings) -> Iterator[PreviewSegment]:
    hangover = rate * settings.hangover_ms // 1000
    passed_hangover = hangover - min(rate * settings.pre_roll_ms // 1000, hangover // 2)
    start = decided = 0
    voiced = list[Range]()
    for known_at, event in events:
        match event:
            case SegmentOpened(start):
                decided, voiced = known_at, []
            case SegmentAudio():
                voiced += event.voiced
            case SegmentClosed(end, continues):
                onset = voiced[0][0] if voiced else end
                last = voiced[-1][1] if voiced else end
                tail = end if continues else max(onset, min(last, end - passed_hangover if known_at > end else end))
                yield PreviewSegment(start, onset, decided, end, tail)
