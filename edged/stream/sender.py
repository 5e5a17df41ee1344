"""Sender: sends pending audio in order, over as many sessions as that takes. Pure.

Rules:
- `SendQueue` gives pending audio in order of position. So replayed and live audio are one queue.
- `SenderConnection` is what belongs to one connection: it sends from its cursor on, and finalizes each segment's end.
- After a break the next session starts where `ResumePolicy` decides. Quarantined audio is tried again later.
- `BufferLimits` decides what leaves when too much is pending.
- Calls go in, lists of events come out; time is an argument (seconds, monotonic).
"""

from typing import Final

from edged.config.settings import DeepgramSettings
from edged.gate.audio_gate import SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentOpened
from edged.stream import deepgram
from edged.stream.backoff import End, Hold
from edged.stream.buffer_limits import BufferLimits
from edged.stream.draft import PAUSE_MS
from edged.stream.events import BacklogHandedOver, Learned, ResumeReason, SenderEvent
from edged.stream.pending_audio import PendingAudio
from edged.stream.quarantine import Quarantine
from edged.stream.resume_policy import ResumePolicy, SessionOutcome
from edged.stream.send_queue import SendQueue
from edged.stream.sender_connection import SenderConnection
from edged.stream.server_traits import ConnectionClose, ServerTraits
from edged.stream.session import SendMessage, Session, SessionState
from edged.stream.transcript_assembler import TranscriptAssembler

MESSAGE_MS: Final = 250
"""Audio in one message: the server advises 20 to 250 ms."""


