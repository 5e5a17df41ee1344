"""Events of the sender for its shell: send, hang up, record, and what became of the audio. Pure."""

from enum import Enum
from typing import NamedTuple

from edged.model.ranges import Range
from edged.stream.pending_audio import AudioReleased
from edged.stream.session import Hangup, SendMessage, ServerNotice, ServerWarning
from edged.stream.transcript_assembler import UtteranceReady


class InterimText(NamedTuple):
    """The words being said now, not recorded yet: shown to people only."""

    text: str


class AudioEvicted(NamedTuple):
    """Audio was dropped without a transcript, because more is pending than the limit allows."""

    samples: int


class AudioQuarantined(NamedTuple):
    """Audio has ended session after session: the sender keeps it and tries it again later."""

    samples: int


class BacklogRange(NamedTuple):
    """A range of one segment that is no longer pending in this sender; nobody speaks at its ends."""

    start: int
    end: int
    voiced: tuple[Range, ...]


class BacklogHandedOver(NamedTuple):
    """Backlog for another sender, so that it does not delay live speech. Audio before `sent_to` was sent already."""

    stretches: tuple[BacklogRange, ...]
    sent_to: int


class Learned(NamedTuple):
    """A property of the server that changes what the sender does from now on, as text for the log."""

    text: str


class ResumeReason(Enum):
    """The reason why a new session starts where it does; the value is text for the log."""

    PAUSE = "last pause both sides agree on"
    """The middle of the last gap in which the gate heard no voice and the recogniser no word."""
    RECORD_START = "start of the open record, which has no pause yet"
    WORD_GAP = "widest gap between two words, after a second break at the same place"
    NO_PROGRESS = "same place as before, because the last connection covered nothing new"
    OLDEST = "oldest audio without a transcript"
    QUARANTINE = "audio from the quarantine is tried again"


class Resumed(NamedTuple):
    """The next session sends audio again, from `position` on; this is why a word can be sent twice."""

    position: int
    reason: ResumeReason
    resent_samples: int
    """Audio that a session sent already and the next one sends again."""


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
    | Resumed
)
