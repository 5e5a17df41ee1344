"""The pure chain alone, from blocks to what is sent and recorded: a fixed piece of work, to count instructions of.

    python -m bench.cost.chain SPEECH_S SILENCE_S ROUNDS

It feeds so many seconds of each to intake, lane and session, with an answer a second while somebody speaks; and does
ROUNDS of a plain Python loop, to compare interpreters with. `instructions.py` runs it under callgrind.
"""

import json
import sys
from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from edged.capture.timeline import Timeline
from edged.config.settings import DeepgramSettings, GateSettings
from edged.gate.audio_gate import AudioGate
from edged.gate.controller import QUIET_READ_S, SPEECH_READ_S
from edged.gate.detectors import webrtc
from edged.model.audio import Block
from edged.stream.sender import Sender
from edged.stream.session import SendMessage
from edged.testkit.compose import compose

RATE = 16_000
MID_SPEECH, QUIET = round(SPEECH_READ_S * RATE), round(QUIET_READ_S * RATE)
"""Samples in a block, as capture delivers them."""
PASS_S = 10
"""Speech and silence take turns: so long each."""


class Chain:
    """Everything pure between the microphone and the records, fed by hand."""

    def __init__(self) -> None:
        self._intake = AudioGate(GateSettings(), RATE, webrtc(GateSettings().aggressiveness, RATE))
        self._lane = Sender(DeepgramSettings(), RATE, utterance_max_s=30, keep_max_s=120)
        self._timeline = Timeline(RATE)
        self._position = self._answered = 0
        self.records = 0
        self._lane.connected(0.0, "request")

    def hear(self, pcm: bytes) -> None:
        """Length of one block of audio."""
        lane, block = self._lane, Block(self._position, pcm, self._position / RATE)
        self._position = block.end
        now = self._position / RATE
        self._timeline.observe(block.position, block.end - block.position, block.at_s)
        for event in self._intake.feed(block, forced=lane.wants_priming()):
            lane.feed(event)
        for effect in lane.poll(now):
            if isinstance(effect, SendMessage):
                lane.message_sent(now)
        lane.next_deadline(now)
        if lane.sent_samples >= self._answered + RATE:
            self._answer(now)

    def _answer(self, now: float) -> None:
        start_s, self._answered = self._answered / RATE, self._lane.sent_samples
        end_s = self._answered / RATE
        final = round(end_s) % 4 == 0
        words = [{"word": "word", "start": start_s + 0.1, "end": start_s + 0.4, "confidence": 0.9}]
        result = {
            "type": "Results",
            "start": start_s,
            "duration": end_s - start_s,
            "is_final": True,
            "speech_final": final,
            "channel": {"alternatives": [{"transcript": "word", "confidence": 0.9, "words": words}]},
        }
        for effect in self._lane.receive(json.dumps(result), now):
            self.records += type(effect).__name__ == "Uttered"


def audio() -> tuple[list[bytes], list[bytes]]:
    """A second of voice and one of a quiet room, in blocks."""
    spoken = compose(["one two three four"], lead_s=1.0, tail_s=0.0, word_s=(0.25, 0.25), pause_s=(0.0, 0.0)).pcm
    quiet, voice = spoken[: 2 * RATE], spoken[2 * RATE : 4 * RATE]
    return (
        [voice[at : at + 2 * MID_SPEECH] for at in range(0, len(voice), 2 * MID_SPEECH)],
        [quiet[at : at + 2 * QUIET] for at in range(0, len(quiet), 2 * QUIET)],
    )


class Pair(NamedTuple):
    """Iterations of the reference loop."""

    a: int
    b: float


def reference(rounds: int) -> int:
    """What the chain is made of, as far as the interpreter sees it: calls, tuples, a deque, look-ups, slices."""
    kept: deque[Pair] = deque(maxlen=50)
    places = list(range(0, 1000, 7))
    text, total = bytes(3200), 0
    for i in range(rounds):
        pair = Pair(i, i / 7)
        kept.append(pair._replace(a=i + 1))
        total += bisect_right(places, i % 1000) + len(text[i % 100 : i % 100 + 640]) + kept[0].a
        total += sum(1 for each in ("a", "b", "c") if each != "b")
    return total


def main(speech_s: int, silence_s: int, rounds: int) -> None:
    """Run the measurement that the module describes."""
    chain = Chain()
    speech, silence = audio()
    while speech_s > 0 or silence_s > 0:
        for block in speech * min(PASS_S, max(0, speech_s)) + silence * min(PASS_S, max(0, silence_s)):
            chain.hear(block)
        speech_s -= PASS_S
        silence_s -= PASS_S
    reference(rounds)
    print(chain.records)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
