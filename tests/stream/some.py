"""Messages of a server and a lane to put them to, for the tests beside this.

At 1000 samples a second positions are milliseconds, and as a bench's clock starts with its audio, so is its time.
"""

import json
from typing import Any

from edged.config.settings import DeepgramSettings
from edged.gate.audio_gate import SegmentAudio
from edged.gate.gate import SegmentClosed, SegmentOpened
from edged.stream.events import AudioEvicted, AudioQuarantined, Learned, Resumed, SenderEvent
from edged.stream.sender import Sender
from edged.stream.session import Hangup, SendMessage, ServerNotice
from edged.stream.transcript_assembler import UtteranceReady

RATE = 1000
STEP_MS = 50


def words(spoken: str) -> list[dict[str, Any]]:
    """`"ah@200-500 oh@700"`: milliseconds of stream time; without an end it is -1."""
    entries = []
    for item in spoken.split():
        word, _, times = item.partition("@")
        start, _, end = times.partition("-")
        entries.append({"word": word, "start": int(start) / 1000, "end": int(end) / 1000 if end else -1.0})
    return entries


def results(start_ms: int, end_ms: int, spoken: str = "", **fields: Any) -> str:
    """A `Results` for a window of stream time; `is_final` and the other flags by name."""
    entries = [{"confidence": 0.9, "punctuated_word": word["word"], **word} for word in words(spoken)]
    text = " ".join(word["word"] for word in entries)
    return json.dumps(
        {
            "type": "Results",
            "start": start_ms / 1000,
            "duration": (end_ms - start_ms) / 1000,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": entries}]},
            **fields,
        }
    )


def final(start_ms: int, end_ms: int, spoken: str = "", **fields: Any) -> str:
    """Make a final result as JSON."""
    return results(start_ms, end_ms, spoken, is_final=True, **fields)


def interim(start_ms: int, end_ms: int, spoken: str = "") -> str:
    """Make an interim result as JSON."""
    return results(start_ms, end_ms, spoken, is_final=False)


def text(start_ms: int, end_ms: int, transcript: str, **fields: Any) -> str:
    """A final without words of its own, as some servers send it."""
    channel = {"alternatives": [{"transcript": transcript, "confidence": 0.0, "words": []}]}
    return final(start_ms, end_ms, **{"channel": channel, **fields})


def utterance_end(last_word_end_ms: int) -> str:
    """Make an `UtteranceEnd` message as JSON."""
    return json.dumps({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last_word_end_ms / 1000})


METADATA = '{"type":"Metadata","request_id":"r"}'


