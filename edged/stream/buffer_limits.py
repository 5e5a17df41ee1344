"""Bounds of a sender's pending audio: hands over backlog that would delay live speech, and evicts excess. Pure."""

from typing import Final

from edged.stream.events import AudioEvicted, BacklogRange
from edged.stream.pending_audio import PendingAudio
from edged.stream.transcript_assembler import TranscriptAssembler, UtteranceReady

LOOK_PAUSES: Final = 10
"""Length of the search for a quiet place, in pauses: 1.5 s, longer than a word."""


class BufferLimits:
    """Bounds of one sender. All lengths are in samples."""

    def __init__(
        self, pending: PendingAudio, assembler: TranscriptAssembler, *, keep_max: float, after: int | None, pause: int
    ) -> None:
        """Keep at most `keep_max`, and hand over what has waited `after` (None: never), up to a `pause`."""
        self._pending = pending
        self._assembler = assembler
        self._keep_max = keep_max
        self._after = after
        self._pause = pause

    def hand_over(self, sending_from: int | None) -> tuple[list[UtteranceReady], tuple[BacklogRange, ...]]:
        """Hand over the backlog up to the last pause, but not the segment that a session is sending.

        If no pause comes before half of `keep_max` is pending (rain, a television), cut near its ends instead, at the
        quietest place there.
        """
        pending = self._pending
        first = pending.waiting.following(sending_from or 0)
        if self._after is None or first is None or pending.end - first[0] <= self._after:
            return [], ()
        low = first[0]
        if sending_from is not None:  # from the next segment on: this one is cut by nothing
            low = next((s.start for s in pending.segments if s.start >= low and s.start == s.chain_start), pending.end)
        upto = pending.last_pause(self._pause)
        if upto is None or upto <= low:
            look = LOOK_PAUSES * self._pause
            if pending.waiting.total <= max(self._after, self._keep_max / 2) or pending.end - first[0] < 2 * look:
                return [], ()
            upto = self._place(pending.end - look, pending.end)
            low = first[0] if sending_from is None else self._behind_sent(first[0], look)
            if upto <= low:
                return [], ()
            if sending_from is not None:
                pending.split(low)
        draft = self._assembler.draft
        uttered = self._assembler.record_draft() if draft and draft.start < upto and sending_from is None else []
        pending.split(upto)
        stretches = tuple(
            BacklogRange(start, end, tuple(segment.voiced.within(start, end)))
            for segment in list(pending.segments)
            for start, end in pending.waiting.within(max(low, segment.start), min(segment.end, upto))
        )
        pending.release(low, upto, "handed over")
        return uttered, stretches

    def _behind_sent(self, at: int, look: int) -> int:
        """Return a place soon after `at` to cut the segment that was sent up to there; its start if none was sent."""
        segment = self._pending.segment_at(at)
        if segment is None or segment.chain_start == at:
            return at
        behind = max(at, segment.speech_start(self._pause))
        return self._place(behind, behind + look)

    def _place(self, start: int, end: int) -> int:
        """Return a pause in `[start, end]`, or the quietest place; a segment's pre-roll stays with its speech."""
        pauses = self._pending.pauses(start, end, self._pause)
        place = pauses[0] if pauses else self._pending.quietest_position(start, end, self._pause // 5)
        segment = self._pending.segment_at(place)
        return segment.start if segment and place < segment.speech_start(self._pause) else place

    def evict_excess(self) -> list[UtteranceReady | AudioEvicted]:
        """Evict the oldest audio beyond `keep_max`, but record what finals have covered of it."""
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
