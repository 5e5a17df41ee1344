"""The whole pure chain, gate to records, against the pure recogniser, by a simulated clock: minutes in milliseconds.

Nothing here is a mock: intake, lane, session and scribe are the real ones, and so is the server's session. What is
simulated is time, the network between the two, and the microphone, which plays a script of known words.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from edged.config.settings import DeepgramSettings, GateSettings, ReconnectSettings
from edged.gate.audio_gate import AudioGate
from edged.gate.detectors import webrtc
from edged.model.audio import Block
from edged.model.errors import RefusedError, UnreachableError
from edged.model.utterance import PlacedWord, Utterance
from edged.recognizer import messages, protocol
from edged.recognizer.handshake import parse_query
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.protocol import Limits
from edged.recognizer.quirks import Quirks
from edged.recognizer.results import ResultGenerator
from edged.stream import deepgram
from edged.stream.backoff import Backoff
from edged.stream.events import AudioEvicted, AudioQuarantined, SenderEvent
from edged.stream.messages import Results
from edged.stream.messages import parse as parse_message
from edged.stream.sender import Sender
from edged.stream.session import Hangup, SendMessage
from edged.stream.transcript_assembler import UtteranceReady
from edged.testkit.script import Script, ScriptEngine

STEP_S = 0.05
BLOCK_S = 0.1


@dataclass
class World:
    """Clock, microphone, network and server around one lane. Faults are verbs, or attributes that hold times."""

    script: Script
    settings: DeepgramSettings = field(default_factory=DeepgramSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    perturbations: Perturbations = field(default_factory=Perturbations)
    quirks: Quirks = field(default_factory=Quirks)
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    keep_max_s: float = 120.0
    utterance_max_s: float = 30.0
    has_source: ClassVar[bool] = True
    """A microphone feeds the sender."""

    def __post_init__(self) -> None:
        self.now = 0.0
        self.rate = self.script.rate
        self.rng = random.Random(self.seed)
        self.intake = AudioGate(self.gate, self.rate, webrtc(self.gate.aggressiveness, self.rate))
        self.lane = Sender(
            self.settings,
            self.rate,
            utterance_max_s=self.utterance_max_s,
            keep_max_s=self.keep_max_s,
            has_source=self.has_source,
        )
        self.backoff = Backoff(ReconnectSettings())
        self.server: protocol.RecognizerSession | None = None
        self.connections = 0
        self.refused_until = 0.0
        self.mute_until = 0.0
        """Nothing of the server's gets through until then; TCP delivers it late, in order."""
        self.held: list[protocol.ServerAction] = []
        self.blocked_until = 0.0
        """Our event loop stands still: audio waits in the hand-over."""
        self.jammed_until = 0.0
        """A message waits in its sending until then: nothing of ours leaves."""
        self.still_leave: int | None = None
        """Messages that leave before the network breaks, in the sending of one; None for all."""
        self.torn = 0
        """Number of finals with words still to arrive cut short."""
        self.connect_at = 0.0
        self.waiting_blocks: list[Block] = []
        self.played = 0
        self.texts: list[tuple[float, str]] = []
        """Text messages sent by the client, and their times."""
        self.sent: list[tuple[float, int]] = []
        """Audio sent, in samples, and when."""
        self.utterances: list[Utterance] = []
        self.uttered_at: list[float] = []
        self.errors: list[str] = []
        self.evicted = self.aside = 0
        self.finished = False
        self.holes: list[tuple[int, int]] = []

    # -- verbs --------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """The network breaks the connection."""
        if self.server:
            self.server = None
            self._ended(None, UnreachableError("reset"))

    def close(self, code: int, reason: str = "") -> None:
        """The server closes the connection."""
        if self.server:
            self.server = None
            self._ended(code, deepgram.close_error(code, reason))

    def jam(self, seconds: float) -> None:
        """The network takes nothing for so long, then one message, and breaks where the next is sent."""
        self.jammed_until = self.now + seconds
        self.still_leave = 1

    def tear(self, finals: int) -> None:
        """Cut this many of the next finals with words, so that they cannot be read."""
        self.torn += finals

    def hole(self, seconds: float) -> None:
        """The microphone loses audio: what it would have said in the next `seconds` is gone."""
        self.holes.append((self.played, self.played + round(seconds * self.rate)))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while self.now < until_s - 1e-9:
            self.now = round(self.now + STEP_S, 6)
            self._step()

    def finish(self, within_s: float = 300.0) -> None:
        """The recording ends: run until everything is answered, `within_s` at most."""
        self.run(max(self.now, self.blocked_until) + STEP_S)
        for event in self.intake.finish():
            self._do(self.lane.feed(event))
        self.lane.finish()
        self.finished = True
        limit = self.now + within_s
        while (self.lane.backlog or self.lane.session) and self.now < limit:
            self.now = round(self.now + STEP_S, 6)
            self._step()

    def play_out(self) -> None:
        """Run to the end of the recording, and finish."""
        self.run(len(self.script.pcm) / 2 / self.rate + BLOCK_S)
        self.finish()

    # -- accounts -----------------------------------------------------------------------------------------------------

    @property
    def words(self) -> list[PlacedWord]:
        """All words of all records, in the order of writing."""
        return [word for utterance in self.utterances for word in utterance.words]

    def lost(self) -> list[str]:
        """Words of the script in no record."""
        return list((Counter(self.script.texts) - Counter(word.word for word in self.words)).elements())

    def doubled(self) -> list[str]:
        """Words in records more often than they were said."""
        return list((Counter(word.word for word in self.words) - Counter(self.script.texts)).elements())

    def worst_time_s(self) -> float:
        """Return the largest error of a word's start. (The server may not know the end.)"""
        said = {word.text: word.start for word in self.script.words}
        return max((abs(word.start - said[word.word]) for word in self.words), default=0) / self.rate

    def check_account(self) -> None:
        """Each sample is in exactly one place; no sample is in two records."""
        account = self.lane.pending
        assert account.accepted_samples == account.waiting.total + sum(account.released_samples.values())
        ranges = sorted((u.start, u.end) for u in self.utterances)
        for (_, end), (start, _) in pairwise(ranges):
            assert start >= end, "two records share samples"

    # -- inside -------------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        self._microphone()
        if self.now < self.blocked_until:
            self._server_tick()
            return
        blocks, self.waiting_blocks = self.waiting_blocks, []
        for block in blocks:
            for event in self.intake.feed(block, forced=self.lane.wants_priming()):
                self._do(self.lane.feed(event))
        self._connect()
        self._poll()
        self._server_tick()
        self._poll()

    def _poll(self) -> None:
        if self.now >= self.jammed_until:
            self._do(self.lane.poll(self.now))

    def _microphone(self) -> None:
        size = round(BLOCK_S * self.rate)
        while not self.finished and (self.played + size) / self.rate <= self.now + 1e-9:
            pcm = self.script.pcm[self.played * 2 : (self.played + size) * 2]
            if pcm and not any(start < self.played + size and end > self.played for start, end in self.holes):
                self.waiting_blocks.append(Block(self.played, pcm, self.played / self.rate))
            self.played += size

    def _connect(self) -> None:
        lane = self.lane
        if lane.session or self.now < self.connect_at:
            return
        holds = self.settings.prime_s > 0 and not lane.is_parked and not self.finished
        if not (holds or lane.has_work(self.now)):
            return
        if self.now < self.refused_until:
            self.connect_at = self.now + self.backoff.wait_s(UnreachableError("refused"), self.rng.random())
            return
        query = parse_query(deepgram.listen_url(self.settings, self.rate).partition("?")[2])
        draw = random.Random(f"{self.seed}-{self.connections}").random
        windows = ResultGenerator(
            ScriptEngine(self.script),
            query,
            messages.MessageBuilder(f"request-{self.connections}", query.model, "2026-11-20T00:00:00.000Z"),
            self.perturbations,
            self.quirks,
            draw,
        )
        self.server = protocol.RecognizerSession(
            windows,
            query,
            self.now,
            limits=self.limits,
            perturbations=self.perturbations,
            quirks=self.quirks,
            draw=draw,
        )
        self.connections += 1
        self.held = []
        self._do(lane.connected(self.now, f"request-{self.connections - 1}"))
        self._hear(self.server.open())

    def _server_tick(self) -> None:
        if self.server:
            self._hear(self.server.tick(self.now))

    def _hear(self, out: list[protocol.ServerAction]) -> None:
        self.held += out
        if self.now < self.mute_until:
            return
        while self.server and self.held:
            item = self.held.pop(0)
            if isinstance(item, protocol.ServerMessage):
                self._do(self.lane.receive(self._torn(item.text), self.now))
            else:
                self.server = None
                self._ended(item.code, deepgram.close_error(item.code, item.reason))

    def _torn(self, text: str | bytes) -> str | bytes:
        message = parse_message(text, self.rate)
        if self.torn and isinstance(message, Results) and message.is_final and message.words:
            self.torn -= 1
            return text[: len(text) // 2]
        return text

    def _ended(self, code: int | None, error: UnreachableError | RefusedError) -> None:
        self.jammed_until, self.still_leave = 0.0, None
        self._do(self.lane.connection_lost(self.now, code))
        end = self.lane.end
        assert end
        self.backoff.ended(end)
        if not end.is_done:
            self.errors.append(str(error))
            self.connect_at = self.now + self.backoff.wait_s(error, self.rng.random())

    def _do(self, effects: list[SenderEvent]) -> None:
        """Apply events as a client does: network events come last, and end with the connection."""
        for effect in effects:
            match effect:
                case UtteranceReady(utterance):
                    self.utterances.append(utterance)
                    self.uttered_at.append(self.now)
                case AudioEvicted(samples):
                    self.evicted += samples
                case AudioQuarantined(samples):
                    self.aside += samples
        for effect in effects:
            match effect:
                case SendMessage() if self.still_leave == 0:
                    self.server = None
                    self._ended(None, UnreachableError("broken in the sending"))
                    return
                case SendMessage(data):
                    self._send(data)
                case Hangup(error):
                    self.server = None
                    assert isinstance(error, UnreachableError | RefusedError)
                    self._ended(None, error)
                    return

    def _send(self, data: str | bytes) -> None:
        if self.still_leave is not None:
            self.still_leave -= 1
        self.lane.message_sent(self.now)
        if isinstance(data, str):
            self.texts.append((self.now, data))
        else:
            self.sent.append((self.now, len(data) // 2))
        if self.server:
            self._hear(self.server.receive(self.now, data))
