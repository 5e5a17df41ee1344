"""One connection of the sender: what it sends, what it waits for, and when it is asked to end. Pure."""

from math import inf
from typing import Final

from edged.config.settings import DeepgramSettings
from edged.model.errors import UnreachableError
from edged.stream.events import InterimText, SenderEvent
from edged.stream.finalize_tracker import FinalizeTracker
from edged.stream.pending_audio import PendingAudio, SpeechSegment
from edged.stream.send_queue import SendQueue
from edged.stream.server_traits import ServerTraits
from edged.stream.session import (
    FinalReceived,
    Hangup,
    InterimReceived,
    Session,
    SessionState,
    StreamFlushed,
    UtteranceEndReceived,
)
from edged.stream.transcript_assembler import TranscriptAssembler

UNQUIET_S: Final = 2.0
"""Time for which a connection is kept after a segment that ends with a voice: that may be the beginning of a word."""

SOURCELESS_S: Final = 60.0
"""Time by which a connection outlives the microphone: a replug takes less, and without audio it is held for nothing."""


class SenderConnection:
    """One connection, made anew for each: the session on the wire, and how far it has sent pending audio."""

    def __init__(
        self,
        settings: DeepgramSettings,
        rate: int,
        now: float,
        *,
        request_id: str,
        queue: SendQueue,
        pending: PendingAudio,
        assembler: TranscriptAssembler,
        traits: ServerTraits,
        pause_samples: int,
    ) -> None:
        self._settings = settings
        self._rate = rate
        self._request_id = request_id
        self._queue = queue
        self._pending = pending
        self._assembler = assembler
        self._traits = traits
        self._pause_samples = pause_samples
        self.session = Session(settings, rate, now, may_finalize=traits.may_finalize(now))
        self.cursor = queue.start()
        """The connection has sent the pending audio before this position."""
        self.transcribed_before_samples = queue.transcribed_samples
        """Speech that had its transcript before this connection."""
        self.is_flushed = False
        """The server has answered CloseStream."""
        self.is_parked = False
        """The connection was closed for lack of audio: the next one is made when somebody speaks."""
        self._finalize_tracker = FinalizeTracker(settings, pending, assembler)
        self._last_audio_at = now
        self._last_segment: SpeechSegment | None = None
        """The segment of the last audio sent, until its end has been finalized."""
        self._ended_quietly = True
        """Nobody spoke at the end of the segment that was sent last."""
        self._has_finalized_priming = False
        self._is_closing = False
        self._drain_from: float | None = None
        """Time of our CloseStream."""

    def request_close(self) -> None:
        """End it where nobody speaks. What is left is sent on the next connection."""
        self._is_closing = True

    def wants_priming(self) -> bool:
        """Return whether the connection needs audio to live, and has not enough to send."""
        session = self.session
        if session.state is not SessionState.OPEN or session.heard or self._settings.prime_s <= 0:
            return False
        unsent_samples = self._queue.unsent_samples(self.cursor)
        enough_s = self._settings.prime_s if unsent_samples else self._settings.prime_max_s
        return session.map.sent_samples + unsent_samples < enough_s * self._rate

    def next_deadline(self, now: float, *, has_source: bool) -> float | None:
        """Return when `poll` wants to be called again, unless something else happens before; None at its end."""
        session = self.session
        if session.state is SessionState.OVER:
            return None
        deadlines = [session.next_deadline()]
        if session.state is SessionState.DRAINING:
            deadlines.append(self._drain_by())
        else:
            finalize_by = self._finalize_tracker.deadline(session)
            deadlines += [] if finalize_by is None else [finalize_by]
            following = self._queue.next(self.cursor)
            if following:
                room_at = session.room_at(following[1] - following[0], now)
                deadlines += [] if room_at is None else [room_at]
            elif (idle_limit_s := self._idle_limit_s(has_source=has_source)) is not None:
                deadlines.append(self._last_audio_at + idle_limit_s)
        return min(deadlines)

    def receive(self, text: str | bytes, now: float) -> list[SenderEvent]:
        """Handle a message of the server."""
        session, assembler = self.session, self._assembler
        events: list[SenderEvent] = []
        for event in session.receive(text, now):
            match event:
                case FinalReceived():
                    if session.state is SessionState.DRAINING:
                        # We ended the stream, not the speaker: where somebody goes on speaking this is a break.
                        event = event._replace(speech_final=False)
                    events += assembler.feed_final(event, session.map, self._request_id)
                    if event.from_finalize and self._finalize_tracker:
                        events += self._finalize_tracker.feed(session.map.position_reached(event.reach))
                    events.append(InterimText(assembler.unrecorded_text))
                case InterimReceived(words):
                    assembler.feed_interim(words, session.map)
                    events.append(InterimText(assembler.unrecorded_text))
                case UtteranceEndReceived(last_word_end):
                    events += assembler.feed_utterance_end(session.map.position_reached(last_word_end))
                case StreamFlushed():
                    self.is_flushed = True
                case _:
                    events.append(event)
        return events

    def poll(self, now: float, *, has_source: bool, is_finishing: bool) -> list[SenderEvent]:
        """Handle due timers, and send what can be sent.

        `has_source`: audio can come at any moment. `is_finishing`: no audio follows the pending one.
        """
        session = self.session
        events: list[SenderEvent] = [*session.poll(now)]
        if session.state is SessionState.DRAINING and now >= self._drain_by():
            session.abandon()
            events.append(Hangup(UnreachableError("the server did not end the stream in time")))
        if session.state is SessionState.OPEN:
            events += self._send(now)
        if session.state is SessionState.OPEN:
            events += self._poll_finalize_tracker(now)
        if session.state is SessionState.OPEN and self._queue.next(self.cursor) is None:
            events += self._poll_idle(now, has_source=has_source, is_finishing=is_finishing)
        elif session.state is SessionState.OPEN and self._is_closing and self._may_close and not self._finalize_tracker:
            events += self._drain(now)
        return events

    def _send(self, now: float) -> list[SenderEvent]:
        events: list[SenderEvent] = []
        session = self.session
        while True:
            following = self._queue.next(self.cursor)
            segment = self._pending.segment_at(following[0]) if following else None
            last = self._last_segment
            if last and last.is_over and segment is not last:
                events += session.finalize(now) if self._finalize_tracker.add(last, now) == "finalize" else []
                self._ended_quietly = last.end - last.voiced_end >= self._pause_samples
                self._last_segment = None
            if following is None or segment is None or (self._is_closing and self._may_close):
                return events
            start, end = following
            if session.room(now) < end - start:
                return events
            events += session.send_audio(start, self._pending.pcm(start, end), now)
            self._last_segment, self.cursor, self._last_audio_at = segment, end, now
            self._queue.mark_sent(start, end)

    @property
    def _may_close(self) -> bool:
        """A gate with a second opinion can close on noise just where somebody begins to speak in it."""
        return self._last_segment is None and self._ended_quietly

    def _poll_idle(self, now: float, *, has_source: bool, is_finishing: bool) -> list[SenderEvent]:
        """Everything was sent: end, prime, or close after long silence."""
        if is_finishing:
            return self._drain(now)
        session, segment = self.session, self._open_segment()
        if not session.heard:
            if not has_source and not session.map.sent_samples:
                self.is_parked = True  # it was a check of the key: without audio the server would end it anyway
                return self._drain(now)
            primed = session.map.sent_samples >= self._settings.prime_s * self._rate
            if primed and segment and not segment.voiced and not self._has_finalized_priming:
                self._has_finalized_priming = True
                return [*session.finalize(now)]
        idle_limit_s = self._idle_limit_s(has_source=has_source)
        if idle_limit_s is not None and now >= self._last_audio_at + idle_limit_s:
            self.is_parked = True
            return self._drain(now)
        return []

    def _open_segment(self) -> SpeechSegment | None:
        last = self._pending.segments[-1] if self._pending.segments else None
        return last if last and not last.closed else None

    def _idle_limit_s(self, *, has_source: bool) -> float | None:
        """Return how long the connection may be idle; None while somebody speaks, a result is due, or for no limit."""
        if self._open_segment() or self._finalize_tracker:
            return None
        if self._is_closing:
            return 0.0 if self._ended_quietly else UNQUIET_S
        limits_s = [self._settings.idle_close_s or inf, inf if has_source else SOURCELESS_S]
        return None if min(limits_s) == inf else min(limits_s)

    def _drain(self, now: float) -> list[SenderEvent]:
        self._drain_from = now
        self._finalize_tracker.clear()
        return [*self.session.close_stream()]

    def _drain_by(self) -> float:
        """Return when to stop waiting for the end of the stream: a server that lags may go on as long as it answers."""
        return max(self._drain_from or 0.0, self.session.last_result_at) + 2 * self._settings.finalize_timeout_s

    def _poll_finalize_tracker(self, now: float) -> list[SenderEvent]:
        session = self.session
        ready, step = self._finalize_tracker.poll(session, now, may_ask=self._traits.may_finalize(now))
        if step == "finalize":
            return [*ready, *session.finalize(now)]
        if step == "drain":
            return [*ready, *self._drain(now)]
        if step == "mute":
            session.abandon()
            self.is_parked = True
            why = "the server stays mute; connecting again when somebody speaks"
            return [*ready, Hangup(UnreachableError(why))]
        return [*ready]
