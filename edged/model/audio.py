"""Audio blocks and the events of an audio source: 16-bit mono samples, counted from the start of the run. Pure.

A *position* is the index of a sample in the captured stream. Positions start at 0 with the run and are never reset.
Lost audio counts: it advances the position by as many samples as are known to be missing.
"""

from typing import NamedTuple

from edged.model.message_ids import MessageId

BYTES_PER_SAMPLE = 2
"""Size of one sample: signed 16-bit little-endian, the only format inside edged (webrtcvad and linear16 take it)."""


class Block(NamedTuple):
    """Audio of one read from the source. Lost audio before it shows as a gap between positions."""

    position: int
    """Position of the first sample."""
    pcm: bytes
    """Samples: mono, s16le, at the configured rate; never empty."""
    at_s: float
    """Capture time of the first sample, in seconds of CLOCK_BOOTTIME, which also counts during suspend."""

    @property
    def end(self) -> int:
        """Position of the first sample after this block."""
        return self.position + len(self.pcm) // BYTES_PER_SAMPLE


class SourceOpened(NamedTuple):
    """The source delivers audio from now on: its first block follows."""

    device: str
    """Name of the device as records show it, e.g. `plughw:CARD=Device`."""
    granted: str
    """Parameters that the device granted, for the log: rate, channels, period, buffer."""


class SourceLost(NamedTuple):
    """The source delivers nothing until the next `SourceOpened`; it searches for its device by itself."""

    reason: str
    """One line for people: what happened, and what to do about it."""
    message_id: MessageId | None = None


class Overrun(NamedTuple):
    """Audio was lost before the block that follows: the card's buffer or the capture queue was full.

    None follows a `SourceOpened`: audio lost while the device was absent shows only as a gap between positions.
    """

    lost_samples: int
    """Estimated number of lost samples. The next block's position counts them, unless `late_from` is given."""
    late_from: int | None = None
    """Position before which samples were lost, if that is found only later: audio from there on was captured later than
    its blocks said, by the lost samples."""


class SignalChange(NamedTuple):
    """The signal has a fault, such as silence or a stuck value, or is right again."""

    text: str
    """Text for the log after `microphone: `, e.g. `delivers digital silence: is it muted, or its volume at 0?`."""
    fault: bool
    """True when a fault begins, False when the signal is right again."""
    message_id: MessageId | None = None
    """Kind of the fault: at most one of each kind is open at a time."""


class SourceEnded(NamedTuple):
    """The recording has ended: no event follows."""


SourceEvent = Block | SourceOpened | SourceLost | Overrun | SignalChange | SourceEnded
"""Everything that a source emits, in order. Faults travel with the audio, so that their place in it is known."""
