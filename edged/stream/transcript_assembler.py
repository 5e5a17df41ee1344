"""The transcript assembler: turns the server's results into utterances, and settles pending audio. Pure.

The law:
- Words belong to segments by position. A final that spans a gap in the audio is split there.
- An utterance becomes due and its audio is released in one step (`UtteranceReady`). No sink sees it earlier.
- Audio that may hold the beginning of a word is neither recorded nor settled: a window can end in mid-word.
- Only finals are recorded. An interim is merely a sign that speech was heard.
"""

from typing import NamedTuple

from edged.model.ranges import Ranges
from edged.model.utterance import Passage, PlacedWord, Utterance
from edged.stream import messages
from edged.stream.draft import MAX_WORD_S, PAUSE_MS, PRE_ROLL_RESERVE_MS, WORD_TIME_JITTER_MS, Draft
from edged.stream.pending_audio import PendingAudio, SpeechSegment
from edged.stream.session import FinalReceived
from edged.stream.stream_map import SentPiece, StreamMap
from edged.transcripts.text import text_of


class UtteranceReady(NamedTuple):
    """An event: an utterance is due for its record, and its audio is released."""

    utterance: Utterance


class TranscriptAssembler:
    """Assembles finals into utterances. Holds one draft, which outlives the session that began it."""

    def __init__(self, pending: PendingAudio, rate: int, max_utterance_samples: int) -> None:
        self._pending = pending
        self._rate = rate
        self._max_utterance_samples = max_utterance_samples
        self._pause_samples = PAUSE_MS * rate // 1000
        self._reserve_samples = PRE_ROLL_RESERVE_MS * rate // 1000
        self._jitter_samples = WORD_TIME_JITTER_MS * rate // 1000
        self.draft: Draft | None = None
        """The finals that are not recorded yet; None without any."""
        self._interim_words: list[PlacedWord] = []
        self.resent = Ranges()
        """Positions sent more than once, as far as they may still be recorded."""

    @property
    def unrecorded_text(self) -> str:
        """Text of the draft and of the latest interim, for display only."""
        return text_of([*(self.draft.words if self.draft else ()), *self._interim_words])

    # -- results of the server ----------------------------------------------------------------------------------------

    def feed_interim(self, words: list[messages.StreamWord], stream: StreamMap) -> None:
        """Take the words of an interim; they replace those of the one before."""
        self._interim_words = [_place(word, stream) for word in words] if stream.sent_samples else []

    def feed_final(self, final: FinalReceived, stream: StreamMap, request_id: str) -> list[UtteranceReady]:
        """Add a final to the draft; return the utterances that it completes."""
        utterances: list[UtteranceReady] = []
        words = self._place_words(final, stream) if stream.sent_samples else []
        if final.punctuation and self.draft:
            self.draft.append_punctuation(final.punctuation)
        parts = [
            part
            for piece in final.pieces
            for part in self._pending.split_by_segment(piece.position, piece.position + piece.length)
        ]
        if not parts and words:
            # A late final, for audio that has an outcome already: an utterance of its own.
            start, end = words[0].start, max(words[-1].end, words[0].start + 1)
            utterances.append(
                UtteranceReady(Utterance(start, end, tuple(words), request_id, self.resent.overlaps(start, end)))
            )
        for i, (start, end) in enumerate(parts):
            part_words = words if i == len(parts) - 1 else [word for word in words if word.middle < end]
            words = words[len(part_words) :]
            utterances += self._feed_part(start, end, part_words, request_id)
        if stream.sent_samples:
            reached = stream.position_reached(final.reach)
            self._interim_words = [word for word in self._interim_words if word.middle >= reached]
        if final.speech_final:
            utterances += self.record_words()
        return utterances

    def feed_utterance_end(self, last_word_end: int) -> list[UtteranceReady]:
        """Record the words of the draft if the server heard a gap after its last word, which ends at this position.

        Ignores an UtteranceEnd about earlier words, or about words that are still to come.
        """
        draft = self.draft
        slack = self._rate // 1000
        if draft is None or not draft.words:
            return []
        if not draft.words[-1].start - slack < last_word_end <= draft.end + slack:
            return []
        return self.record_words()

    # -- the end of a segment -----------------------------------------------------------------------------------------

    def close_segment(self, segment: SpeechSegment) -> list[UtteranceReady]:
        """Record the draft of a segment that the gate has closed, if finals cover the segment to its end."""
        draft = self._draft_for(segment)
        return self.record_draft() if draft and self._is_complete(segment, draft.end) else []

    def settle_silence(self, segment: SpeechSegment) -> list[UtteranceReady]:
        """Settle a segment that is over, if neither gate nor recogniser heard anything in its unacknowledged rest."""
        start = self._unacknowledged_start(segment)
        heard = self._pending.has_voice(start, segment.end) or any(
            start < w.middle < segment.end for w in self._interim_words
        )
        return [] if heard else self.settle_segment(segment)

    def settle_segment(self, segment: SpeechSegment) -> list[UtteranceReady]:
        """Settle a segment that is over: record its draft, and release what finals don't cover as silence.

        An utterance ends where finals end, so that a later final for the rest becomes an utterance of its own.
        """
        start = self._unacknowledged_start(segment)
        utterances = self.record_draft() if self._draft_for(segment) else []
        self._pending.release(start, segment.end, "silence")
        return utterances

    def record_words(self) -> list[UtteranceReady]:
        """Record the words of the draft, but keep the audio at its end that may hold the beginning of the next word."""
        draft = self.draft
        if draft is None:
            return []
        segment = self._pending.segment_at(max(draft.start, draft.end - 1))
        if self._is_complete(segment, draft.end):
            return self.record_draft()
        if not draft.words:
            self._settle_wordless(draft)
            return []
        to = self._end_after_words(draft)
        return [self._record(draft, min(draft.end, max(to, draft.words[-1].middle + 1, draft.start + 1)))]

    def record_draft(self) -> list[UtteranceReady]:
        """Record the whole draft, or release it as silence if it has no words."""
        draft, self.draft = self.draft, None
        if draft and draft.words:
            return [self._record(draft, draft.end)]
        if draft:
            self._pending.release(draft.start, draft.end, "silence")
        return []

    # -- resuming after a lost connection -----------------------------------------------------------------------------

    def resume_point(self) -> int:
        """Return the best position to resume at, never in a word. Raises ValueError without a draft.

        That is the middle of the last pause after a word, otherwise the start of the draft.
        """
        if self.draft is None:
            raise ValueError("nothing is drafted")
        pause = self.draft.last_pause(self._pending.quiet_runs, self._pause_samples)
        return self.draft.start if pause is None else pause

    def quietest_gap(self, beyond: int) -> int:
        """Return where to resume beyond a position, in speech without pauses. Raises ValueError without a draft.

        That is the quietest position near the widest gap between two words, or after the last word. For a draft without
        words it is the start: such a draft is short, and may hold the beginning of a word.
        """
        draft = self.draft
        if draft is None:
            raise ValueError("nothing is drafted")
        if not draft.words:
            return draft.start
        gap = draft.widest_gap(beyond + self._jitter_samples)
        if gap is None:
            return self._end_after_words(draft)
        return self._pending.quietest_position(
            gap - self._jitter_samples, min(gap + self._jitter_samples, draft.end), self._jitter_samples // 8
        )

    def truncate(self, position: int) -> None:
        """Discard what was drafted after a position: that audio will be recognised again."""
        draft = self.draft
        if draft is None:
            return
        draft.truncate(position)
        if not draft.words:
            self._pending.release(draft.start, position, "silence")
            self.draft = None

    def discard_interims(self) -> None:
        """Drop the words of the last interim, since its session is lost."""
        self._interim_words = []

    # -- placing words ------------------------------------------------------------------------------------------------

    def _place_words(self, final: FinalReceived, stream: StreamMap) -> list[PlacedWord]:
        """Return the words of a final at their positions."""
        passage = Passage(final.transcript, len(final.words)) if final.transcript else None
        words = [_place(word, stream, passage) for word in final.words]
        return words if final.timed else self._spread(words, final.pieces)

    def _spread(self, words: list[PlacedWord], pieces: list[SentPiece]) -> list[PlacedWord]:
        """Give words without times equal parts of the voiced audio in these pieces."""
        spans = [(piece.position, piece.position + piece.length) for piece in pieces]
        spans = [run for span in spans for run in self._pending.voiced_runs(*span)] or spans
        samples_per_word = sum(end - start for start, end in spans) // max(1, len(words))
        if not samples_per_word:
            return words

        def position(voiced_samples: int) -> int:
            for start, end in spans:
                if voiced_samples < end - start:
                    return start + voiced_samples
                voiced_samples -= end - start
            return spans[-1][1]

        return [
            word._replace(
                start=position(i * samples_per_word),
                end=position((i + 1) * samples_per_word - 1) + 1,
                end_estimated=True,
            )
            for i, word in enumerate(words)
        ]

    def _draft_for(self, segment: SpeechSegment) -> Draft | None:
        return self.draft if self.draft and self.draft.chain_start == segment.chain_start else None

    def _is_complete(self, segment: SpeechSegment | None, end: int) -> bool:
        """Tell whether no speech continues at `end`, and nothing after it waits for a result."""
        return segment is None or (segment.is_over and not self._pending.waiting.overlaps(end, segment.end))

    def _unacknowledged_start(self, segment: SpeechSegment) -> int:
        draft = self._draft_for(segment)
        if draft:
            return draft.end
        following = self._pending.waiting.following(segment.start)
        return min(following[0], segment.end) if following else segment.end

    def _feed_part(self, start: int, end: int, words: list[PlacedWord], request_id: str) -> list[UtteranceReady]:
        """Add to the draft what a final says of `[start, end)`, which lies in one chain of segments."""
        utterances: list[UtteranceReady] = []
        segment = self._pending.segment_at(end - 1)
        chain = segment.chain_start if segment else start
        draft = self.draft
        if draft and not (draft.chain_start == chain and draft.start <= start <= draft.end + self._pause_samples):
            utterances += self.record_draft()  # another segment, or the audio between has an outcome already
        if segment is None and not words:
            return utterances  # settled already, without new words
        draft = self.draft = self.draft or Draft(chain, start, end)
        draft.end = max(draft.end, end)
        draft.words += words
        draft.request_id = request_id
        while (middle := draft.split_point(self._max_utterance_samples)) is not None:
            utterances.append(self._record(draft, middle))
        if self._is_complete(segment, end):
            utterances += self.record_draft()
        elif not draft.words:
            self._settle_wordless(draft)
        return utterances

    def _end_after_words(self, draft: Draft) -> int:
        """Return where to cut a draft after its last word: in a pause, or at the quietest position nearby."""
        to = draft.safe_end(self._pending.quiet_runs, self._pause_samples, self._reserve_samples)
        last = draft.words[-1]
        if to > last.end:
            return to
        earliest = last.middle if last.end_estimated else max(last.middle, to - self._jitter_samples)
        return self._pending.quietest_position(
            earliest, min(to + self._jitter_samples, draft.end), self._jitter_samples // 8
        )

    def _settle_wordless(self, draft: Draft) -> None:
        """Release a draft without words as silence, except for its end: a word may have begun there."""
        to = draft.safe_end(self._pending.quiet_runs, self._pause_samples, self._reserve_samples)
        if to == draft.end:
            to = max(draft.start, draft.end - round(MAX_WORD_S * self._rate))
        self._pending.release(draft.start, to, "silence")
        draft.start = to

    def _record(self, draft: Draft, to: int) -> UtteranceReady:
        utterance = draft.split_off(to, self.resent.overlaps)
        self._pending.release(utterance.start, utterance.end, "recorded")
        self.resent.remove(0, utterance.end)
        return UtteranceReady(utterance)


def _place(word: messages.StreamWord, stream: StreamMap, passage: Passage | None = None) -> PlacedWord:
    """Convert a word to positions. Times that span a gap in the audio are cut to the piece that holds the middle."""
    piece = stream.piece_at((word.start + word.end) // 2)

    def position(at: int) -> int:
        return piece.position + min(max(at - piece.stream_start, 0), piece.length)

    start, end = position(word.start), position(word.end)
    return PlacedWord(start, end, word.word, word.text, word.confidence, word.speaker, word.end_estimated, passage)
