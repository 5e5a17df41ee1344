"""Where a lane goes on after a break, and when it has tried often enough. Pure.

The law:
- It goes on from the middle of the last pause behind a word of the finals that are not recorded; without one from the
  draft's start; from there a second time, from the widest gap between two words beyond it. (Not from the last final's
  end: forced finals end in mid-word. In 170 simulated minutes of breaks in mid-sentence that lost 31 of 13,160 words.)
- What a server says as it ends the stream, all of a segment having been sent, is recorded: nothing goes back behind it.
- A session that covered nothing new is no reason to go back further.
- What the server has flushed twice without a word is silence; what has ended three sessions that otherwise gave
  results is set aside.
"""

from typing import Final, Literal, NamedTuple

from edged.stream.scribe import Scribe

BREAKS_WITHOUT_PROGRESS: Final = 2
SESSIONS_BEFORE_ASIDE: Final = 3


class Ended(NamedTuple):
    """What an ended session came to."""

    sent_to: int
    """It sent audio up to this position, or nothing if that is 0."""
    answered: bool
    """It gave results, and was not ended by us."""
    flushed: bool
    """The server has answered CloseStream: it has said all that it will say."""


class GoOn(NamedTuple):
    """The next session begins `at` a position, or what lies there up to `Ended.sent_to` is silence, or poison."""

    at: int
    then: Literal["replay", "silence", "aside"] = "replay"


class Breaks:
    """Counts the breaks at one place. It outlives the sessions that end there."""

    def __init__(self) -> None:
        self._tried_from: int | None = None
        """The pause or the draft's start from which it went on before."""
        self._went_on: int | None = None
        self._count = 0
        self._ended_here = 0
        """Sessions that gave results, and still ended at this point."""

    def forget(self) -> None:
        """What was set aside is tried again: count anew."""
        self._count = self._ended_here = 0

    def after(self, ended: Ended, scribe: Scribe, first: int | None) -> GoOn | None:
        """Decide, and discard what the scribe has drafted beyond it. `first`: what has waited longest, if anything."""
        at = self._place(scribe, first)
        if at is None:
            return None
        if at != self._went_on:
            self._went_on, self._ended_here = at, 0
        sent = ended.sent_to > at
        self._ended_here += sent and ended.answered
        if self._count >= BREAKS_WITHOUT_PROGRESS and ended.flushed and sent:
            return GoOn(at, "silence")
        return GoOn(at, "aside" if self._ended_here >= SESSIONS_BEFORE_ASIDE else "replay")

    def _place(self, scribe: Scribe, first: int | None) -> int | None:
        at = scribe.resume_point() if scribe.draft else first
        covered = scribe.draft.end if scribe.draft else first
        if at is None:
            return None
        if covered == self._went_on:
            self._count += 1
            return covered
        if at != self._tried_from:
            self._tried_from, self._count = at, 1
        else:
            self._count = BREAKS_WITHOUT_PROGRESS
            at = scribe.between_words(max(at, self._went_on or 0)) if scribe.draft else at
        scribe.cut_back(at)
        return at
