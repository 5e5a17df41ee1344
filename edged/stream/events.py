"""What a lane tells its shell: to send, to hang up, what to record, and what became of the audio. Pure."""

from typing import NamedTuple

from edged.model.ranges import Range
from edged.stream.pending_audio import AudioReleased
from edged.stream.session import Hangup, SendMessage, ServerNotice, ServerWarning
from edged.stream.transcript_assembler import UtteranceReady


class InterimText(NamedTuple):
    """What is being said at the moment, for people only."""

    text: str


class AudioEvicted(NamedTuple):
    """Audio was dropped unanswered, because more waits than may."""

    samples: int


class AudioQuarantined(NamedTuple):
    """Audio has ended session after session; it is kept, and tried later."""

    samples: int


class BacklogRange(NamedTuple):
    """A stretch of one segment that waits no longer in this lane; nobody speaks at its ends."""

    start: int
    end: int
    voiced: tuple[Range, ...]


class BacklogHandedOver(NamedTuple):
    """Backlog for another lane, so that it does not delay live speech. `sent_to`: it was sent before, up to there."""

    stretches: tuple[BacklogRange, ...]
    sent_to: int


class Learned(NamedTuple):
    """Something about the server that changes what is done from now on, for the log."""

    text: str


SenderEvent = (
    SendMessage
    | Hangup
    | ServerNotice
    | ServerWarning
    | UtteranceReady
    | InterimText
    | AudioEvicted
    | AudioQuarantined
    | BacklogHandedOver
    | AudioReleased
    | Learned
)
