"""One connection's life, from the open handshake to its end: what goes out when, and what the answers cover. Pure.

The law:
- Audio goes out in order and without overlap, at most `replay_rate` times real time, and never more than `inflight_s`
  beyond the last result.
- While nothing else leaves, a KeepAlive does, every `keepalive_s` since the last message left for the kernel.
- A final that ends at `t` answers everything sent before `t` on this connection.
- Text in a final without width was said somewhere in what is pending: it answers all of that.
- Words that a final restates are dropped, and the last ones if they come again without a place and nothing is pending.
- Where stream times start again, nothing after that can be placed: the session is given up.
- A message that can't be read may have been a final: what was sent until then may be answered by it, and by nothing
  that follows. The session is given up, and what is unanswered is sent again.
- What the server says is bounded by the audio it was sent: `CHARACTERS_PER_S`, and `CHARACTERS` more.
- A session that gives results and then none is asked to Finalize (if it may be) before it is given up.
- Used once: a reconnect is a new Session. Calls in, lists of effects out; time is an argument (seconds, monotonic).
"""

from enum import Enum
from math import inf
from typing import NamedTuple

from edged.config.settings import DeepgramSettings
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.errors import UnreachableError
from edged.stream import deepgram, messages
from edged.stream.stream_map import SentPiece, StreamMap
from edged.stream.word_history import WordHistory

BURST_S = 0.3
"""May leave at once beyond the pace: most of a pre-roll, so that what is said after it waits for less than a second."""

WITHOUT_INTERIMS = 3
"""Servers force a final every 3 to 9 s of speech, where interims come every second: a stall shows that much later."""

REMEMBERED_S = 120
"""Stream time kept behind the last answer, for words and utterance ends that come late."""


CHARACTERS = 1000
CHARACTERS_PER_S = 100
"""Bound of the text that finals may hold: speech has about 15 characters a second, the fastest 40."""

SHORTEST_MS = 50
"""A window that is no longer holds no word: it says nothing of where its text was said."""


class SendMessage(NamedTuple):
    """A message to send: text for control, bytes for audio."""

    data: str | bytes


class Hangup(NamedTuple):
    """The session is given up: nothing that still arrives counts."""

    error: UnreachableError


class FinalReceived(NamedTuple):
    """A final: `pieces` are what it newly covers, `words` are in stream time; `reach` is where its window ends."""

    pieces: list[SentPiece]
    words: list[messages.StreamWord]
    speech_final: bool
    from_finalize: bool
    reach: int
    timed: bool
    """The words have times of their own: else they were said somewhere in the pieces."""
    transcript: str
    """The server's own text of all the words, or nothing."""
    punctuation: str
    """Punctuation that belongs to the last word of the finals before."""


class InterimReceived(NamedTuple):
    """The recogniser's present guess at what is not final yet; words in stream time."""

    words: list[messages.StreamWord]


class UtteranceEndReceived(NamedTuple):
    """The server heard a gap after the word that ended at this stream time."""

    last_word_end: int


class StreamFlushed(NamedTuple):
    """CloseStream was answered: the server has said all it will say of this connection."""


class ServerNotice(NamedTuple):
    """Something odd that disturbs nothing, to be logged once for each `kind`."""

    kind: str


class ServerWarning(NamedTuple):
    """Something that people should know, to be logged once for each `text`."""

    text: str


SessionEvent = (
    SendMessage
    | Hangup
    | FinalReceived
    | InterimReceived
    | UtteranceEndReceived
    | StreamFlushed
    | ServerNotice
    | ServerWarning
)


class SessionState(Enum):
    """A session is OPEN, then perhaps DRAINING (CloseStream was sent), then OVER."""

    OPEN = "open"
    DRAINING = "draining"
    OVER = "over"


