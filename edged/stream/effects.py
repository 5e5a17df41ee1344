"""What a lane tells its shell: to send, to hang up, what to record, and what became of the audio."""

from typing import NamedTuple

from edged.ranges import Range
from edged.stream.account import Released
from edged.stream.scribe import Uttered
from edged.stream.session import Hangup, Noted, Send, Warned


class Showing(NamedTuple):
    """What is being said at the moment, for people only."""

    text: str


class Evicted(NamedTuple):
    """Audio was dropped unanswered, because more waits than may."""

    samples: int


class SetAside(NamedTuple):
    """Audio has ended session after session; it is kept, and tried later."""

    samples: int


class Handed(NamedTuple):
    """A stretch of one segment that waits no longer in this lane; nobody speaks at its ends."""

    start: int
    end: int
    voiced: tuple[Range, ...]


class HandedOver(NamedTuple):
    """Backlog for another lane, so that it does not delay live speech. `sent_to`: it was sent before, up to there."""

    stretches: tuple[Handed, ...]
    sent_to: int


class Learned(NamedTuple):
    """Something about the server that changes what is done from now on, for the log."""

    text: str


LaneEffect = Send | Hangup | Noted | Warned | Uttered | Showing | Evicted | SetAside | HandedOver | Released | Learned
