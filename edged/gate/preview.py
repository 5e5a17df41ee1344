"""What the gate would do with a recording, seen from inside. Pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from edged.config.settings import GateSettings as GateSettings
from edged.gate.audio_gate import AudioGate, Detector, SecondDetector, SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.ranges import Range


class PreviewFrame(NamedTuple):
    """One frame, and what was known when it had been heard."""

    voiced: bool
    """To webrtcvad."""
    likelihood: float | None
    """How sure of speech the second opinion was; None: it was not asked."""
    is_open: bool


class PreviewSegment(NamedTuple):
    """One opening; in samples."""

    start: int
    onset: int
    """The first voiced frame: what lies before it is pre-roll."""
    decided: int
    """When it opened."""
    end: int
    tail: int
    """Where its hangover begins: nothing from here on holds it open any more."""


class GatePreview(NamedTuple):
    """All that came of it."""

    rate: int
    samples: int
    frame: int
    """Samples of one."""
    frames: list[PreviewFrame]
    segments: list[PreviewSegment]

    @property
    def sent(self) -> list[Range]:
        """What is let through, neighbouring stretches as one."""
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
    """Let a recording (s16le mono) through the gate, as a microphone's audio would be. Frame by frame, as nothing
    depends on the length of blocks.
    """
    heard = list[bool]()

    def listen(frame: bytes) -> bool:
        heard.append(detector(frame))
        return heard[-1]

    intake = AudioGate(settings, rate, listen, second)
    frame = rate * settings.frame_ms // 1000
    samples = len(pcm) // BYTES_PER_SAMPLE
    frames, let = list[PreviewFrame](), list[tuple[int, SegmentEvent]]()
    for at in range(0, samples, frame):
        block = Block(at, pcm[at * BYTES_PER_SAMPLE : (at + frame) * BYTES_PER_SAMPLE], at / rate)
        let += [(block.end, event) for event in intake.feed(block)]
        frames.append(PreviewFrame(len(heard) > len(frames) and heard[-1], intake.likelihood, intake.is_open))
        if len(frames) % 500 == 0:
            progress(at, samples)
    let += [(samples, event) for event in intake.finish()]
    progress(samples, samples)
    return GatePreview(rate, samples, frame, frames, list(_segments(let, rate, settings)))


def _segments(let: list[tuple[int, SegmentEvent]], rate: int, settings: GateSettings) -> Iterator[PreviewSegment]:
    hangover = rate * settings.hangover_ms // 1000
    sent_of_it = hangover - min(rate * settings.pre_roll_ms // 1000, hangover // 2)
    start = decided = 0
    voiced = list[Range]()
    for known, event in let:
        match event:
            case SegmentOpened(start):
                decided, voiced = known, []
            case SegmentAudio():
                voiced += event.voiced
            case SegmentClosed(end, continues):
                onset = voiced[0][0] if voiced else end
                last = voiced[-1][1] if voiced else end
                tail = end if continues else max(onset, min(last, end - sent_of_it if known > end else end))
                yield PreviewSegment(start, onset, decided, end, tail)
