"""Sender: sends pending audio in order, over as many sessions as that takes. Pure.

Rules:
- A session sends pending audio in order of position, from the cursor on. So replayed and live audio are one queue.
- The sender finalizes each segment's end. `FinalizeTracker` follows what has no transcript after that.
- After a break the next session starts where `ResumePolicy` decides. Quarantined audio is tried again later.
- `BufferLimits` decides what leaves when too much is pending.
- Calls go in, lists of events come out; time is an argument (seconds, monotonic).
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from edged.config.settings import DeepgramSettings
from edged.gate.audio_gate import SegmentAudio, SegmentEvent
from edged.gate.gate import SegmentOpened
from edged.model.errors import UnreachableError
from edged.model.ranges import Range
from edged.stream import deepgram
from edged.stream.backoff import End, Hold
from edged.stream.buffer_limits import BufferLimits
from edged.stream.draft import PAUSE_MS
from edged.stream.events import (
    BacklogHandedOver,
    InterimText,
    Learned,
    Resumed,
    ResumeReason,
    SenderEvent,
)
from edged.stream.finalize_tracker import FinalizeTracker
from edged.stream.pending_audio import PendingAudio, SpeechSegment
from edged.stream.quarantine import Quarantine
from edged.stream.resume_policy import ResumePolicy, SessionOutcome
from edged.stream.server_traits import ConnectionClose, ServerTraits
from edged.stream.session import (
    FinalReceived,
    Hangup,
    InterimReceived,
    SendMessage,
    Session,
    SessionState,
    StreamFlushed,
    UtteranceEndReceived,
)
from edged.stream.transcript_assembler import TranscriptAssembler

MESSAGE_MS: Final = 250
"""Audio in one message: the server advises 20 to 250 ms."""

UNQUIET_S: Final = 2.0
"""A voice at the end of a segment may be a word's beginning: a connection is not left for so long."""

SOURCELESS_S: Final = 60.0
"""A connection outlives the microphone by this: a replug takes less, and without audio it is held for nothing."""


