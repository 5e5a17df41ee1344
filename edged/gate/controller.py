"""The gate as the daemon has it: with its detectors, what the recogniser makes of its work, and whether it keeps up."""

import logging
import time
from typing import Final

from edged.config.settings import GateSettings
from edged.gate.audio_gate import SegmentAudio, SegmentEvent
from edged.gate.detectors import AUTO, lacking, make_audio_gate
from edged.gate.load_monitor import LoadMonitor
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.ranges import Ranges

log = logging.getLogger("edged.gate")

AGAIN_S: Final = 600
"""So long a second opinion that was too slow is not asked. Time on the clock tells that it is, not CPU time, as it is
falling behind that loses audio, whoever takes the time. But one stall of a card looks the same: it costs ten minutes of
noise then. A machine that is always too slow is seconds behind once in so long, and catches up."""


QUIET_S: Final = 0.3
"""In a quiet room, three blocks of the default for one wake-up. Half a second at a time saves no more that could be
measured; and what a voice is late by at first is sent 1.25 times as fast as real time, so that it is made up for before
a sentence of a second and a half is over."""

MID_SPEECH_S: Final = 0.2
"""Two blocks, and one message to the server, which is advised to be of 0.25 s at most. What a server needs to know that
an utterance is over (0.3 s of silence, by default) still comes as soon as it is there: webrtcvad hears a voice's end
within two blocks of it."""


class GateController:
    """Used in the event loop, where a block of 100 ms takes it 0.02 ms in a quiet room, 0.5 while the second opinion is
    asked, and 2 where a voice begins (on x86-64; a Pi is some times slower).
    """

    def __init__(self, settings: GateSettings, rate: int) -> None:
        """Raises ConfigurationError if a detector that the settings name is not installed."""
        self._intake = make_audio_gate(settings, rate)
        self._rate = rate
        self._pace = LoadMonitor()
        self._settings = settings
        self._second = "none"
        if self._intake.has_second_opinion:  # not to be loaded twice
            self._second = AUTO if settings.second_opinion == "auto" else settings.second_opinion
        self._again_at: int | None = None
        """While it is given up: from which position on it is asked again."""
        self.suspensions = 0
        """How often this machine was too slow for the second opinion."""
        self._judged = Ranges()
        """What the gate let through by its own judgement and is not released yet: evidence, if no word is in it."""

    def announce(self) -> None:
        """Tell, once, who decides."""
        if self._second != "none":
            log.info("webrtcvad, with a second opinion (%s)", self._second)
        elif self._settings.enabled and self._settings.second_opinion == "auto":
            log.warning("webrtcvad alone, so that loud noise is sent too: %s", lacking(AUTO))

    @property
    def is_open(self) -> bool:
        """See `Intake.is_open`."""
        return self._intake.is_open

    @property
    def read_interval_s(self) -> float:
        """How much audio may come at a time now; 0 where somebody seems to begin or to end."""
        intake = self._intake
        return QUIET_S if intake.is_calm else MID_SPEECH_S if intake.is_mid_speech else 0.0

    @property
    def passed_to(self) -> int:
        """See `Intake.let_to`."""
        return self._intake.passed_to

    @property
    def late_s(self) -> float:
        """See `Pace.late_s`."""
        return self._pace.late_s

    def feed(self, block: Block, *, forced: bool) -> list[SegmentEvent]:
        """See `Intake.block`. A second opinion that falls behind by seconds is given up for `AGAIN_S`; the first time,
        that is told.
        """
        if self._again_at is not None and block.position >= self._again_at:
            self._again_at = None
            self._intake.resume_second_opinion()
        begun_s = time.monotonic()
        let = self._intake.feed(block, forced=forced)
        too_slow = self._pace.add((block.end - block.position) / self._rate, time.monotonic() - begun_s)
        if too_slow and self._intake.has_second_opinion:
            self._give_up(block.end)
        if not forced:
            self._note(let)
        return let

    def finish(self) -> list[SegmentEvent]:
        """See `Intake.finish`."""
        let = self._intake.finish()
        self._note(let)
        return let

    def note_release(self, start: int, end: int, *, as_silence: bool) -> None:
        """Learn that the audio `[start, end)` was released: as silence, or with words or unheard.

        What was sent only to prime a connection says nothing about the gate.
        """
        judged = self._judged.remove(start, end)
        if judged and as_silence:
            self._intake.note_outcome(judged, words=False)

    def note_words(self) -> None:
        """Learn that the server heard words in what the gate passes now."""
        self._intake.note_outcome(0, words=True)

    def _note(self, let: list[SegmentEvent]) -> None:
        for event in let:
            if isinstance(event, SegmentAudio):
                self._judged.add(event.position, event.position + len(event.pcm) // BYTES_PER_SAMPLE)

    def _give_up(self, at: int) -> None:
        self._intake.suspend_second_opinion()
        self._again_at = at + AGAIN_S * self._rate
        self.suspensions += 1
        log.log(
            logging.WARNING if self.suspensions == 1 else logging.DEBUG,
            "this machine is too slow for gate.second_opinion (%s), or stood still: it is asked again in %d min, and"
            " until then noise is sent too",
            *(self._second, AGAIN_S // 60),
        )