class Bench:
    """A lane, a clock and a microphone. What leaves the lane is kept: `control`, `records`, `hangups` and so on."""

    def __init__(
        self, *, utterance_max_s: float = 30.0, keep_max_s: float = 120.0, gated: bool = True, **settings: Any
    ) -> None:
        self.settings = DeepgramSettings(**settings)
        self.lane = Sender(self.settings, RATE, utterance_max_s=utterance_max_s, keep_max_s=keep_max_s, gated=gated)
        self.at = 0
        """Time, and the position that the microphone has come to."""
        self.control: list[tuple[int, str]] = []
        """Text messages by type, and when they left."""
        self.audio: list[tuple[int, int]] = []
        """Samples, and when they left."""
        self.records: list[tuple[int, int, str]] = []
        """Records as (start, end, text)."""
        self.uttered: list[UtteranceReady] = []
        self.hangups: list[str] = []
        self.noted: list[str] = []
        self.learned: list[str] = []
        self.resumed: list[Resumed] = []
        self.evicted = self.aside = 0

    @property
    def now(self) -> float:
        """The bench's time in seconds."""
        return self.at / 1000

    # -- the gate and the clock ---------------------------------------------------------------------------------------

    def open(self, at: int | None = None) -> None:
        """A segment begins."""
        self._do(self.lane.feed(SegmentOpened(self.at if at is None else at)))

    def hear(self, until: int, *, voiced: bool = True, start: int | None = None) -> None:
        """The microphone hears something that the gate lets through, in blocks of 100 ms, while time passes.

        `start`: the first of it lies in the past, as a pre-roll does.
        """
        position = self.at if start is None else start
        while position < until:
            end = min(position + 100, until)
            heard = ((position, end),) if voiced else ()
            self.at = max(self.at, end)
            self._do(self.lane.feed(SegmentAudio(position, bytes(2 * (end - position)), heard)))
            self.poll()
            position = end

    def close(self, *, continues: bool = False) -> None:
        """The segment ends."""
        self._do(self.lane.feed(SegmentClosed(self.at, continues)))
        self.poll()

    def say(self, until: int, *, silence: int = 0) -> None:
        """A whole segment: voice up to `until`, then `silence`."""
        self.open()
        self.hear(until)
        self.hear(until + silence, voiced=False)
        self.close()

    def wait(self, until: int) -> None:
        """Time passes in silence: nothing is let through."""
        while self.at < until and self.lane.session:
            self.at = min(self.at + STEP_MS, until)
            self.poll()
        self.at = until

    def poll(self) -> None:
        """The shell polls; a lane that then wants to be called at once again would never let it rest."""
        self._do(self.lane.poll(self.now))
        deadline = self.lane.next_deadline(self.now)
        assert deadline is None or deadline > self.now, "a lane that is polled without end"

    # -- the server and the network -----------------------------------------------------------------------------------

    def connect(self) -> None:
        """A connection is open."""
        self._do(self.lane.connected(self.now, "request"))
        self.poll()

    def serve(self, *messages: str | bytes) -> None:
        """The server says something."""
        for message in messages:
            self._do(self.lane.receive(message, self.now))
        self.poll()

    def lose(self, code: int | None = None) -> None:
        """The connection ends."""
        self._do(self.lane.connection_lost(self.now, code))

    # -- what came of it ----------------------------------------------------------------------------------------------

    def sent(self) -> list[tuple[int, int]]:
        """Positions sent on this connection, as ranges."""
        session = self.lane.session
        assert session
        return [(p.position, p.position + p.length) for p in session.map.pieces(0, session.map.sent_samples)]

    def said(self, kind: str) -> list[int]:
        """When a control message of this kind left."""
        return [at for at, control in self.control if control == kind]

    @property
    def waiting(self) -> list[tuple[int, int]]:
        """Ranges of audio that wait for an answer."""
        return list(self.lane.pending.waiting)

    @property
    def texts(self) -> list[str]:
        """Texts of the records so far."""
        return [text for _, _, text in self.records]

    def _do(self, effects: list[SenderEvent]) -> None:
        for effect in effects:
            match effect:
                case SendMessage(str() as text):
                    self.control.append((self.at, json.loads(text)["type"]))
                    self.lane.message_sent(self.now)
                case SendMessage(data):
                    self.audio.append((self.at, len(data) // 2))
                    self.lane.message_sent(self.now)
                case Hangup(error):
                    self.hangups.append(str(error))
                    self.lose()
                case UtteranceReady(utterance):
                    self.uttered.append(effect)
                    text = " ".join(word.word for word in utterance.words)
                    self.records.append((utterance.start, utterance.end, text))
                case AudioEvicted(samples):
                    self.evicted += samples
                case AudioQuarantined(samples):
                    self.aside += samples
                case ServerNotice(kind):
                    self.noted.append(kind)
                case Learned(text):
                    self.learned.append(text)
                case Resumed():
                    self.resumed.append(effect)
                case _:
                    pass
        account = self.lane.pending
        assert account.accepted_samples == account.waiting.total + sum(account.released_samples.values())


def talking(until: int = 6000, **settings: Any) -> Bench:
    """Somebody speaks without end, with 400 ms of silence from 2000 on."""
    bench = Bench(**settings)
    bench.connect()
    bench.open()
    bench.hear(2000)
    bench.hear(2400, voiced=False)
    bench.hear(until)
    return bench


THREE = "ah@500-900 oh@1500-2000 eh@2400-3000"


def again(bench: Bench, until: int | None = None) -> list[tuple[int, int]]:
    """Break, connect again, and what is sent then."""
    bench.lose()
    bench.connect()
    bench.wait(bench.at + 8000 if until is None else until)
    return bench.sent()


def with_a_pause() -> Bench:
    """Somebody has spoken up to 5000, with 400 ms of silence from 3000 on; the segment is open, nothing connected."""
    bench = Bench()
    bench.open()
    bench.hear(3000)
    bench.hear(3400, voiced=False)
    bench.hear(5000)
    return bench


def end_three_times(bench: Bench, within_ms: int) -> None:
    """The server ends three sessions in a row, after a result, by what was sent within so long; a fourth is open."""
    for _ in range(3):
        bench.wait(bench.at + within_ms)
        bench.serve(interim(0, 1000))
        bench.lose(1011)
        bench.connect()
