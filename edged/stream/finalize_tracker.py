"""Segments whose end was sent: what is still waited for of them, and how long. Pure.

Endpointing often answers within the hangover, so that a Finalize gets no answer. So what stays unanswered is not waited
for without limit: silence is settled, the rest asked for once more, then asked for by ending the stream.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from edged.config.settings import DeepgramSettings
from edged.stream.pending_audio import PendingAudio, SpeechSegment
from edged.stream.session import Session
from edged.stream.transcript_assembler import TranscriptAssembler, UtteranceReady

PATIENCE: Final = 10
"""A server that lags but keeps answering is given this many finalize timeouts for one segment's end."""

Next = Literal["wait", "finalize", "drain", "mute"]
"""The sender's next step: nothing, ask (again), end the stream, or give up a server that has never said anything."""


@dataclass(slots=True)
class _PendingEnd:
    segment: SpeechSegment
    asked_at: float
    tries: int = 1


class FinalizeTracker:
    """Segment ends of one session that have no transcript yet, in order."""

    def __init__(self, settings: DeepgramSettings, pending: PendingAudio, assembler: TranscriptAssembler) -> None:
        self._timeout_s = settings.finalize_timeout_s
        self._pending = pending
        self._assembler = assembler
        self._waiting: deque[_PendingEnd] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def clear(self) -> None:
        """Forget all ends, because the session ends or is asked for everything."""
        self._waiting.clear()

    def add(self, segment: SpeechSegment, now: float) -> Next:
        """Track a segment that is over and has been sent completely."""
        if not self._is_pending(segment):
            return "wait"
        self._waiting.append(_PendingEnd(segment, now))
        return "finalize"

    def feed(self, reached: int) -> list[UtteranceReady]:
        """The oldest's Finalize was answered up to a position. If that reaches the last voiced frame, it was all."""
        segment = self._waiting[0].segment
        if not segment.voiced_end <= reached <= segment.end:
            return []
        return self._assembler.settle_segment(segment)

    def deadline(self, session: Session) -> float | None:
        """Return when to call `poll` again."""
        return self._due(self._waiting[0], session) if self._waiting else None

    def poll(self, session: Session, now: float, *, may_ask: bool) -> tuple[list[UtteranceReady], Next]:
        """Settle what is due and return the next step. `may_ask`: the server takes Finalize."""
        uttered: list[UtteranceReady] = []
        while self._waiting:
            tail = self._waiting[0]
            if self._is_pending(tail.segment):
                if now < self._due(tail, session):
                    break
                uttered += self._assembler.settle_silence(tail.segment)
                if self._is_pending(tail.segment):
                    # Something was heard in it: record what has come, and ask for the rest.
                    if self._assembler.draft and self._assembler.draft.chain_start == tail.segment.chain_start:
                        uttered += self._assembler.record_words()
                    if tail.tries > 1 or not may_ask:
                        return uttered, "drain"
                    tail.tries, tail.asked_at = 2, now
                    return uttered, "finalize"
                if not session.heard:
                    return uttered, "mute"
            self._waiting.popleft()
        return uttered, "wait"

    def _is_pending(self, segment: SpeechSegment) -> bool:
        return self._pending.waiting.overlaps(segment.start, segment.end)

    def _due(self, tail: _PendingEnd, session: Session) -> float:
        answered_at = max(tail.asked_at, session.last_result_at)
        return min(answered_at + self._timeout_s, tail.asked_at + PATIENCE * self._timeout_s)
