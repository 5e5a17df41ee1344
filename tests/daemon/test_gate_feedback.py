"""Feedback to the gate: the outcome of the audio that it passed."""

from typing import cast

import pytest

from edged.daemon.gate_feedback import teach
from edged.gate.controller import GateController
from edged.model.utterance import Utterance
from edged.stream.events import InterimText, SenderEvent
from edged.stream.pending_audio import AudioReleased
from edged.stream.transcript_assembler import UtteranceReady


class RecordingGate:
    """Remembers what it is taught."""

    def __init__(self) -> None:
        self.lessons: list[object] = []

    def note_release(self, start: int, end: int, *, as_silence: bool) -> None:
        self.lessons.append((start, end, as_silence))

    def note_words(self) -> None:
        self.lessons.append("words")


@pytest.mark.parametrize(
    ("event", "lessons"),
    [
        (AudioReleased(0, 1600, "silence"), [(0, 1600, True)]),
        (AudioReleased(0, 1600, "recorded"), [(0, 1600, False)]),
        (AudioReleased(0, 1600, "evicted"), [(0, 1600, False)]),
        (InterimText("hello"), ["words"]),
        (InterimText(""), []),
        (UtteranceReady(Utterance(0, 800, (), "", False)), ["words"]),
    ],
)
def test_silence_counts_and_any_word_ends_it(event: SenderEvent, lessons: list[object]) -> None:
    gate = RecordingGate()
    teach(cast("GateController", gate), event)
    assert gate.lessons == lessons
