"""Whether a block must reach the gate at once: asked in the capture thread, so that a quiet room wakes nobody else.

What is sent is not decided here, only when it is looked at: the gate hears each block again, with its own detector.
"""

from edged.audio import BYTES_PER_SAMPLE, Block
from edged.gate.intake import Detector
from edged.settings import Gate as GateSettings


class Alert:
    """`on` is set by the event loop: the gate is open, or held open, so that every block counts."""

    def __init__(self, settings: GateSettings, rate: int, detector: Detector) -> None:
        self._detector = detector
        self._frame_bytes = rate * settings.frame_ms // 1000 * BYTES_PER_SAMPLE
        self.on = True

    def may_wait(self, block: Block) -> bool:
        """The gate is shut, and nobody speaks in this block. One shorter than a frame can't be judged."""
        pcm, size = block.pcm, self._frame_bytes
        if self.on or len(pcm) < size:
            return False
        detector = self._detector
        return not any(detector(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size))
