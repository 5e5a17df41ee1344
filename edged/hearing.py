"""The gate as the daemon has it: with its detectors, what the recogniser makes of its work, and whether it keeps up."""

import logging
import time

from edged.audio import Block
from edged.gate.detectors import chosen, intake, lacking
from edged.gate.intake import Let
from edged.gate.pace import Pace
from edged.settings import Gate
from edged.stream.account import Released
from edged.stream.effects import LaneEffect, Showing
from edged.stream.scribe import Uttered

log = logging.getLogger("edged.gate")


class Hearing:
    """Used in the event loop, where a block of 100 ms takes it 0.02 ms in a quiet room, 0.5 while the second opinion is
    asked, and 2 where a voice begins (on x86-64; a Pi is some times slower).
    """

    def __init__(self, settings: Gate, rate: int) -> None:
        """Raises ConfigurationError if a detector that the settings name is not installed."""
        self._intake = intake(settings, rate)
        self._rate = rate
        self._pace = Pace()
        self._second = chosen(settings)
        self._asked_for = settings.second_opinion

    def announce(self) -> None:
        """Tell, once, who decides."""
        if self._second != "none":
            log.info("webrtcvad, with a second opinion (%s)", self._second)
        elif self._asked_for == "auto":
            log.info("webrtcvad alone, so that loud noise is sent too: %s", lacking("silero"))

    @property
    def is_open(self) -> bool:
        """See `Intake.is_open`."""
        return self._intake.is_open

    @property
    def let_to(self) -> int:
        """See `Intake.let_to`."""
        return self._intake.let_to

    @property
    def late_s(self) -> float:
        """See `Pace.late_s`."""
        return self._pace.late_s

    def block(self, block: Block, *, forced: bool) -> list[Let]:
        """See `Intake.block`. A second opinion that takes longer than the audio lasts is given up."""
        begun_s = time.monotonic()
        let = self._intake.block(block, forced=forced)
        too_slow = self._pace.judged((block.end - block.position) / self._rate, time.monotonic() - begun_s)
        if too_slow and self._intake.has_second:
            self._intake.without_second()
            log.warning(
                "this machine is too slow for gate.second_opinion (%s): it is asked no more, so that noise is sent too",
                self._second,
            )
        return let

    def finish(self) -> list[Let]:
        """See `Intake.finish`."""
        return self._intake.finish()

    def learn(self, effect: LaneEffect) -> None:
        """What the recogniser found in what was sent, or did not find."""
        match effect:
            case Released(start, end, "silence"):
                self._intake.answered(end - start, words=False)
            case Uttered():
                self._intake.answered(0, words=True)
            case Showing(text) if text:
                self._intake.answered(0, words=True)