class Sender:
    """Everything between the gate and the records, but for the network and the clock."""

    def __init__(
        self,
        settings: DeepgramSettings,
        rate: int,
        *,
        utterance_max_s: float,
        keep_max_s: float,
        hand_over_s: float | None = None,
        gated: bool = True,
        has_source: bool = True,
        traits: ServerTraits | None = None,
    ) -> None:
        """Create a sender that keeps at most `keep_max_s` of audio, and hands over what has waited `hand_over_s`.

        Without `gated`, only the recogniser can call unvoiced audio silence. `has_source`: audio can come at any
        moment. `traits`: the known properties of the server, if other senders learn of it too.
        """
        self._settings = settings
        self.rate = rate
        self._gated = gated
        self._pause = PAUSE_MS * rate // 1000
        self.pending = PendingAudio()
        self._assembler = TranscriptAssembler(self.pending, rate, round(utterance_max_s * rate))
        self._quarantine = Quarantine()
        self._queue = SendQueue(self.pending, self._assembler, self._quarantine, MESSAGE_MS * rate // 1000)
        self._connection: SenderConnection | None = None
        self._may_hand_over = True
        """Audio that is handed over is safe elsewhere; otherwise it stays in memory."""
        self._has_source = has_source
        self._is_parked = not has_source
        self.keepalives = 0
        self._traits = traits or ServerTraits(settings)
        self._is_finishing, self._retry_quarantined = False, True
        after = None if hand_over_s is None else round(hand_over_s * rate)
        self._limits = BufferLimits(
            self.pending, self._assembler, keep_max=keep_max_s * rate, after=after, pause=self._pause
        )
        self._resume_policy = ResumePolicy(self.pending, self._assembler, self._quarantine, self._pause)
        self._retries_quarantine = False
        """The next session sends audio from the quarantine."""
        self._hold = Hold()
        self.end: End | None = None
        """The end of the last connection."""

    # -- from the gate ------------------------------------------------------------------------------------------------

    def feed(self, event: SegmentEvent) -> list[SenderEvent]:
        """Take what the gate lets through."""
        if isinstance(event, SegmentOpened):
            self.pending.open(event.at)
            return []
        if isinstance(event, SegmentAudio):
            self.pending.append(event.position, event.pcm, event.voiced)
            return self._with_released([*self._hand_over(), *self._limits.evict_excess()])
        segment = self.pending.segments[-1]
        self.pending.close(continues=event.continues)
        if not segment.is_over:
            return []
        silence = self._assembler.settle_silence(segment) if self._gated and not self.session else []
        return self._with_released([*self._assembler.close_segment(segment), *silence])

    def request_close(self) -> None:
        """The connection is wanted elsewhere: end it where nobody speaks. What is left is sent on the next one."""
        if self._connection:
            self._connection.request_close()

    def finish(self, *, retry_aside: bool = True) -> None:
        """No audio follows: once all has been sent the session is asked for the last words and the end.

        `retry_aside`: what was set aside is tried again before that.
        """
        self._is_finishing, self._retry_quarantined = True, retry_aside

    def source_opened(self) -> None:
        """Hold a connection from now on, because audio can come at any moment."""
        self._has_source, self._is_parked = True, False

    def source_lost(self) -> None:
        """Release an idle connection sooner, because no live audio comes."""
        self._has_source = False

    def allow_handover(self, allowed: bool) -> None:
        """Allow or forbid handing backlog over: it must be safe elsewhere before it leaves memory."""
        self._may_hand_over = allowed

    # -- what the shell wants to know ---------------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session of the open connection."""
        return self._connection.session if self._connection else None

    @property
    def sent_samples(self) -> int:
        """Samples sent over all connections; what is sent again counts again."""
        return self._queue.sent_samples

    @property
    def has_source(self) -> bool:
        """Whether audio can come at any moment, so that a connection is worth holding."""
        return self._has_source

    @property
    def is_parked(self) -> bool:
        """Whether the connection was closed for lack of audio: connect again when somebody speaks."""
        return self._is_parked

    @property
    def backlog(self) -> int:
        """Samples let through and not answered."""
        return self.pending.waiting.total

    @property
    def unsent(self) -> int:
        """Samples of the backlog that this connection, or the next one, has still to send."""
        return self._queue.unsent_samples(self._connection.cursor if self._connection else self._queue.start())

    def has_work(self, now: float) -> bool:
        """Something waits that a new connection would send."""
        self._retry_quarantine_if_due(now)
        return self._queue.has_next()

    def wants_priming(self) -> bool:
        """The connection needs audio to live, and has not enough to send."""
        return self._connection is not None and self._connection.wants_priming()

    def next_deadline(self, now: float) -> float | None:
        """When `poll` wants to be called again, unless something else happens before; None without a session."""
        connection = self._connection
        return connection.next_deadline(now, has_source=self._has_source) if connection else None

    # -- the connection -----------------------------------------------------------------------------------------------

    def connected(self, now: float, request_id: str) -> list[SenderEvent]:
        """Begin a session on an open connection. Raises RuntimeError if there is one already."""
        if self._connection is not None:
            raise RuntimeError("a sender has one session at a time")
        self._retry_quarantine_if_due(now)
        effects = self._hand_over()
        if self._retries_quarantine:
            self._retries_quarantine = False
            effects += self._queue.resumed(ResumeReason.QUARANTINE, self._queue.sent_to)
        self._is_parked = False
        self._connection = SenderConnection(
            self._settings,
            self.rate,
            now,
            request_id=request_id,
            queue=self._queue,
            pending=self.pending,
            assembler=self._assembler,
            traits=self._traits,
            pause_samples=self._pause,
        )
        return self._with_released(effects)

    def message_sent(self, now: float) -> None:
        """Note that a message was handed to the kernel."""
        if self.session:
            self.session.message_sent(now)

    def receive(self, text: str | bytes, now: float) -> list[SenderEvent]:
        """Handle a message of the server."""
        return self._with_released(self._connection.receive(text, now)) if self._connection else []

    def poll(self, now: float) -> list[SenderEvent]:
        """Handle due timers, and send what can be sent."""
        connection = self._connection
        if connection is None:
            return []
        if self._quarantine.is_due(now):
            connection.request_close()  # it sends in order of position: quarantined audio needs another connection
        was_parked = connection.is_parked
        effects = connection.poll(now, has_source=self._has_source, is_finishing=self._is_finishing)
        self.keepalives += sum(1 for e in effects if isinstance(e, SendMessage) and e.data == deepgram.KEEP_ALIVE)
        if connection.is_parked and not was_parked:
            self._is_parked = True
        return self._with_released(effects)

    def connection_lost(self, now: float, code: int | None = None, *, given_up: bool = False) -> list[SenderEvent]:
        """The connection has ended (with this close code) or was `given_up` for another: nothing of it counts now."""
        connection = self._connection
        if connection is None:
            return []
        session = connection.session
        draining, ours = session.state is SessionState.DRAINING, given_up or session.state is SessionState.OVER
        session.abandon()
        self._connection = None
        effects: list[SenderEvent] = []
        if not ours:
            finalized_s = None if session.finalized_at is None else now - session.finalized_at
            learned = self._traits.closed(ConnectionClose(code, draining, session.answered_to > 0, finalized_s), now)
            effects += [Learned(learned)] if learned else []
        ending = self._traits.ending(code, draining=draining, flushed=connection.is_flushed)
        ended = SessionOutcome(
            connection.cursor, session.map.sent_samples > 0, session.results > 0 and not given_up, ending
        )
        decision = self._resume_policy.decide(ended, now)
        effects += decision.events
        for segment in list(self.pending.segments):
            if segment.is_over and (self._gated or segment.end <= connection.cursor):
                effects += self._assembler.settle_silence(segment)
        if decision.reason:
            effects += self._queue.resumed(decision.reason, connection.cursor)
        self._assembler.discard_interims()
        self.end = End(
            ours=ours,
            in_order=draining or connection.is_flushed,
            progress=self._queue.transcribed_samples > connection.transcribed_before_samples,
            left=self._queue.has_next(),
            results=session.results > 0,
            held_s=now - session.opened_at,
        )
        self._is_parked = self._is_parked or not self._hold.after(self.end)
        return self._with_released(effects)

    def mark_sent_before(self, position: int) -> None:
        """Mark audio before a position as sent by another sender, so that sending it again is a replay."""
        self._queue.mark_sent_before(position)

    # -- breaks and bounds --------------------------------------------------------------------------------------------

    def _retry_quarantine_if_due(self, now: float) -> None:
        """Try again what was set aside: after a while, or when there is nothing else to end with."""
        last_thing = self._quarantine and self._is_finishing and self._retry_quarantined and not self._queue.has_next()
        if last_thing or self._quarantine.is_due(now):
            self._quarantine.clear()
            self._resume_policy.reset()
            self._retries_quarantine = True

    def _with_released(self, effects: list[SenderEvent]) -> list[SenderEvent]:
        """With what left the account meanwhile, behind the records that released it."""
        released, self.pending.released = self.pending.released, []
        return [*effects, *released] if released else effects

    def _hand_over(self) -> list[SenderEvent]:
        if not self._may_hand_over:
            return []
        uttered, stretches = self._limits.hand_over(self._connection.cursor if self._connection else None)
        if not stretches:
            return [*uttered]
        self._quarantine.remove(stretches[0].start, stretches[-1].end)
        return [*uttered, BacklogHandedOver(stretches, self._queue.sent_to)]
