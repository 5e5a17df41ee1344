"""What the gate would do with a recording, seen from inside. Pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from edged.audio import BYTES_PER_SAMPLE, Block
from edged.gate.gate import Close, Open
from edged.gate.intake import Audio, Detector, Intake, Let, SecondDetector
from edged.ranges import Range
from edged.settings import Gate as GateSettings


class Frame(NamedTuple):
    """One frame, and what was known when it had been heard."""

    voiced: bool
    """To webrtcvad."""
    likelihood: float | None
    """How sure of speech the second opinion was; None: it was not asked."""
    is_open: bool


class Segment(NamedTuple):
    """One opening; in samples."""

    start: int
    onset: int
    """The first voiced frame: what lies before it is pre-roll."""
    decided: int
    """When it opened."""
    end: int
    tail: int
    """Where its hangover begins: nothing from here on holds it open any more."""


class Rehearsal(NamedTuple):
    """All that came of it."""

    rate: int
    samples: int
    frame: int
    """Samples of one."""
    frames: list[Frame]
    segments: list[Segment]

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


def rehearse(
    pcm: bytes,
    rate: int,
    settings: GateSettings,
    detector: Detector,
    second: SecondDetector | None,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Rehearsal:
    """Let a recording (s16le mono) through the gate, as a microphone's audio would be. Frame by frame, as nothing
    depends on the length of blocks.
    """
    heard = list[bool]()

    def listen(frame: bytes) -> bool:
        heard.append(detector(frame))
        return heard[-1]

    intake = Intake(settings, rate, listen, second)
    frame = rate * settings.frame_ms // 1000
    samples = len(pcm) // BYTES_PER_SAMPLE
    frames, let = list[Frame](), list[tuple[int, Let]]()
    for at in range(0, samples, frame):
        block = Block(at, pcm[at * BYTES_PER_SAMPLE : (at + frame) * BYTES_PER_SAMPLE], at / rate)
        let += [(block.end, event) for event in intake.block(block)]
        frames.append(Frame(len(heard) > len(frames) and heard[-1], intake.likelihood, intake.is_open))
        if len(frames) % 500 == 0:
            progress(at, samples)
    let += [(samples, event) for event in intake.finish()]
    progress(samples, samples)
    return Rehearsal(rate, samples, frame, frames, list(_segments(let, rate, settings)))


def _segments(let: list[tuple[int, Let]], rate: int, settings: GateSettings) -> Iterator[Segment]:
    hangover = rate * settings.hangover_ms // 1000
    sent_of_it = hangover - min(rate * settings.pre_roll_ms // 1000, hangover // 2)
    start = decided = 0
    voiced = list[Range]()
    for known, event in let:
        match event:
            case Open(start):
                decided, voiced = known, []
            case Audio():
                voiced += event.voiced
            case Close(end, continues):
                onset = voiced[0][0] if voiced else end
                last = voiced[-1][1] if voiced else end
                tail = end if continues else max(onset, min(last, end - sent_of_it if known > end else end))
                yield Segment(start, onset, decided, end, tail)
