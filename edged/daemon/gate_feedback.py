"""Feedback to the gate: the outcome of the audio that it passed."""

from edged.gate.controller import GateController
from edged.stream.events import InterimText, SenderEvent
from edged.stream.pending_audio import AudioReleased
from edged.stream.transcript_assembler import UtteranceReady


def teach(gate: GateController, event: SenderEvent) -> None:
    """Tell `gate` about silence and words. Audio that was evicted was never heard: it says nothing about noise."""
    match event:
        case AudioReleased(start, end, fate):
            gate.note_release(start, end, as_silence=fate == "silence")
        case UtteranceReady():
            gate.note_words()
        case InterimText(text) if text:
            gate.note_words()
