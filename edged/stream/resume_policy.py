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

from typing import Final, NamedTuple

from edged.stream.events import AudioQuarantined
from edged.stream.pending_audio import PendingAudio
from edged.stream.quarantine import Quarantine
from edged.stream.server_traits import CloseKind
from edged.stream.transcript_assembler import TranscriptAssembler, UtteranceReady

BREAKS_WITHOUT_PROGRESS: Final = 2
FLUSHES_BEFORE_SILENCE: Final = 2
SESSIONS_BEFORE_ASIDE: Final = 3


class SessionOutcome(NamedTuple):
    """What an ended session came to."""

    cursor: int
    """It sent what waited before this position."""
    sent: bool
    """It sent audio."""
    answered: bool
    """It gave results, and was not ended by us."""
    ending: CloseKind


class ResumePolicy:
    """Counts the breaks at one place. It outlives the sessions that end there."""

    def __init__(self, account: PendingAudio, scribe: TranscriptAssembler, aside: Quarantine, pause: int) -> None:
        """`pause`, in samples: nobody speaks for so long."""
        self._account = account
        self._scribe = scribe
        self._aside = aside
        self._pause = pause
        self._tried_from: int | None = None
        """The pause or the draft's start from which it went on before."""
        self._went_on: int | None = None
        self._count = 0
        self._ended_here = 0
        """Sessions that gave results, and still ended at this point."""
        self._flushed_here = 0
        """Sessions on which the server has said all there is, and nothing of this."""

    def reset(self) -> None:
        """What was set aside is tried again: count anew."""
        self._count = self._ended_here = self._flushed_here = 0

    def decide(self, ended: SessionOutcome, now: float) -> list[UtteranceReady | AudioQuarantined]:
        """Decide where the next session goes on: what was drafted beyond that is discarded."""
        scribe, cursor = self._scribe, ended.cursor
        going_on = self._account.segment_at(cursor - 1)  # a word may have begun in it
        whole = going_on is None or (going_on.closed and cursor >= going_on.end)
        # What it said while it ended the stream is all that it will say: that is no break to go back behind.
        effects: list[UtteranceReady | AudioQuarantined] = (
            [*scribe.record_draft()] if whole and self._has_said_all(ended) else []
        )
        first = self._aside.next(self._account, 0, 1)
        at = self._place(first[0] if first else None)
        if at is None:
            return effects
        if at != self._went_on:
            self._went_on, self._ended_here, self._flushed_here = at, 0, 0
        sent = ended.sent and cursor > at
        self._ended_here += sent and ended.answered
        self._flushed_here += sent and ended.ending in (CloseKind.USUAL, CloseKind.FLUSHED)
        if sent and self._is_silence(ended):
            effects += scribe.record_draft()
            self._account.release(at, cursor if whole or not going_on else going_on.start, "silence")
        elif self._ended_here >= SESSIONS_BEFORE_ASIDE:
            effects += self._set_aside(at, cursor, now)
        return effects

    def _has_said_all(self, ended: SessionOutcome) -> bool:
        draft = self._scribe.draft
        if draft is None or not draft.words or ended.ending is CloseKind.BROKEN:
            return False
        return ended.ending is CloseKind.FLUSHED or not self._account.has_voice(draft.end, ended.cursor)

    def _is_silence(self, ended: SessionOutcome) -> bool:
        if ended.ending is CloseKind.FLUSHED:
            return self._count >= BREAKS_WITHOUT_PROGRESS
        return ended.ending is CloseKind.USUAL and self._flushed_here >= FLUSHES_BEFORE_SILENCE

    def _set_aside(self, at: int, cursor: int, now: float) -> list[UtteranceReady | AudioQuarantined]:
        account = self._account
        upto = account.next_pause(cursor, self._pause, beyond=at)
        if upto <= at:
            return []
        uttered = self._scribe.record_draft()
        account.split(upto)  # when the rest of the segment is answered, this is not
        self._aside.add(at, upto, now)
        return [*uttered, AudioQuarantined(sum(b - a for a, b in account.waiting.within(at, upto)))]

    def _place(self, first: int | None) -> int | None:
        scribe = self._scribe
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
            at = scribe.quietest_gap(max(at, self._went_on or 0)) if scribe.draft else at
        scribe.truncate(at)
        return at
