"""What the tests of the recogniser share: recordings with words at literal times, and messages taken apart."""

import json
from collections.abc import Iterable
from typing import Any

from edged.recognizer.handshake import Query, parse_query
from edged.recognizer.messages import MessageBuilder
from edged.recognizer.perturbations import Draw, Perturbations
from edged.recognizer.protocol import Limits, RecognizerSession, ServerAction, ServerClose, ServerMessage
from edged.recognizer.quirks import Quirks
from edged.recognizer.results import ResultGenerator
from edged.testkit.compose import place
from edged.testkit.script import Script, ScriptEngine

RATE = 16_000
USUAL = "model=nova-3&encoding=linear16&sample_rate=16000&channels=1"
FULL = f"{USUAL}&interim_results=true&endpointing=300&smart_format=true"
STREAM = MessageBuilder("request", "nova-3", "2026-01-01T00:00:00.000Z")

ONE_SENTENCE = place([("one", 1.5, 1.9), ("two", 2.0, 2.3), ("three", 2.5, 2.9)], 6.0)
"""Speech from 1.5 to 2.9 s, then silence up to 6 s."""


def pcm(script: Script, start_s: float, end_s: float) -> bytes:
    """A stretch of a recording."""
    return script.pcm[2 * round(start_s * RATE) : 2 * round(end_s * RATE)]


def windows(
    script: Script,
    query: str = FULL,
    *,
    perturbations: Perturbations | None = None,
    quirks: Quirks | None = None,
    draw: Draw = lambda: 0.5,
) -> ResultGenerator:
    """Windows over a script's engine."""
    return ResultGenerator(
        ScriptEngine(script), parse_query(query), STREAM, perturbations or Perturbations(), quirks or Quirks(), draw
    )


def feed(machine: ResultGenerator, audio: bytes, step_s: float = 0.1) -> list[tuple[float, dict[str, Any]]]:
    """Feed audio in steps: (audio time, message) for each message."""
    out = []
    step = 2 * round(step_s * RATE)
    for at in range(0, len(audio), step):
        texts = machine.feed(audio[at : at + step])
        out += [(round(machine.processed_s, 3), json.loads(text)) for text in texts]
    return out


def session(
    script: Script,
    query: str | Query = FULL,
    *,
    limits: Limits | None = None,
    perturbations: Perturbations | None = None,
    quirks: Quirks | None = None,
    draw: Draw = lambda: 0.5,
) -> RecognizerSession:
    """A session that opens at time 0."""
    query = parse_query(query) if isinstance(query, str) else query
    perturbations, quirks = perturbations or Perturbations(), quirks or Quirks()
    machine = ResultGenerator(ScriptEngine(script), query, STREAM, perturbations, quirks, draw)
    return RecognizerSession(
        machine, query, 0.0, limits=limits or Limits(), perturbations=perturbations, quirks=quirks, draw=draw
    )


def stream(
    machine: RecognizerSession, audio: bytes, start_s: float = 0.0, step_s: float = 0.1
) -> list[tuple[float, ServerAction]]:
    """Send audio in real time from `start_s` on: (time, what came out)."""
    out = []
    step = 2 * round(step_s * RATE)
    for count, at in enumerate(range(0, len(audio), step)):
        now = start_s + count * step_s
        out += [(now, item) for item in machine.receive(now, audio[at : at + step])]
    return out


def run(machine: RecognizerSession, until_s: float) -> list[tuple[float, ServerAction]]:
    """Call `tick` at each deadline up to `until_s`: (time, what came out)."""
    out: list[tuple[float, ServerAction]] = []
    for _ in range(100_000):
        deadline = machine.next_deadline()
        if deadline is None or deadline > until_s:
            return out
        out += [(deadline, item) for item in machine.tick(deadline)]
    raise AssertionError("the deadline does not move on")


def said(out: Iterable[ServerAction]) -> list[dict[str, Any]]:
    """The messages."""
    return [json.loads(item.text) for item in out if isinstance(item, ServerMessage)]


def closes(out: Iterable[ServerAction]) -> list[ServerClose]:
    """The closes."""
    return [item for item in out if isinstance(item, ServerClose)]


def results(messages: Iterable[dict[str, Any]], *, final: bool | None = None) -> list[dict[str, Any]]:
    """The Results among them; finals or interims only."""
    return [
        message
        for message in messages
        if message["type"] == "Results" and (final is None or message["is_final"] is final)
    ]


def words(messages: Iterable[dict[str, Any]]) -> list[str]:
    """The words of the finals, in order."""
    return [
        word["word"]
        for message in results(messages, final=True)
        for word in message["channel"]["alternatives"][0]["words"]
    ]


def window(message: dict[str, Any]) -> tuple[float, float]:
    """Start and end of what a Results covers."""
    return round(message["start"], 3), round(message["start"] + message["duration"], 3)
