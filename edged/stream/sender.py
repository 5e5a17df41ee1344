"""A lane: the order in which waiting audio goes out, over as many sessions as it takes. Pure.

The law:
- The session sends what waits, in order of position, from the cursor on; so replay and live audio are one thing.
- Each segment's end is finalized; what stays unanswered of it is for `tails`.
- After a break it goes on where `breaks` says. What is set aside is tried again later; the queue goes on.
- What is too much is for `parting`.
- Calls in, lists of effects out; time is an argument (seconds, monotonic).
"""

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
        """`keep_max_s` bounds the audio in memory; what has waited `hand_over_s` is handed over, if that is given.

        `gated`: what was let through unvoiced need not be sent; else only the recogniser may call it silence. `traits`:
        what is known of the server, if other lanes learn of it too."""
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
        self._request_id = ""
        self._cursor = 0
        self._last: SpeechSegment | None = None
        """The segment of the last audio sent on this session, until its end has been finalized."""
        self._quiet_end = True
        """Nobody spoke at the end of the segment that was sent last."""
        self._finalize_tracker = FinalizeTracker(settings, self.pending, self._assembler)
        self._sent_to = 0
        """No position beyond this has ever been sent; what is sent below it is sent again."""
        self._traits = traits or ServerTraits(settings)
        self._prime_asked = self._flushed = False
        self._last_audio_at = 0.0
        self._drain_from: float | None = None
        self._finishing, self._is_closing, self._retry_quarantined = False, False, True
        after = None if hand_over_s is None else round(hand_over_s * rate)
        self._limits = BufferLimits(
            self.pending, self._assembler, keep_max=keep_max_s * rate, after=after, pause=self._pause
        )
        self._quarantine = Quarantine()
        self._resume_policy = ResumePolicy(self.pending, self._assembler, self._quarantine, self._pause)
        self._retries_quarantine = False
        """The next session sends audio from the quarantine."""
        self._transcribed_before_samples = 0
        """Speech that was answered before this connection."""
        self._hold = Hold()
        self.end: End | None = None
        """How the last connection ended."""

    # -- from the gate ------------------------------------------------------------------------------------------------

    def feed(self, event: SegmentEvent) -> list[SenderEvent]:
        """The gate let something through."""
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
        self._is_closing = True

    def finish(self, *, retry_aside: bool = True) -> None:
        """No audio follows: once all has been sent the session is asked for the last words and the end.

        `retry_aside`: what was set aside is tried again before that.
        """
        self._finishing, self._retry_quarantined = True, retry_aside

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
        start = self._cursor if self.session else self._start()
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
            following = self._next(self._cursor)
            if following:
                room_at = session.room_at(following[1] - following[0], now)
                deadlines += [] if room_at is None else [room_at]
            elif (idle_limit_s := self._idle_limit_s()) is not None:
                deadlines.append(self._last_audio_at + idle_limit_s)
        return min(deadlines)

    # -- the connection -----------------------------------------------------------------------------------------------

    def connected(self, now: float, request_id: str) -> list[SenderEvent]:
        """A connection is open. Raises RuntimeError if there is one already."""
        if self.session is not None:
            raise RuntimeError("a lane has one session at a time")
        self._retry_quarantine_if_due(now)
        effects = self._hand_over()
        if self._retries_quarantine:
            self._retries_quarantine = False
            effects += self._resumed(ResumeReason.QUARANTINE, self._sent_to)
        self.session = Session(self._settings, self.rate, now, may_finalize=self._traits.may_finalize(now))
        self._transcribed_before_samples = self._transcribed_samples
        self._is_parked = False
        self._request_id = request_id
        self._cursor = self._start()
        self._last, self._quiet_end = None, True
        self._last_audio_at = now
        self._drain_from = None
        self._prime_asked = self._flushed = self._is_closing = False
        return self._with_released(effects)

    def message_sent(self, now: float) -> None:
        """A message has left for the kernel."""
        if self.session:
            self.session.message_sent(now)

    def receive(self, text: str | bytes, now: float) -> list[SenderEvent]:
        """The server said something."""
        session, scribe = self.session, self._assembler
        if session is None:
            return []
        effects: list[SenderEvent] = []
        for effect in session.receive(text, now):
            match effect:
                case FinalReceived():
                    if session.state is SessionState.DRAINING:
                        # We ended the stream, not the speaker: where somebody goes on speaking this is a break.
                        effect = effect._replace(speech_final=False)
                    effects += scribe.feed_final(effect, session.map, self._request_id)
                    if effect.from_finalize and self._finalize_tracker:
                        effects += self._finalize_tracker.feed(session.map.position_reached(effect.reach))
                    effects.append(InterimText(scribe.unrecorded_text))
                case InterimReceived(words):
                    scribe.feed_interim(words, session.map)
                    effects.append(InterimText(scribe.unrecorded_text))
                case UtteranceEndReceived(last_word_end):
                    effects += scribe.feed_utterance_end(session.map.position_reached(last_word_end))
                case StreamFlushed():
                    self._flushed = True
                case _:
                    effects.append(effect)
        return self._with_released(effects)

    def poll(self, now: float) -> list[SenderEvent]:
        """What time brings about, and whatever can be sent."""
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
        if session.state is SessionState.OPEN and self._next(self._cursor) is None:
            effects += self._at_rest(session, now)
        elif session.state is SessionState.OPEN and self._is_closing and self._may_close and not self._finalize_tracker:
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
        ending = self._traits.ending(code, draining=draining, flushed=self._flushed)
        ended = SessionOutcome(self._cursor, session.map.sent_samples > 0, session.results > 0 and not given_up, ending)
        decision = self._resume_policy.decide(ended, now)
        effects += decision.events
        for segment in list(self.pending.segments):
            if segment.is_over and (self._gated or segment.end <= self._cursor):
                effects += self._assembler.settle_silence(segment)
        if decision.reason:
            effects += self._resumed(decision.reason, self._cursor)
        self._assembler.discard_interims()
        self.end = End(
            ours=ours,
            in_order=draining or self._flushed,
            progress=self._transcribed_samples > self._transcribed_before_samples,
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
        """What lies before a position was sent once, by another lane: what this one sends of it is a replay."""
        self._sent_to = max(self._sent_to, position)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _start(self) -> int:
        """Where a new session begins: after the draft, or with whatever has waited longest."""
        return self._assembler.draft.end if self._assembler.draft else 0

    def _next(self, cursor: int) -> Range | None:
        """Where the audio is to send at or after the cursor, for one message."""
        return self._quarantine.next(self.pending, cursor, self._message)

    def _send(self, session: Session, now: float) -> list[SenderEvent]:
        effects: list[SenderEvent] = []
        while True:
            following = self._next(self._cursor)
            segment = self.pending.segment_at(following[0]) if following else None
            if self._last and self._last.is_over and segment is not self._last:
                effects += session.finalize(now) if self._finalize_tracker.add(self._last, now) == "finalize" else []
                self._quiet_end = self._last.end - self._last.voiced_end >= self._pause
                self._last = None
            if following is None or segment is None or (self._is_closing and self._may_close):
                return effects
            start, end = following
            if session.room(now) < end - start:
                return effects
            effects += session.send_audio(start, self.pending.pcm(start, end), now)
            self._last, self._cursor, self._last_audio_at = segment, end, now
            self.sent_samples += end - start
            self._assembler.resent.add(start, min(end, self._sent_to))
            self._sent_to = max(self._sent_to, end)

    @property
    def _may_close(self) -> bool:
        """A gate with a second opinion can close on noise just where somebody begins to speak in it."""
        return self._last is None and self._quiet_end

    def _at_rest(self, session: Session, now: float) -> list[SenderEvent]:
        """Everything was sent: end, prime, or close after long silence."""
        if self._finishing:
            return self._drain(session, now)
        segment = self._open_segment()
        if not session.heard:
            if not self._has_source and not session.map.sent_samples:
                self._is_parked = True  # it was a check of the key: without audio the server would end it anyway
                return self._drain(session, now)
            primed = session.map.sent_samples >= self._settings.prime_s * self.rate
            if primed and segment and not segment.voiced and not self._prime_asked:
                self._prime_asked = True
                return [*session.finalize(now)]
        idle_limit_s = self._idle_limit_s()
        if idle_limit_s is not None and now >= self._last_audio_at + idle_limit_s:
            self._is_parked = True
            return self._drain(session, now)
        return []

    def _open_segment(self) -> SpeechSegment | None:
        last = self.pending.segments[-1] if self.pending.segments else None
        return last if last and not last.closed else None

    def _idle_limit_s(self) -> float | None:
        """How long a connection may do nothing; None while somebody speaks or an answer is waited for, or for ever."""
        if self._open_segment() or self._finalize_tracker:
            return None
        if self._is_closing:
            return 0.0 if self._quiet_end else UNQUIET_S
        limits_s = [self._settings.idle_close_s or inf, inf if self._has_source else SOURCELESS_S]
        return None if min(limits_s) == inf else min(limits_s)

    def _drain(self, session: Session, now: float) -> list[SenderEvent]:
        self._drain_from = now
        self._finalize_tracker.clear()
        return [*session.close_stream()]

    def _drain_by(self, session: Session) -> float:
        """A server that lags is waited for as long as it goes on answering."""
        return max(self._drain_from or 0.0, session.last_result_at) + 2 * self._settings.finalize_timeout_s

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
        last_thing = self._quarantine and self._finishing and self._retry_quarantined and not self._next(self._start())
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
        uttered, stretches = self._limits.hand_over(self._cursor if self.session else None)
        if not stretches:
            return [*uttered]
        self._quarantine.remove(stretches[0].start, stretches[-1].end)
        return [*uttered, BacklogHandedOver(stretches, self._sent_to)]
