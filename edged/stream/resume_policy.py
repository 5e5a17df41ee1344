"""Where the sender resumes after a break, and when it stops retrying. Pure.

Rules:
- The sender resumes from the middle of the last pause after a word of the finals that are not recorded yet. Without a
  pause it resumes from the draft's start. From the same place a second time, it resumes from the widest gap between two
  words beyond it. (Not from the end of the last final: forced finals end in mid-word. In 170 simulated minutes of
  breaks in mid-sentence that lost 31 of 13,160 words.)
- What a server says while it ends the stream is recorded if all of the segment was sent: nothing resumes before it.
- A session that covered nothing new is no reason to resume further back.
- Audio that the server has flushed twice without a word is silence. Audio that has ended three sessions that gave
  results is quarantined.
"""

from typing import Final, NamedTuple

from edged.stream.events import AudioQuarantined, ResumeReason
from edged.stream.pending_audio import PendingAudio
from edged.stream.quarantine import Quarantine
from edged.stream.server_traits import CloseKind
from edged.stream.transcript_assembler import TranscriptAssembler, UtteranceReady

BREAKS_WITHOUT_PROGRESS: Final = 2
FLUSHES_BEFORE_SILENCE: Final = 2
SESSIONS_BEFORE_QUARANTINE: Final = 3


class SessionOutcome(NamedTuple):
    """The result of an ended session, as far as the resume policy needs it."""

    cursor: int
    """The session sent the pending audio before this position."""
    has_sent: bool
    """The session sent audio."""
    has_results: bool
    """The session gave results, and we did not end it."""
    ending: CloseKind


class ResumeDecision(NamedTuple):
    """The reason of the next session's start, and the records and events that the break causes."""

    reason: ResumeReason | None
    """None if nothing that was sent is pending."""
    events: list[UtteranceReady | AudioQuarantined]


class ResumePolicy:
    """Count of the breaks at one place: it outlives the sessions that end there."""

    def __init__(
        self, pending: PendingAudio, assembler: TranscriptAssembler, quarantine: Quarantine, pause_samples: int
    ) -> None:
        """Create a policy. Nobody speaks in a gap of `pause_samples` or more."""
        self._pending = pending
        self._assembler = assembler
        self._quarantine = quarantine
        self._pause_samples = pause_samples
        self._tried_from: int | None = None
        """The pause or the draft's start from which an earlier session resumed."""
        self._resumed_at: int | None = None
        self._breaks = 0
        self._sessions_ended_here = 0
        """Number of sessions that gave results, and still ended at this position."""
        self._flushes_here = 0
        """Number of sessions that the server ended completely without a word about this position."""

    def reset(self) -> None:
        """Clear the counts, because quarantined audio is tried again."""
        self._breaks = self._sessions_ended_here = self._flushes_here = 0

    def decide(self, outcome: SessionOutcome, now: float) -> ResumeDecision:
        """Decide where the next session starts, and discard the draft beyond that position."""
        cursor = outcome.cursor
        segment = self._pending.segment_at(cursor - 1)  # a word may have begun in it
        is_whole = segment is None or (segment.closed and cursor >= segment.end)
        # What the server says while it ends the stream is all that it will say: no reason to resume before that.
        events: list[UtteranceReady | AudioQuarantined] = (
            [*self._assembler.record_draft()] if is_whole and self._has_said_all(outcome) else []
        )
        first = self._quarantine.next(self._pending, 0, 1)
        choice = self._choose(first[0] if first else None)
        if choice is None:
            return ResumeDecision(None, events)
        position, reason = choice
        if position != self._resumed_at:
            self._resumed_at, self._sessions_ended_here, self._flushes_here = position, 0, 0
        has_sent = outcome.has_sent and cursor > position
        self._sessions_ended_here += has_sent and outcome.has_results
        self._flushes_here += has_sent and outcome.ending in (CloseKind.USUAL, CloseKind.FLUSHED)
        if has_sent and self._is_silence(outcome):
            events += self._assembler.record_draft()
            self._pending.release(position, cursor if is_whole or not segment else segment.start, "silence")
            reason = ResumeReason.OLDEST
        elif self._sessions_ended_here >= SESSIONS_BEFORE_QUARANTINE:
            quarantined = self._add_to_quarantine(position, cursor, now)
            events += quarantined
            reason = ResumeReason.OLDEST if quarantined else reason
        return ResumeDecision(reason, events)

    def _has_said_all(self, outcome: SessionOutcome) -> bool:
        draft = self._assembler.draft
        if draft is None or not draft.words or outcome.ending is CloseKind.BROKEN:
            return False
        return outcome.ending is CloseKind.FLUSHED or not self._pending.has_voice(draft.end, outcome.cursor)

    def _is_silence(self, outcome: SessionOutcome) -> bool:
        if outcome.ending is CloseKind.FLUSHED:
            return self._breaks >= BREAKS_WITHOUT_PROGRESS
        return outcome.ending is CloseKind.USUAL and self._flushes_here >= FLUSHES_BEFORE_SILENCE

    def _add_to_quarantine(self, start: int, cursor: int, now: float) -> list[UtteranceReady | AudioQuarantined]:
        pending = self._pending
        end = pending.next_pause(cursor, self._pause_samples, beyond=start)
        if end <= start:
            return []
        records = self._assembler.record_draft()
        pending.split(end)  # when the rest of the segment is transcribed, this is not
        self._quarantine.add(start, end, now)
        return [*records, AudioQuarantined(sum(b - a for a, b in pending.waiting.within(start, end)))]

    def _choose(self, first: int | None) -> tuple[int, ResumeReason] | None:
        """Return where to resume and why; `first` is the first position that is pending and not quarantined."""
        assembler = self._assembler
        draft = assembler.draft
        start = assembler.resume_point() if draft else first
        covered = draft.end if draft else first
        if start is None:
            return None
        reason = ResumeReason.PAUSE
        if draft is None:
            reason = ResumeReason.OLDEST
        elif start == draft.start:
            reason = ResumeReason.RECORD_START
        if covered is not None and covered == self._resumed_at:
            self._breaks += 1
            return covered, ResumeReason.NO_PROGRESS
        if start != self._tried_from:
            self._tried_from, self._breaks = start, 1
        else:
            self._breaks = BREAKS_WITHOUT_PROGRESS
            if draft:
                start, reason = assembler.quietest_gap(max(start, self._resumed_at or 0)), ResumeReason.WORD_GAP
        assembler.truncate(start)
        return start, reason
