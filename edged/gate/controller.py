"""The gate as the daemon uses it: with its detectors, what the recogniser makes of its output, and its load."""

import logging
import time
from typing import Final

from edged.config.settings import GateSettings
from edged.gate.audio_gate import SegmentAudio, SegmentEvent
from edged.gate.detectors import AUTO, make_audio_gate, why_unavailable
from edged.gate.load_monitor import LoadMonitor
from edged.model.audio import BYTES_PER_SAMPLE, Block
from edged.model.ranges import Ranges

log = logging.getLogger("edged.gate")

SUSPENSION_S: Final = 600
"""Time for which a second opinion that was too slow is suspended.

Wall time shows that it is too slow, not CPU time, because lagging behind loses audio whatever takes the time. A single
stall of a card looks the same, and costs ten minutes of noise. A machine that is always too slow lags by seconds every
ten minutes, and catches up."""


QUIET_READ_S: Final = 0.3
"""Interval between reads in a quiet room: three blocks of the default for one wake-up.

0.5 s saves no more that could be measured. The delay at the begin of speech is sent 1.25 times as fast as real time, so
edged has caught up before a sentence of a second and a half is over."""

SPEECH_READ_S: Final = 0.2
"""Interval between reads in mid-speech: two blocks, sent as one message of at most 0.25 s, as the server advises.

A server takes some silence for the end of an utterance (0.3 s by default). It still gets that without delay, because
webrtcvad notices the end of a voice within two blocks."""


class GateController:
    """The gate of the daemon, used in the event loop.

    A block of 100 ms takes 0.02 ms in a quiet room, 0.5 ms while the second opinion is asked, and 2 ms where a voice
    begins (on x86-64; a Pi is some times slower).
    """

    def __init__(self, settings: GateSettings, rate: int) -> None:
        """Raises ConfigurationError if a detector that the settings name is not installed."""
        self._gate = make_audio_gate(settings, rate)
        self._rate = rate
        self._load = LoadMonitor()
        self._settings = settings
        self._second_opinion = "none"
        if self._gate.has_second_opinion:  # asking the detectors would load it twice
            self._second_opinion = AUTO if settings.second_opinion == "auto" else settings.second_opinion
        self._resume_at: int | None = None
        """Position at which a suspended second opinion is asked again."""
        self.suspensions = 0
        """Number of times that this machine was too slow for the second opinion."""
        self._unreleased = Ranges()
        """Audio that passed by the gate's own decision, until it is released: evidence, if no word is in it."""

    def announce(self) -> None:
        """Log which detectors decide."""
        if self._second_opinion != "none":
            log.info("webrtcvad, with a second opinion (%s)", self._second_opinion)
        elif self._settings.enabled and self._settings.second_opinion == "auto":
            log.warning("webrtcvad alone, so that loud noise is sent too: %s", why_unavailable(AUTO))

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._gate.is_open

    @property
    def read_interval_s(self) -> float:
        """Time for which audio may accumulate between reads; 0 where speech seems to begin or to end."""
        gate = self._gate
        return QUIET_READ_S if gate.is_calm else SPEECH_READ_S if gate.is_mid_speech else 0.0

    @property
    def passed_to(self) -> int:
        """Position before which everything has passed or never will; audio after it may still pass."""
        return self._gate.passed_to

    @property
    def late_s(self) -> float:
        """Amount of audio that was judged after the next block had come."""
        return self._load.late_s

    def feed(self, block: Block, *, forced: bool) -> list[SegmentEvent]:
        """Take the next block. Return what passes now. `forced` holds the gate open in any case.

        A second opinion that lags by seconds is suspended for `SUSPENSION_S`; the first suspension is a warning.
        """
        if self._resume_at is not None and block.position >= self._resume_at:
            self._resume_at = None
            self._gate.resume_second_opinion()
        started_s = time.monotonic()
        events = self._gate.feed(block, forced=forced)
        too_slow = self._load.add((block.end - block.position) / self._rate, time.monotonic() - started_s)
        if too_slow and self._gate.has_second_opinion:
            self._suspend_second_opinion(block.end)
        if not forced:
            self._note_passed(events)
        return events

    def finish(self) -> list[SegmentEvent]:
        """Judge what is left and end an open segment, as no block follows."""
        events = self._gate.finish()
        self._note_passed(events)
        return events

    def note_release(self, start: int, end: int, *, as_silence: bool) -> None:
        """Learn that the audio `[start, end)` was released: as silence, or with words or unheard.

        What was sent only to prime a connection says nothing about the gate.
        """
        samples = self._unreleased.remove(start, end)
        if samples and as_silence:
            self._gate.note_outcome(samples, words=False)

    def note_words(self) -> None:
        """Learn that the server heard words in what the gate passes now."""
        self._gate.note_outcome(0, words=True)

    def _note_passed(self, events: list[SegmentEvent]) -> None:
        for event in events:
            if isinstance(event, SegmentAudio):
                self._unreleased.add(event.position, event.position + len(event.pcm) // BYTES_PER_SAMPLE)

    def _suspend_second_opinion(self, at: int) -> None:
        self._gate.suspend_second_opinion()
        self._resume_at = at + SUSPENSION_S * self._rate
        self.suspensions += 1
        log.log(
            logging.WARNING if self.suspensions == 1 else logging.DEBUG,
            "this machine is too slow for gate.second_opinion (%s), or stood still; suspending it for %d min,"
            " in which noise is sent too",
            *(self._second_opinion, SUSPENSION_S // 60),
        )
