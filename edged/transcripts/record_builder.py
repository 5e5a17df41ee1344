"""Builds records from utterances: converts positions to wall-clock times when the record is written, not before.

A clock that is set meanwhile therefore gives the right times to words that were spoken before it was set.
"""

from collections.abc import Callable
from typing import Protocol

from edged.config.settings import Settings
from edged.model.record import Record, RecordWord, encodable
from edged.model.utterance import Utterance
from edged.service.clock import timestamp
from edged.transcripts.text import text_of


class CaptureTimes(Protocol):
    """Capture times of samples, by position."""

    def at_s(self, position: int) -> float:
        """Return when the sample at `position` was captured, in seconds of CLOCK_BOOTTIME."""


class RecordBuilder:
    """Builds the records of one run. `device` and `channel` name the source of its audio."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        host: str,
        times: CaptureTimes,
        clock_state: Callable[[], str],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._run = run
        self._host = host
        self._times = times
        self._clock_state = clock_state
        self._new_id = new_id
        self.device = settings.capture.device
        self.channel = settings.capture.channel

    def build(self, utterance: Utterance, now_s: float, wall_offset_s: float) -> Record:
        """Build the record of an utterance, which has at least one word.

        Args:
            utterance: Words and samples of the record.
            now_s: Present time, in seconds of CLOCK_BOOTTIME.
            wall_offset_s: Wall-clock time minus CLOCK_BOOTTIME, in seconds.
        """
        at_s = self._times.at_s
        begins_s = at_s(utterance.words[0].start)
        ends_s = max(at_s(word.end) for word in utterance.words)
        words = tuple(
            RecordWord(
                word=word.word,
                text=word.text,
                start=round(at_s(word.start) - begins_s, 3),
                end=round(at_s(word.end) - begins_s, 3),
                confidence=round(word.confidence, 4),
                speaker=word.speaker,
            )
            for word in utterance.words
        )
        return Record(
            id=self._new_id(),
            start=timestamp(begins_s + wall_offset_s),
            end=timestamp(ends_s + wall_offset_s),
            text=text_of(utterance.words),
            confidence=round(sum(word.confidence for word in words) / len(words), 4),
            channel=self.channel,
            words=words,
            language=self._settings.deepgram.language,
            model=self._settings.deepgram.model,
            request_id=utterance.request_id,
            replayed=utterance.replayed,
            delayed_s=round(max(0.0, now_s - ends_s), 3),
            clock=self._clock_state(),
            device=encodable(self.device),
            host=encodable(self._host),  # the kernel accepts any bytes as a host name
            run=self._run,
            from_=utterance.start,
            to=utterance.end,
        )