class Session:
    """The machine for one open connection. Raises RuntimeError if it is used after its end."""

    def __init__(self, settings: DeepgramSettings, rate: int, now: float, *, may_finalize: bool = True) -> None:
        """`may_finalize`: the server is known to take Finalize, or not known to close because of it."""
        self._settings = settings
        self._may_finalize = may_finalize
        self.finalized_at: float | None = None
        """When the first Finalize was sent."""
        self._rate = rate
        self.state = SessionState.OPEN
        self.map = StreamMap(rate)
        self.answered_to = 0
        """Stream time up to which finals have come."""
        self.heard = False
        """The server has said something: from here on KeepAlive holds the connection."""
        self.results = 0
        self.opened_at = self.last_result_at = now
        self._reach = 0
        """Stream time up to which any result has come, interims included."""
        self._sent_since_result = 0
        self._characters = 0
        """Characters of text in all finals so far."""
        self._history = WordHistory(rate)
        self._last_left_at = now
        self._tokens = BURST_S * rate
        self._tokens_at = now
        self._asked_at: float | None = None
        """When Finalize was sent because of a stall."""
        self._stall = round(settings.stall_s * rate * (1 if settings.interim_results else WITHOUT_INTERIMS))
        self._stall = min(self._stall, round(settings.inflight_s * rate))

    # -- what the lane asks and orders --------------------------------------------------------------------------------

    def room(self, now: float) -> int:
        """Return how many samples may be sent now."""
        if self.state is not SessionState.OPEN:
            return 0
        self._refill(now)
        inflight = self.map.sent_samples - max(self._reach, self.answered_to)
        return max(0, min(int(self._tokens), round(self._settings.inflight_s * self._rate) - inflight))

    def room_at(self, samples: int, now: float) -> float | None:
        """When the pace will have room for `samples`; None if only a result can make room."""
        inflight = self.map.sent_samples - max(self._reach, self.answered_to)
        if self.state is not SessionState.OPEN or round(self._settings.inflight_s * self._rate) - inflight < samples:
            return None
        self._refill(now)
        # A millisecond more than needed: waking a hair too early would only mean waking again.
        return now + max(0.0, samples - self._tokens) / (self._rate * self._settings.replay_rate) + 0.001

    def send_audio(self, position: int, pcm: bytes, now: float) -> list[SendMessage]:
        """Send audio for which there is `room`."""
        self._must_be(SessionState.OPEN)
        length = len(pcm) // BYTES_PER_SAMPLE
        if not length:
            raise ValueError("an empty binary message would close the stream")
        self._refill(now)
        self._tokens -= length
        self.map.append(position, length)
        self._sent_since_result += length
        return [SendMessage(pcm)]

    def finalize(self, now: float) -> list[SendMessage]:
        """Ask for what is still unanswered, if that may be asked."""
        self._must_be(SessionState.OPEN)
        if not self._may_finalize:
            return []
        self.finalized_at = now if self.finalized_at is None else self.finalized_at
        return [SendMessage(deepgram.FINALIZE)]

    def close_stream(self) -> list[SendMessage]:
        """Ask for everything and for the end; no audio may follow."""
        self._must_be(SessionState.OPEN)
        self.state = SessionState.DRAINING
        return [SendMessage(deepgram.CLOSE_STREAM)]

    def abandon(self) -> None:
        """The connection has ended, or is given up."""
        self.state = SessionState.OVER

    # -- what happens -------------------------------------------------------------------------------------------------

    def message_sent(self, now: float) -> None:
        """A message of ours has left for the kernel: from here the idle time counts."""
        self._last_left_at = now

    def poll(self, now: float) -> list[SendMessage | Hangup]:
        """Handle due timers. After the stream is drained none of them is due: the sender waits for the end."""
        if self.state is not SessionState.OPEN:
            return []
        idle_s = now - self._last_left_at
        if idle_s > deepgram.IDLE_LIMIT_S:
            return self._give_up(f"nothing could leave for {idle_s:.0f} s: the connection is taken for dead")
        effects: list[SendMessage | Hangup] = []
        if now >= self._last_left_at + self._settings.keepalive_s:  # as `next_deadline` says it, to the last bit
            self._last_left_at = now
            effects.append(SendMessage(deepgram.KEEP_ALIVE))
        if self._stalled(now):
            if self._asked_at is None:
                self._asked_at = now
                effects += self.finalize(now)
            elif now >= self._asked_at + self._settings.finalize_timeout_s:
                unheard_s = (self.map.sent_samples - self._reach) / self._rate
                effects += self._give_up(f"stalled: no result for {unheard_s:.0f} s of audio")
        return effects

    def next_deadline(self) -> float:
        """When `poll` wants to be called again, unless something else happens before."""
        if self.state is not SessionState.OPEN:
            return inf
        deadline = self._last_left_at + self._settings.keepalive_s
        if self._asked_at is not None:
            return min(deadline, self._asked_at + self._settings.finalize_timeout_s)
        return deadline

    def receive(self, text: str | bytes, now: float) -> list[SessionEvent]:
        """The server said something."""
        if self.state is SessionState.OVER:
            return []
        message = messages.parse(text, self._rate, self._max_characters)
        effects: list[SessionEvent] = []
        if isinstance(text, bytes) and not isinstance(message, messages.UnexpectedMessage | messages.UnreadableMessage):
            effects.append(
                ServerWarning(
                    "the server, or something in between, sends its messages in binary frames: read all the same"
                )
            )
        match message:
            case messages.Results():
                effects += self._on_results(message, now)
            case messages.UtteranceEnd(last_word_end):
                effects += [UtteranceEndReceived(last_word_end)] if last_word_end >= 0 and self.map.sent_samples else []
            case messages.Metadata():
                draining = self.state is SessionState.DRAINING
                return [*effects, StreamFlushed() if draining else ServerNotice("Metadata that nobody asked for")]
            case messages.ServerError(explanation):
                effects.append(ServerWarning(f'the server says: "{explanation}"'))
            case messages.UnexpectedMessage(kind):
                return [ServerNotice(kind)]
            case messages.UnreadableMessage(kind):
                return self._on_unreadable(kind)
        self.heard = True
        return effects

    def _on_unreadable(self, kind: str) -> list[SessionEvent]:
        if self.answered_to == self.map.sent_samples:
            return [ServerNotice(kind)]  # it can't have answered anything
        return [*self._give_up(f"a result can't be read ({kind}): what it may have answered is sent again")]

    def _on_results(self, results: messages.Results, now: float) -> list[SessionEvent]:
        self.results += 1
        self.last_result_at = now
        self._sent_since_result = 0
        self._asked_at = None
        if self._has_width(results):
            sifted = self._history.filter(results, self.answered_to)
            if sifted.times_restarted:
                return [*self._give_up("the server's times have started again: what is unanswered is sent again")]
            results = sifted.results
            end = self.map.snap(results.end)
        else:
            # Text that comes without a place, when a server empties its buffer, was said in what is pending.
            if self.answered_to == self.map.sent_samples and self._history.ends_with(results):
                results = results._replace(words=[], transcript="")
            end = self.map.sent_samples if results.words else self.map.snap(results.end)
        end = min(end, self.map.sent_samples)
        self._reach = max(self._reach, end)
        warned = (
            [ServerWarning("the server sends more words than can be said in that time: the rest is left out")]
            if results.truncated
            else []
        )
        if not results.is_final:
            return [*warned, InterimReceived(results.words)]
        return [*warned, self._answer(results, end)]

    def _answer(self, results: messages.Results, end: int) -> FinalReceived:
        has_width = self._has_width(results)
        if has_width:
            self._history.add(results, self.answered_to)
        else:
            self._history.add_unplaced(results)
        self._characters += results.characters
        start, self.answered_to = self.answered_to, max(self.answered_to, end)
        pieces = self.map.pieces(start, self.answered_to)
        self.map.discard_before(self.answered_to - REMEMBERED_S * self._rate)
        return FinalReceived(
            pieces,
            results.words,
            results.speech_final,
            results.from_finalize,
            end,
            timed=results.has_word_times and has_width,
            transcript=results.transcript,
            punctuation=results.punctuation,
        )

    def _has_width(self, results: messages.Results) -> bool:
        return results.end - results.start > SHORTEST_MS * self._rate // 1000

    @property
    def _max_characters(self) -> int:
        """Number of characters that the next message may hold."""
        return max(0, CHARACTERS + CHARACTERS_PER_S * self.map.sent_samples // self._rate - self._characters)

    def _stalled(self, now: float) -> bool:
        """Audio goes, and no result comes; or what was sent is at its bound and still nothing comes."""
        if self._sent_since_result >= self._stall:
            return True
        unheard = self.map.sent_samples - self._reach
        return unheard >= self._stall and now - self.last_result_at >= self._stall / self._rate

    def _give_up(self, why: str) -> list[SendMessage | Hangup]:
        self.abandon()
        return [Hangup(UnreachableError(why))]

    def _refill(self, now: float) -> None:
        gained = (now - self._tokens_at) * self._rate * self._settings.replay_rate
        self._tokens = min(BURST_S * self._rate, self._tokens + gained)
        self._tokens_at = now

    def _must_be(self, state: SessionState) -> None:
        if self.state is not state:
            raise RuntimeError(f"the session is {self.state.value}, not {state.value}")
