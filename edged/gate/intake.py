"""From blocks to speech: cuts blocks into frames, asks the detector, and puts samples to what the gate lets through."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from edged.audio import BYTES_PER_SAMPLE, Block
from edged.gate.gate import Close, Gate, GateEvent, Open, Through
from edged.ranges import Range
from edged.settings import Gate as GateSettings

Detector = Callable[[bytes], bool]
"""Takes one frame of 10, 20 or 30 ms; says whether it heard a voice in it."""


class Audio(NamedTuple):
    """Samples from `position` on, let through; `voiced` are parts of the segment heard as voice, in positions."""

    position: int
    pcm: bytes
    voiced: tuple[Range, ...]


Let = Open | Audio | Close
"""What comes out: a segment is `Open`, then `Audio`, then `Close`."""


class Intake:
    """Keeps just enough of the past for a pre-roll. Holes are seen from the positions of the blocks."""

    def __init__(self, settings: GateSettings, rate: int, detector: Detector) -> None:
        self._gate = Gate(settings, rate)
        self._detector = detector
        self._frame = rate * settings.frame_ms // 1000
        self._past: deque[tuple[int, bytes]] = deque()
        self._rest = b""
        """Less than a frame, left from the block before."""
        self._expected: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether speech, or what is held open, is being let through."""
        return self._gate.is_open

    @property
    def let_to(self) -> int:
        """What lies before this was let through or never will be; what lies behind it may still be."""
        return self._gate.let_to

    def block(self, block: Block, *, forced: bool = False) -> list[Let]:
        """Take the next block; returns what is let through now. `forced` holds the gate open regardless."""
        let: list[Let] = []
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
            let += self._with_audio(self._gate.feed(start, self._frame, verdicts, forced=forced))
        self._trim(start + whole // BYTES_PER_SAMPLE)
        return let

    def finish(self) -> list[Let]:
        """No block follows: what is left is judged and an open segment ends."""
        let = self._last_frame()
        return let + self._with_audio(self._gate.finish())

    def _hole(self, resumes_at: int) -> list[Let]:
        let = self._last_frame()
        events = self._gate.hole(resumes_at)
        self._past.clear()
        return let + self._with_audio(events)

    def _last_frame(self) -> list[Let]:
        """The samples that no longer make up a frame: too short to be judged, so unvoiced, but not lost."""
        if not self._rest or self._expected is None:
            return []
        length = len(self._rest) // BYTES_PER_SAMPLE
        self._rest = b""
        return self._with_audio(self._gate.feed(self._expected - length, length, [False]))

    def _with_audio(self, events: list[GateEvent]) -> list[Let]:
        let: list[Let] = []
        for event in events:
            if isinstance(event, Through):
                voiced = event.voiced
                for position, pcm in self._slices(event.start, event.end):
                    let.append(Audio(position, pcm, voiced))
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
        keep_from = judged - self._gate.history_samples
        past = self._past
        while past and past[0][0] + len(past[0][1]) // BYTES_PER_SAMPLE <= keep_from:
            past.popleft()
