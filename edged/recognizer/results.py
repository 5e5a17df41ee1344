"""Results from audio: windows, interims, finals and ends of utterances. Pure: its only clock is the audio itself.

The rules:
- The windows of successive finals are contiguous, and together cover all audio.
- An interim restates the whole open window, about once a second of audio.
- A final comes when `endpointing` has passed since the last voice (with `speech_final`), every 3-9 s without such an
  end (forced, without `speech_final`), on Finalize, and at the end. A word belongs to the first final that is made
  after its end: a word in which a window ends comes with the next one, with its true times.
- Nothing is said before the first second of audio, unless it is asked for.
"""

from edged.recognizer import messages
from edged.recognizer.engine import NO_SPEECH, Engine, RecognizedWord
from edged.recognizer.handshake import Query
from edged.recognizer.perturbations import Draw, Perturbations
from edged.recognizer.quirks import MessageRewriter, Quirks

FIRST_S = 1.0
"""Deepgram says nothing until it has had about so much audio."""
INTERIM_S = 1.0
"""Audio between two interims: seen on the wire."""
FORCED_S = (3.0, 9.0)
"""An utterance without a pause is finalised at some time in this range: seen on the wire."""
USUAL_FORCED_S = 5.0
QUIET_S = 0.5
"""Without endpointing: silence after which new voice is a new start of speech."""
ROUNDING_S = 1e-6


