"""Words about audio that every part may use: 16-bit mono samples, counted from the start of the run. Pure.

A *position* is the index of a sample in the captured stream. It starts at 0 with the run, is never reset, and holes
count: audio that was lost moves it on by as much as is known to be missing.
"""

from typing import NamedTuple

from edged.model.message_ids import MessageId

BYTES_PER_SAMPLE = 2
"""Signed 16-bit little-endian, the one format inside edged: webrtcvad and `linear16` both take it."""


class Block(NamedTuple):
    """What one read from the source gave. A gap to the block before it shows as a gap between positions."""

    position: int
    """Of the first sample."""
    pcm: bytes
    """Mono, s16le, at the configured rate; never empty."""
    at_s: float
    """When the first sample was captured: seconds of CLOCK_BOOTTIME, which goes on through a suspend."""

    @property
    def end(self) -> int:
        """Position of the first sample after this block."""
        return self.position + len(self.pcm) // BYTES_PER_SAMPLE


class SourceOpened(NamedTuple):
    """The source delivers from now on: its first block follows."""

    device: str
    """Its name as the records give it, e.g. `plughw:CARD=Device`."""
    granted: str
    """What was granted, for the log: rate, channels, period, buffer."""


class SourceLost(NamedTuple):
    """The source delivers nothing until the next `Opened`; it is looked for by itself."""

    reason: str
    """One line for people: what happened, and what to do if something can be done."""
    message_id: MessageId | None = None


class Overrun(NamedTuple):
    """Audio was lost before the block that follows: the card's buffer or the hand-over was full.

    Not after an `Opened`: what was lost while the device was away shows in the positions alone.
    """

    lost_samples: int
    """Estimated; the next block's position counts them, unless `late_from` is given."""
    late_from: int | None = None
    """Position before which they were lost, where that is found only later: what was captured from there on was
    captured so much later than its blocks said."""


class SignalChange(NamedTuple):
    """The level changed in a way that people want to know of."""

    text: str
    """e.g. `delivers digital silence: is it muted, or its volume at 0?`, to be read after `microphone: `."""
    fault: bool
    """False when it is right again."""
    message_id: MessageId | None = None
    """Which it is: of each there is one at a time."""


class SourceEnded(NamedTuple):
    """A recording came to its end: nothing follows."""


SourceEvent = Block | SourceOpened | SourceLost | Overrun | SignalChange | SourceEnded
"""What comes out of a source, in order. Faults travel with the audio, so that their place in it is known."""