@dataclass(slots=True)
class _ConnectionProgress:
    """Progress of one connection, made anew for each."""

    request_id: str = ""
    cursor: int = 0
    """The connection has sent the pending audio before this position."""
    last_audio_at: float = 0.0
    transcribed_before_samples: int = 0
    """Speech that has had its transcript before this connection."""
    last_segment: SpeechSegment | None = None
    """The segment of the last audio sent, until its end has been finalized."""
    ended_quietly: bool = True
    """Nobody spoke at the end of the segment that was sent last."""
    has_finalized_priming: bool = False
    is_flushed: bool = False
    """The server has answered CloseStream."""
    is_closing: bool = False
    """The connection is to end where nobody speaks."""
    drain_from: float | None = None
    """Time of our CloseStream."""


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
        self._message = MESSAGE_MS * rate // 1000
        self._pause = PAUSE_MS * rate // 1000
        self.pending = PendingAudio()
        self._assembler = TranscriptAssembler(self.pending, rate, round(utterance_max_s * rate))
        self.session: Session | None = None
        self._may_hand_over = True
        """Audio that is handed over is safe elsewhere; otherwise it stays in memory."""
        self._has_source = has_source
        self._is_parked = not has_source
        self.sent_samples = 0
        self.keepalives = 0
        self._progress = _ConnectionProgress()
        self._finalize_tracker = FinalizeTracker(settings, self.pending, self._assembler)
        self._sent_to = 0
        """No position beyond this has ever been sent; what is sent below it is sent again."""
        self._traits = traits or ServerTraits(settings)
        self._is_finishing, self._retry_quarantined = False, True
        after = None if hand_over_s is None else round(hand_over_s * rate)
        self._limits = BufferLimits(
            self.pending, self._assembler, keep_max=keep_max_s * rate, after=after, pause=self._pause
        )
        self._quarantine = Quarantine()
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
        self._progress.is_closing = True

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
        start = self._progress.cursor if self.session else self._start()
        return sum(b - a for a, b in self.pending.waiting.within(start, self.pending.end))

    def has_work(self, now: float) -> bool:
        """Something waits that a new connection would send."""
        self._retry_quarantine_if_due(now)
        return self._next(self._start()) is not None

    def wants_priming(self) -> bool:
        """The connection needs audio to live, and has not enough to send."""
        session = self.session
        if session is None or session.state is not SessionState.OPEN or session.heard or self._settings.prime_s <= 0:
            return False
        waits = self.unsent
        enough_s = self._settings.prime_s if waits else self._settings.prime_max_s
        return session.map.sent_samples + waits < enough_s * self.rate

    def next_deadline(self, now: float) -> float | None:
        """When `poll` wants to be called again, unless something else happens before; None without a session."""
        session = self.session
        if session is None or session.state is SessionState.OVER:
            return None
        deadlines = [session.next_deadline()]
        if session.state is SessionState.DRAINING:
            deadlines.append(self._drain_by(session))
        else:
            tail_by = self._finalize_tracker.deadline(session)
            deadlines += [] if tail_by is None else [tail_by]
            following = self._next(self._progress.cursor)
            if following:
                room_at = session.room_at(following[1] - following[0], now)
                deadlines += [] if room_at is None else [room_at]
            elif (idle_limit_s := self._idle_limit_s()) is not None:
                deadlines.append(self._progress.last_audio_at + idle_limit_s)
        return min(deadlines)

    # -- the connection -----------------------------------------------------------------------------------------------

    def connected(self, now: float, request_id: str) -> list[SenderEvent]:
        """Begin a session on an open connection. Raises RuntimeError if there is one already."""
        if self.session is not None:
            raise RuntimeError("a sender has one session at a time")
        self._retry_quarantine_if_due(now)
        effects = self._hand_over()
        if self._retries_quarantine:
            self._retries_quarantine = False
            effects += self._resumed(ResumeReason.QUARANTINE, self._sent_to)
        self.session = Session(self._settings, self.rate, now, may_finalize=self._traits.may_finalize(now))
        self._is_parked = False
        self._progress = _ConnectionProgress(
            request_id,
            cursor=self._start(),
            last_audio_at=now,
            transcribed_before_samples=self._transcribed_samples,
        )
        return self._with_released(effects)

    def message_sent(self, now: float) -> None:
        """Note that a message was handed to the kernel."""
        if self.session:
            self.session.message_sent(now)

    def receive(self, text: str | bytes, now: float) -> list[SenderEvent]:
        """Handle a message of the server."""
        session, assembler = self.session, self._assembler
        if session is None:
            return []
        effects: list[SenderEvent] = []
        for effect in session.receive(text, now):
            match effect:
                case FinalReceived():
                    if session.state is SessionState.DRAINING:
                        # We ended the stream, not the speaker: where somebody goes on speaking this is a break.
                        effect = effect._replace(speech_final=False)
                    effects += assembler.feed_final(effect, session.map, self._progress.request_id)
                    if effect.from_finalize and self._finalize_tracker:
                        effects += self._finalize_tracker.feed(session.map.position_reached(effect.reach))
                    effects.append(InterimText(assembler.unrecorded_text))
                case InterimReceived(words):
                    assembler.feed_interim(words, session.map)
                    effects.append(InterimText(assembler.unrecorded_text))
                case UtteranceEndReceived(last_word_end):
                    effects += assembler.feed_utterance_end(session.map.position_reached(last_word_end))
                case StreamFlushed():
                    self._progress.is_flushed = True
                case _:
                    effects.append(effect)
        return self._with_released(effects)

    def poll(self, now: float) -> list[SenderEvent]:
        """Handle due timers, and send what can be sent."""
        session = self.session
        if session is None:
            return []
        effects: list[SenderEvent] = [*session.poll(now)]
        if self._quarantine.is_due(now):
            self.request_close()  # a connection sends in order of position: what was set aside needs another
        self.keepalives += sum(1 for e in effects if isinstance(e, SendMessage) and e.data == deepgram.KEEP_ALIVE)
        if session.state is SessionState.DRAINING and now >= self._drain_by(session):
            session.abandon()
            effects.append(Hangup(UnreachableError("the server did not end the stream in time")))
        if session.state is SessionState.OPEN:
            effects += self._send(session, now)
        if session.state is SessionState.OPEN:
            effects += self._poll_finalize_tracker(session, now)
        if session.state is SessionState.OPEN and self._next(self._progress.cursor) is None:
            effects += self._at_rest(session, now)
        elif (
            session.state is SessionState.OPEN
            and self._progress.is_closing
            and self._may_close
            and not self._finalize_tracker
        ):
            effects += self._drain(session, now)
        return self._with_released(effects)

    def connection_lost(self, now: float, code: int | None = None, *, given_up: bool = False) -> list[SenderEvent]:
        """The connection has ended (with this close code) or was `given_up` for another: nothing of it counts now."""
        session = self.session
        if session is None:
            return []
        draining, ours = session.state is SessionState.DRAINING, given_up or session.state is SessionState.OVER
        session.abandon()
        self.session = None
        self._finalize_tracker.clear()
        effects: list[SenderEvent] = []
        if not ours:
            finalized_s = None if session.finalized_at is None else now - session.finalized_at
            learned = self._traits.closed(ConnectionClose(code, draining, session.answered_to > 0, finalized_s), now)
            effects += [Learned(learned)] if learned else []
        ending = self._traits.ending(code, draining=draining, flushed=self._progress.is_flushed)
        ended = SessionOutcome(
            self._progress.cursor, session.map.sent_samples > 0, session.results > 0 and not given_up, ending
        )
        decision = self._resume_policy.decide(ended, now)
        effects += decision.events
        for segment in list(self.pending.segments):
            if segment.is_over and (self._gated or segment.end <= self._progress.cursor):
                effects += self._assembler.settle_silence(segment)
        if decision.reason:
            effects += self._resumed(decision.reason, self._progress.cursor)
        self._assembler.discard_interims()
        self.end = End(
            ours=ours,
            in_order=draining or self._progress.is_flushed,
            progress=self._transcribed_samples > self._progress.transcribed_before_samples,
            left=self._next(self._start()) is not None,
            results=session.results > 0,
            held_s=now - session.opened_at,
        )
        self._is_parked = self._is_parked or not self._hold.after(self.end)
        return self._with_released(effects)

    def _resumed(self, reason: ResumeReason, sent_to: int) -> list[Resumed]:
        """Return the event that explains a replay: nothing if the next session begins with audio not sent yet."""
        following = self._next(self._start())
        if following is None or following[0] >= sent_to:
            return []
        start = following[0]
        return [Resumed(start, reason, sum(b - a for a, b in self.pending.waiting.within(start, sent_to)))]

    def mark_sent_before(self, position: int) -> None:
        """Mark audio before a position as sent by another sender, so that sending it again is a replay."""
        self._sent_to = max(self._sent_to, position)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _start(self) -> int:
        """Return where a new session begins: after the draft, or with the oldest pending audio."""
        return self._assembler.draft.end if self._assembler.draft else 0

    def _next(self, cursor: int) -> Range | None:
        """Return the next range to send at or after the cursor, at most one message long."""
        return self._quarantine.next(self.pending, cursor, self._message)

    def _send(self, session: Session, now: float) -> list[SenderEvent]:
        effects: list[SenderEvent] = []
        while True:
            following = self._next(self._progress.cursor)
            segment = self.pending.segment_at(following[0]) if following else None
            if (
                self._progress.last_segment
                and self._progress.last_segment.is_over
                and segment is not self._progress.last_segment
            ):
                effects += (
                    session.finalize(now)
                    if self._finalize_tracker.add(self._progress.last_segment, now) == "finalize"
                    else []
                )
                self._progress.ended_quietly = (
                    self._progress.last_segment.end - self._progress.last_segment.voiced_end >= self._pause
                )
                self._progress.last_segment = None
            if following is None or segment is None or (self._progress.is_closing and self._may_close):
                return effects
            start, end = following
            if session.room(now) < end - start:
                return effects
            effects += session.send_audio(start, self.pending.pcm(start, end), now)
            self._progress.last_segment, self._progress.cursor, self._progress.last_audio_at = segment, end, now
            self.sent_samples += end - start
            self._assembler.resent.add(start, min(end, self._sent_to))
            self._sent_to = max(self._sent_to, end)

    @property
    def _may_close(self) -> bool:
        """A gate with a second opinion can close on noise just where somebody begins to speak in it."""
        return self._progress.last_segment is None and self._progress.ended_quietly

    def _at_rest(self, session: Session, now: float) -> list[SenderEvent]:
        """Everything was sent: end, prime, or close after long silence."""
        if self._is_finishing:
            return self._drain(session, now)
        segment = self._open_segment()
        if not session.heard:
            if not self._has_source and not session.map.sent_samples:
                self._is_parked = True  # it was a check of the key: without audio the server would end it anyway
                return self._drain(session, now)
            primed = session.map.sent_samples >= self._settings.prime_s * self.rate
            if primed and segment and not segment.voiced and not self._progress.has_finalized_priming:
                self._progress.has_finalized_priming = True
                return [*session.finalize(now)]
        idle_limit_s = self._idle_limit_s()
        if idle_limit_s is not None and now >= self._progress.last_audio_at + idle_limit_s:
            self._is_parked = True
            return self._drain(session, now)
        return []

    def _open_segment(self) -> SpeechSegment | None:
        last = self.pending.segments[-1] if self.pending.segments else None
        return last if last and not last.closed else None

    def _idle_limit_s(self) -> float | None:
        """Return how long the connection may be idle; None while somebody speaks, a result is due, or for no limit."""
        if self._open_segment() or self._finalize_tracker:
            return None
        if self._progress.is_closing:
            return 0.0 if self._progress.ended_quietly else UNQUIET_S
        limits_s = [self._settings.idle_close_s or inf, inf if self._has_source else SOURCELESS_S]
        return None if min(limits_s) == inf else min(limits_s)

    def _drain(self, session: Session, now: float) -> list[SenderEvent]:
        self._progress.drain_from = now
        self._finalize_tracker.clear()
        return [*session.close_stream()]

    def _drain_by(self, session: Session) -> float:
        """A server that lags is waited for as long as it goes on answering."""
        return max(self._progress.drain_from or 0.0, session.last_result_at) + 2 * self._settings.finalize_timeout_s

    def _poll_finalize_tracker(self, session: Session, now: float) -> list[SenderEvent]:
        uttered, then = self._finalize_tracker.poll(session, now, may_ask=self._traits.may_finalize(now))
        if then == "finalize":
            return [*uttered, *session.finalize(now)]
        if then == "drain":
            return [*uttered, *self._drain(session, now)]
        if then == "mute":
            session.abandon()
            self._is_parked = True
            why = "the server stays mute; connecting again when somebody speaks"
            return [*uttered, Hangup(UnreachableError(why))]
        return [*uttered]

    # -- breaks and bounds --------------------------------------------------------------------------------------------

    @property
    def _transcribed_samples(self) -> int:
        """Samples with a voice in them that a next connection would not send again."""
        draft = self._assembler.draft
        return self.pending.acknowledged_speech_samples + (
            self.pending.pending_voiced_samples(draft.start, draft.end) if draft else 0
        )

    def _retry_quarantine_if_due(self, now: float) -> None:
        """Try again what was set aside: after a while, or when there is nothing else to end with."""
        last_thing = (
            self._quarantine and self._is_finishing and self._retry_quarantined and not self._next(self._start())
        )
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
        uttered, stretches = self._limits.hand_over(self._progress.cursor if self.session else None)
        if not stretches:
            return [*uttered]
        self._quarantine.remove(stretches[0].start, stretches[-1].end)
        return [*uttered, BacklogHandedOver(stretches, self._sent_to)]
