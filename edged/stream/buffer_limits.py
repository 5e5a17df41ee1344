"""What a lane parts with: backlog that would delay live speech, and what is more than may be kept. Pure."""

from typing import Final

from edged.stream.events import AudioEvicted, BacklogRange
from edged.stream.pending_audio import PendingAudio
from edged.stream.transcript_assembler import TranscriptAssembler, UtteranceReady

LOOK_PAUSES: Final = 10
"""So far a quiet place is looked for: words are shorter than 1.5 s."""


class BufferLimits:
    """The bounds of a lane. All lengths are in samples."""

    def __init__(
        self, account: PendingAudio, scribe: TranscriptAssembler, *, keep_max: float, after: int | None, pause: int
    ) -> None:
        """More than `keep_max` is never kept; what has waited `after` is handed over (None: never), up to a `pause`."""
        self._pending = account
        self._assembler = scribe
        self._keep_max = keep_max
        self._after = after
        self._pause = pause

    def hand_over(self, sending_from: int | None) -> tuple[list[UtteranceReady], tuple[BacklogRange, ...]]:
        """Part with a backlog, up to the last pause; not with the segment that a session is sending.

        Where no such place comes until half of what may be kept waits (rain, a television), it is parted near its
        ends instead, where it is quietest there.
        """
        account = self._pending
        first = account.waiting.following(sending_from or 0)
        if self._after is None or first is None or account.end - first[0] <= self._after:
            return [], ()
        low = first[0]
        if sending_from is not None:  # from the next segment on: this one is cut by nothing
            low = next((s.start for s in account.segments if s.start >= low and s.start == s.chain_start), account.end)
        upto = account.last_pause(self._pause)
        if upto is None or upto <= low:
            look = LOOK_PAUSES * self._pause
            if account.waiting.total <= max(self._after, self._keep_max / 2) or account.end - first[0] < 2 * look:
                return [], ()
            upto = self._place(account.end - look, account.end)
            low = first[0] if sending_from is None else self._behind_sent(first[0], look)
            if upto <= low:
                return [], ()
            if sending_from is not None:
                account.split(low)
        draft = self._assembler.draft
        uttered = self._assembler.record_draft() if draft and draft.start < upto and sending_from is None else []
        account.split(upto)
        stretches = tuple(
            BacklogRange(start, end, tuple(segment.voiced.within(start, end)))
            for segment in list(account.segments)
            for start, end in account.waiting.within(max(low, segment.start), min(segment.end, upto))
        )
        account.release(low, upto, "handed over")
        return uttered, stretches

    def _behind_sent(self, at: int, look: int) -> int:
        """Where the segment that was sent up to `at` may be parted soon; at its start if none of it was sent."""
        segment = self._pending.segment_at(at)
        if segment is None or segment.chain_start == at:
            return at
        behind = max(at, segment.speech_start(self._pause))
        return self._place(behind, behind + look)

    def _place(self, start: int, end: int) -> int:
        """A pause in `[start, end]`, or where it is quietest; but a segment's pre-roll stays with its speech."""
        pauses = self._pending.pauses(start, end, self._pause)
        place = pauses[0] if pauses else self._pending.quietest_position(start, end, self._pause // 5)
        segment = self._pending.segment_at(place)
        return segment.start if segment and place < segment.speech_start(self._pause) else place

    def evict_excess(self) -> list[UtteranceReady | AudioEvicted]:
        """Of what is more than may be kept the oldest goes, but what finals have covered of it is recorded."""
        effects: list[UtteranceReady | AudioEvicted] = []
        evicted = 0
        while self._pending.waiting.total > self._keep_max:
            oldest = self._pending.oldest_audio()
            if oldest is None:
                break
            draft = self._assembler.draft
            if draft and draft.start < oldest[1] and draft.end > oldest[0]:
                effects += self._assembler.record_draft()
            else:
                evicted += self._pending.release(*oldest, "evicted")
        return [*effects, AudioEvicted(evicted)] if evicted else effects