class ResultGenerator:
    """Turns one connection's audio into messages: every method returns JSON texts, in the order to send them in."""

    def __init__(
        self,
        engine: Engine,
        query: Query,
        stream: messages.MessageBuilder,
        perturbations: Perturbations,
        quirks: Quirks,
        draw: Draw,
    ) -> None:
        self.engine = engine
        self.processed_s = 0.0
        """Seconds of audio processed."""
        self._query = query
        self._stream = stream
        self._perturbations = perturbations
        self._quirks = quirks
        self._draw = draw
        self._rewrite = MessageRewriter(quirks).rewrite
        self._samples = 0
        self._heard = NO_SPEECH
        self._start_s = 0.0
        """Start of the open window."""
        self._speaking = False
        self._fresh = True
        """The next word begins an utterance."""
        self._announced = False
        self._utterance_s: float | None = None
        """End of the last word that no UtteranceEnd was sent for."""
        self._interim_every_s = self._interim_at_s = self._forced_at_s = 0.0
        self._plan()

    def feed(self, pcm: bytes) -> list[str]:
        """More audio, 0.1 s or so at a time: that is how exactly windows are cut."""
        before = self._heard.voice_end_s
        self._heard = self.engine.feed(pcm)
        self._samples += len(pcm) // 2
        self.processed_s = self._samples / self._query.rate
        if self._heard.voice_end_s > before:
            self._speaking = True
        if self._heard.words:
            self._utterance_s = self._heard.words[-1].end_s
        if self.processed_s < FIRST_S:
            return []
        return self._rewrite([*self._speech_started(), *self._result(), *self._utterance_end()])

    def finalize(self) -> list[str]:
        """Answer Finalize: what is buffered becomes final. Nothing buffered, no answer."""
        if self.processed_s <= self._start_s + ROUNDING_S:
            return []
        self._heard = self.engine.flush()
        out = self._final(self.processed_s, speech_final=self._ended(), from_finalize=True)
        self._speaking = self._voiced()
        return self._rewrite(out)

    def close(self) -> list[str]:
        """The last results, and Metadata."""
        out = []
        if self.processed_s > self._start_s:
            self._heard = self.engine.flush()
            out = self._final(self.processed_s, speech_final=self._speaking)
        return [*self._rewrite(out, closing=True), self.metadata()]

    def metadata(self) -> str:
        """A `Metadata` message as of now."""
        return self._stream.metadata(self.processed_s)

    def _voiced(self) -> bool:
        """Somebody speaks just now."""
        return self._heard.voice_end_s > self.processed_s - 0.05

    def _ended(self) -> bool:
        """An utterance has come to its end by silence."""
        silence_s = self.processed_s - self._heard.voice_end_s
        endpointing_s = self._query.endpointing_s
        return self._speaking and endpointing_s is not None and silence_s >= max(endpointing_s, 0.01) - ROUNDING_S

    def _speech_started(self) -> list[str]:
        if not self._speaking or self._announced:
            return []
        self._announced = True
        return [messages.speech_started(self._heard.voice_start_s)] if self._query.vad_events else []

    def _result(self) -> list[str]:
        if self._ended():
            self._heard = self.engine.flush()
            out = self._final(self.processed_s, speech_final=True)
            self._speaking = self._announced = False
            return out
        if self._query.endpointing_s is None and self.processed_s - self._heard.voice_end_s >= QUIET_S:
            self._speaking = self._announced = False
        if (until_s := self._forced()) is not None:
            return self._final(until_s)
        if self._query.interim_results and self.processed_s >= self._interim_at_s - ROUNDING_S:
            self._interim_at_s = self.processed_s + self._interim_every_s
            if self._heard.words or not self._quirks.no_empty_interims:
                return [self._message(self._heard.words, self._start_s, self.processed_s, is_final=False)]
        return []

    def _forced(self) -> float | None:
        """Return where a forced final must end, or None if none is due."""
        if self.processed_s < self._forced_at_s - ROUNDING_S:
            return None
        overdue = self.processed_s >= self._start_s + FORCED_S[1] - 0.2
        if self._perturbations.cut_mid_word:
            return self.processed_s if self._voiced() or not self._speaking or overdue else None
        if not self._speaking:
            return self.processed_s
        settled = [
            word.end_s for word in self._heard.words if word.end_s <= self.processed_s - self.engine.stable_after_s
        ]
        if settled and settled[-1] > self._start_s:
            return settled[-1]
        return self.processed_s if overdue else None

    def _final(self, until_s: float, *, speech_final: bool = False, from_finalize: bool = False) -> list[str]:
        words = tuple(word for word in self._heard.words if word.end_s <= until_s + ROUNDING_S)
        text = self._message(
            words, self._start_s, until_s, is_final=True, speech_final=speech_final, from_finalize=from_finalize
        )
        self.engine.commit(until_s + ROUNDING_S)
        self._heard = self._heard._replace(words=self._heard.words[len(words) :])
        self._fresh = speech_final or (self._fresh and not words)
        self._start_s = until_s
        self._plan()
        return [text]

    def _plan(self) -> None:
        """When the next interim and the next forced final are due."""
        self._interim_every_s = INTERIM_S
        self._forced_at_s = self._start_s + USUAL_FORCED_S
        if self._perturbations.cut_mid_word:
            self._interim_every_s = INTERIM_S * (0.6 + 0.8 * self._draw())
            self._forced_at_s = self._start_s + FORCED_S[0] + (FORCED_S[1] - FORCED_S[0] - 1) * self._draw()
        self._interim_at_s = self.processed_s + self._interim_every_s

    def _utterance_end(self) -> list[str]:
        limit_s = self._query.utterance_end_s
        last_s = self._utterance_s
        if limit_s is None or last_s is None or self.processed_s - last_s < limit_s - ROUNDING_S or self._voiced():
            return []
        self._utterance_s = None
        final = self._final(self.processed_s) if self._heard.words else []
        return [*final, messages.utterance_end(last_s)]

    def _message(
        self,
        words: tuple[RecognizedWord, ...],
        start_s: float,
        end_s: float,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> str:
        if self._quirks.windows_from_words:
            start_s, end_s = (words[0].start_s, words[-1].end_s) if words else (0.0, 0.0)
        entries = []
        for place, word in enumerate(words):
            jitter_s = self._perturbations.jitter_ms / 1000
            begin_s = max(0.0, word.start_s + (2 * self._draw() - 1) * jitter_s if jitter_s else word.start_s)
            finish_s = max(begin_s + 0.01, word.end_s + (2 * self._draw() - 1) * jitter_s if jitter_s else word.end_s)
            if self._perturbations.missing_end_ratio and self._draw() < self._perturbations.missing_end_ratio:
                finish_s = -1.0
            punctuated = word.text
            confidence = word.confidence
            if self._perturbations.rephrase:
                punctuated = (word.text.capitalize() if self._draw() < 0.5 else word.text) + ("", ",", ".", "?")[
                    int(self._draw() * 4) % 4
                ]
                confidence = 0.6 + 0.4 * self._draw()
            elif place == 0 and self._fresh:
                punctuated = punctuated.capitalize()
            if not self._perturbations.rephrase and speech_final and place == len(words) - 1:
                punctuated += "."
            entries.append(
                messages.word(
                    word.text,
                    begin_s,
                    finish_s,
                    confidence if self._quirks.confidence is None else self._quirks.confidence,
                    punctuated=punctuated if self._query.punctuate else None,
                    speaker=0 if self._query.diarize else None,
                )
            )
        return self._stream.results(
            entries, start_s, end_s, is_final=is_final, speech_final=speech_final, from_finalize=from_finalize
        )
