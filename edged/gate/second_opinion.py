"""The second opinion: when the costlier detector is asked, and what its answers mean. Positions only. Pure.

- The detector is asked from an onset of webrtcvad on, until webrtcvad has found nothing voiced for a while, and while
  the gate is open.
- One answer of `opens_at` or more opens the gate, back to the onset: what was said meanwhile is not lost.
- After that `stays_at` suffices. After speech webrtcvad alone suffices too, for longer the more speech there was.
- While the recogniser finds no words in the audio (`note_outcome`), only `opens_at` suffices: noise does not stay.
- A detector that has listened to noise for long becomes deaf to speech in it. So it restarts at each onset, with what
  came just before it, and after every `RESTART_MS` without speech.
"""

from collections.abc import Callable
from typing import Final

from edged.config.settings import GateSettings as GateSettings
from edged.gate.gate import Opinion
from edged.gate.onset import OnsetDetector

WARM_UP_MS: Final = 320
"""Audio before an onset that the detector gets first: without it, its first answers are guesses."""

SLEEP_MS: Final = 400
"""Time after webrtcvad's last voiced frame until the detector is asked no more: longer than stops within words."""

RESTART_MS: Final = 5000
"""Time without speech after which the detector restarts. Without a restart, far speech 10 dB above lasting noise was
judged as noise for 9 s. More frequent ones cost more, `WARM_UP_MS` each, and pass more noise: new sounds surprise."""

FULL_PATIENCE_MS: Final = 1000
"""Certain speech that earns the whole of `patience_ms`; a bark or a slammed door earns next to none of it."""

Ask = Callable[[int, int], float]
"""`ask(start, end)` returns the likelihood, 0 to 1, of speech just before `end`, by a detector that has heard all from
`start` on."""


class SecondOpinion:
    """Forms an opinion on each frame that it is shown, in order."""

    def __init__(self, settings: GateSettings, rate: int, ask: Ask) -> None:
        def samples(ms: float) -> int:
            return round(ms * rate / 1000)

        self._ask = ask
        self._opens_at, self._stays_at = settings.opens_at, min(settings.stays_at, settings.opens_at)
        self._onset_detector = OnsetDetector.from_settings(settings, rate)
        self._warm_up, self._sleep, self._restart = samples(WARM_UP_MS), samples(SLEEP_MS), samples(RESTART_MS)
        self._patience_per_speech = settings.patience_ms / FULL_PATIENCE_MS
        """Time for which webrtcvad alone suffices, per time of certain speech."""
        self._max_speech = samples(FULL_PATIENCE_MS)
        self.look_back = samples(settings.look_back_ms)
        """Longest time from an onset to an opinion that still lets the first voiced frame pass, in samples."""
        self._voiced_to = 0
        """End of webrtcvad's last voiced frame."""
        self._onset: int | None = None
        """Position of the onset that is being judged while the gate is closed."""
        self._listening_since: int | None = None
        """Position from which on the detector listens; None while it does not."""
        self._speech_or_restart = 0
        """Position at which the detector last found speech, or last restarted."""
        self._speech = 0
        """Samples of certain speech in this opening, up to `FULL_PATIENCE_MS`; 0 until the detector finds speech."""
        self._likely_to = 0
        """End of the last frame that the detector found likely enough to hold the gate open."""
        self._wordless = 0
        """Samples sent since the last word."""
        self._max_wordless = samples(settings.wordless_s * 1000) or None

    @property
    def is_idle(self) -> bool:
        """Whether the detector does not listen: frames that are not voiced need not be shown."""
        return self._listening_since is None

    def reset(self) -> None:
        """Forget the past: the next frame does not follow the last one."""
        self._go_idle()

    def note_outcome(self, samples: int, *, words: bool) -> None:
        """Learn that the recogniser found words, or nothing, in so many samples of the audio that passed."""
        self._wordless = 0 if words else self._wordless + samples

    def judge(self, start: int, end: int, voiced: bool, *, is_open: bool) -> Opinion:
        """Return the opinion on a frame that webrtcvad found `voiced` or not, while the gate is open or closed."""
        if voiced:
            self._voiced_to = end
        if is_open:
            self._onset = None
        else:
            self._speech = 0
            if not self._has_onset(start, end, voiced):
                return Opinion(False, start)
        is_speech = self._is_speech(start, end, voiced)
        return Opinion(is_speech, max(start if self._onset is None else self._onset, end - self.look_back))

    def _is_speech(self, start: int, end: int, voiced: bool) -> bool:
        if self._listening_since is None:
            self._listen(start)
        likelihood = self._ask(self._listening_since or 0, end)
        if likelihood >= self._opens_at:
            self._speech = min(self._max_speech, self._speech + end - start)
            self._likely_to = self._speech_or_restart = end
            return True
        if end - self._speech_or_restart >= self._restart:
            self._listen(end)
        if self._max_wordless is not None and self._wordless >= self._max_wordless:
            return False
        if self._speech and likelihood >= self._stays_at:
            self._likely_to = end
            return True
        return voiced and end - self._likely_to <= self._patience_per_speech * self._speech

    def _has_onset(self, start: int, end: int, voiced: bool) -> bool:
        is_onset = self._onset_detector.feed(start, end, voiced)
        if end - self._voiced_to > self._sleep:
            self._go_idle()
        elif self._onset is None and is_onset:
            self._onset = self._onset_detector.take()[0][0]
            self._listen(self._onset)
        return self._onset is not None

    def _listen(self, at: int) -> None:
        self._listening_since, self._speech_or_restart = max(0, at - self._warm_up), at

    def _go_idle(self) -> None:
        self._listening_since = self._onset = None
        self._onset_detector.take()
