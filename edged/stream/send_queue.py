"""The order in which pending audio is sent, and how much of it was sent before. Pure."""

from edged.model.ranges import Range
from edged.stream.events import Resumed, ResumeReason
from edged.stream.pending_audio import PendingAudio
from edged.stream.quarantine import Quarantine
from edged.stream.transcript_assembler import TranscriptAssembler


class SendQueue:
    """Pending audio of one sender, in order of position, over all its connections."""

    def __init__(
        self, pending: PendingAudio, assembler: TranscriptAssembler, quarantine: Quarantine, message_samples: int
    ) -> None:
        self._pending = pending
        self._assembler = assembler
        self._quarantine = quarantine
        self._message_samples = message_samples
        self.sent_samples = 0
        """Samples sent; what is sent again counts again."""
        self.sent_to = 0
        """No position at or beyond this was ever sent: what is sent below it is sent again."""

    def start(self) -> int:
        """Return where a new connection begins: after the draft, or with the oldest pending audio."""
        return self._assembler.draft.end if self._assembler.draft else 0

    def next(self, cursor: int) -> Range | None:
        """Return the next range to send at or after the cursor, at most one message long."""
        return self._quarantine.next(self._pending, cursor, self._message_samples)

    def has_next(self) -> bool:
        """Return whether a new connection would have something to send."""
        return self.next(self.start()) is not None

    def unsent_samples(self, cursor: int) -> int:
        """Return how many samples are still to be sent from the cursor on."""
        return sum(b - a for a, b in self._pending.waiting.within(cursor, self._pending.end))

    def mark_sent(self, start: int, end: int) -> None:
        """Note that `[start, end)` was sent."""
        self.sent_samples += end - start
        self._assembler.resent.add(start, min(end, self.sent_to))
        self.sent_to = max(self.sent_to, end)

    def mark_sent_before(self, position: int) -> None:
        """Mark audio before a position as sent by another sender, so that sending it again is a replay."""
        self.sent_to = max(self.sent_to, position)

    def resumed(self, reason: ResumeReason, sent_to: int) -> list[Resumed]:
        """Return the event that explains a replay: none if the next connection begins with audio not sent yet.

        `sent_to`: end of what the connection before had sent.
        """
        following = self.next(self.start())
        if following is None or following[0] >= sent_to:
            return []
        start = following[0]
        return [Resumed(start, reason, sum(b - a for a, b in self._pending.waiting.within(start, sent_to)))]

    @property
    def transcribed_samples(self) -> int:
        """Samples of voice that a next connection would not send again."""
        draft = self._assembler.draft
        return self._pending.acknowledged_speech_samples + (
            self._pending.pending_voiced_samples(draft.start, draft.end) if draft else 0
        )
