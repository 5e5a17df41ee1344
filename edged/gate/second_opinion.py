"""The second opinion: when the dearer detector is asked, and what its answers come to. Positions only; it never sees a
Pure.
sample.

- It is asked from an onset of webrtcvad's on, until that has heard nothing for a while, and while the gate is open.
- One answer of `opens_at` or more opens the gate, back to the onset (`begin`): what is said meanwhile is not lost.
- From then on `stays_at` is enough; and behind speech, the longer it was the longer, webrtcvad alone is.
- While the recogniser finds no word in what is sent (`answered`), only `opens_at` is enough: noise does not stay.
- Who has listened to noise for long grows deaf to speech in it. So each onset is listened to afresh, with what came
  just before it, and every `FRESH_MS` that brought nothing once more.
"""

from collections.abc import Callable
from typing import Final

from edged.config.settings import GateSettings as GateSettings
from edged.gate.gate import Opinion
from edged.gate.onset import OnsetDetector

WARM_MS: Final = 320
"""What a detector hears before an onset: without it, its first answers are guesses."""

SLEEP_MS: Final = 400
"""So long after webrtcvad's last voiced frame the detector is asked no more: longer than the stops inside of words."""

FRESH_MS: Final = 5000
"""Without it, far speech 10 dB above noise that had gone on was judged as noise for 9 s on end. More often costs more,
the `WARM_MS` each time, and lets more noise through: what is heard for the first time is more of a surprise."""

SURE_MS: Final = 1000
"""So much sure speech earns the whole of `patience_ms`; a bark or a slammed door earns next to none of it."""

Ask = Callable[[int, int], float]
"""`ask(since, end)`: how likely it is, from 0 to 1, that somebody speaks just before `end`, to a detector that has
listened from `since` on without a break."""


class SecondOpinion:
    """Forms an opinion on each frame that it is shown. Frames come in order."""

    def __init__(self, settings: GateSettings, rate: int, ask: Ask) -> None:
        def samples(ms: float) -> int:
            return round(ms * rate / 1000)

        self._ask = ask
        self._opens_at, self._stays_at = settings.opens_at, min(settings.stays_at, settings.opens_at)
        self._onset = OnsetDetector.of(settings, rate)
        self._warm, self._sleep, self._fresh = samples(WARM_MS), samples(SLEEP_MS), samples(FRESH_MS)
        self._patience = settings.patience_ms / SURE_MS
        """How long webrtcvad alone is enough, for a sample of sure speech."""
        self._sure_counted = samples(SURE_MS)
        self.late = samples(settings.look_back_ms)
        """How long after an onset its first voiced frame is still let through."""
        self._heard_to = 0
        """The end of webrtcvad's last voiced frame."""
        self._first: int | None = None
        """While the gate is shut: where the onset began that is being judged."""
        self._since: int | None = None
        """From where on the detector listens; None while it does not."""
        self._news_at = 0
        """When it last heard speech, or began to listen."""
        self._sure = 0
        """Samples of speech in this opening, up to `SURE_MS`; 0 until it is the detector who wants it open."""
        self._likely_to = 0
        self._wordless = 0
        """Samples sent in vain since the last word."""
        self._vain = samples(settings.wordless_s * 1000) or None

    @property
    def idle(self) -> bool:
        """The detector does not listen: frames without a voice need not be shown."""
        return self._since is None

    def reset(self) -> None:
        """What comes next does not follow what came before."""
        self._rest()

    def note_outcome(self, samples: int, *, words: bool) -> None:
        """The recogniser has said what is in so much of what was let through: words, or nothing."""
        self._wordless = 0 if words else self._wordless + samples

    def judge(self, start: int, end: int, heard: bool, *, is_open: bool) -> Opinion:
        """About a frame in which webrtcvad has `heard` a voice, or not; the gate is open, or not."""
        if heard:
            self._heard_to = end
        if is_open:
            self._first = None
        else:
            self._sure = 0
            if not self._is_onset(start, end, heard):
                return Opinion(False, start)
        return Opinion(
            self._is_speech(start, end, heard), max(start if self._first is None else self._first, end - self.late)
        )

    def _is_speech(self, start: int, end: int, heard: bool) -> bool:
        if self._since is None:
            self._listen(start)
        likelihood = self._ask(self._since or 0, end)
        if likelihood >= self._opens_at:
            self._sure = min(self._sure_counted, self._sure + end - start)
            self._likely_to = self._news_at = end
            return True
        if end - self._news_at >= self._fresh:
            self._listen(end)
        if self._vain is not None and self._wordless >= self._vain:
            return False
        if self._sure and likelihood >= self._stays_at:
            self._likely_to = end
            return True
        return heard and end - self._likely_to <= self._patience * self._sure

    def _is_onset(self, start: int, end: int, heard: bool) -> bool:
        onset = self._onset.feed(start, end, heard)
        if end - self._heard_to > self._sleep:
            self._rest()
        elif self._first is None and onset:
            self._first = self._onset.take()[0][0]
            self._listen(self._first)
        return self._first is not None

    def _listen(self, at: int) -> None:
        self._since, self._news_at = max(0, at - self._warm), at

    def _rest(self) -> None:
        self._since = self._first = None
        self._onset.take()
