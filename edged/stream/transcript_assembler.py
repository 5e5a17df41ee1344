"""What the answers make of waiting audio: records, and silence. Pure.

The law:
- Words belong to segments by position; a final that spans a skip is split there.
- A record is due and its audio released in one step (`Uttered`): no sink sees it before.
- What may hold the beginning of a word is neither recorded nor settled: a window can end in mid-word.
- Recorded are finals only; an interim is no more than a sign that something was heard.
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
    """A record is due; its audio is released."""

    utterance: Utterance


class TranscriptAssembler:
    """Keeps one draft, which outlives the session that began it."""

    def __init__(self, account: PendingAudio, rate: int, longest: int) -> None:
        self._account = account
        self._rate = rate
        self._longest = longest
        self._pause = PAUSE_MS * rate // 1000
        self._lead = PRE_ROLL_RESERVE_MS * rate // 1000
        self._jitter = WORD_TIME_JITTER_MS * rate // 1000
        self.draft: Draft | None = None
        self._interim: list[PlacedWord] = []
        self.resent = Ranges()
        """What was sent more than once, as far as it may still be recorded."""

    @property
    def unrecorded_text(self) -> str:
        """What is being said, as far as it is not recorded: for people only."""
        return text_of([*(self.draft.words if self.draft else ()), *self._interim])

    # -- what the server says -----------------------------------------------------------------------------------------

    def feed_interim(self, words: list[messages.StreamWord], stream: StreamMap) -> None:
        """The server's present guess; it replaces the one before."""
        self._interim = [_place(word, stream) for word in words] if stream.sent_samples else []

    def feed_final(self, answer: FinalReceived, stream: StreamMap, request_id: str) -> list[UtteranceReady]:
        """A final: its words are drafted, and what it ends is recorded."""
        uttered: list[UtteranceReady] = []
        words = self._place_words(answer, stream) if stream.sent_samples else []
        if answer.punctuation and self.draft:
            self.draft.append_punctuation(answer.punctuation)
        parts = [
            part
            for piece in answer.pieces
            for part in self._account.split_by_segment(piece.position, piece.position + piece.length)
        ]
        if not parts and words:
            # Late, for audio that was answered before: a record of its own.
            start, end = words[0].start, max(words[-1].end, words[0].start + 1)
            uttered.append(
                UtteranceReady(Utterance(start, end, tuple(words), request_id, self.resent.overlaps(start, end)))
            )
        for i, (start, end) in enumerate(parts):
            mine = words if i == len(parts) - 1 else [word for word in words if word.middle < end]
            words = words[len(mine) :]
            uttered += self._feed_part(start, end, mine, request_id)
        if stream.sent_samples:
            reached = stream.position_reached(answer.reach)
            self._interim = [word for word in self._interim if word.middle >= reached]
        if answer.speech_final:
            uttered += self.record_words()
        return uttered

    def feed_utterance_end(self, last_word_end: int) -> list[UtteranceReady]:
        """The server heard a gap after this position. Late ones, and those about words yet to come, end nothing."""
        draft = self.draft
        slack = self._rate // 1000
        if draft is None or not draft.words:
            return []
        if not draft.words[-1].start - slack < last_word_end <= draft.end + slack:
            return []
        return self.record_words()

    # -- what ends a segment ------------------------------------------------------------------------------------------

    def close_segment(self, segment: SpeechSegment) -> list[UtteranceReady]:
        """The gate has closed behind a segment: if finals have covered it, that is its end."""
        draft = self._draft_for(segment)
        return self.record_draft() if draft and self._is_complete(segment, draft.end) else []

    def settle_silence(self, segment: SpeechSegment) -> list[UtteranceReady]:
        """Close the books on a segment that is over, if nothing was heard in what is unanswered of it."""
        start = self._unacknowledged_start(segment)
        heard = self._account.has_voice(start, segment.end) or any(
            start < w.middle < segment.end for w in self._interim
        )
        return [] if heard else self.settle_segment(segment)

    def settle_segment(self, segment: SpeechSegment) -> list[UtteranceReady]:
        """Close the books on a segment that is over: what finals don't cover of it is silence.

        A record reaches no further than finals do, so that what is said of the rest after all is a record beside it.
        """
        start = self._unacknowledged_start(segment)
        uttered = self.record_draft() if self._draft_for(segment) else []
        self._account.release(start, segment.end, "silence")
        return uttered

    def record_words(self) -> list[UtteranceReady]:
        """End the draft: record its words, and keep what may hold the beginning of the next one."""
        draft = self.draft
        if draft is None:
            return []
        segment = self._account.segment_at(max(draft.start, draft.end - 1))
        if self._is_complete(segment, draft.end):
            return self.record_draft()
        if not draft.words:
            self._settle_wordless(draft)
            return []
        to = self._end_after_words(draft)
        return [self._record(draft, min(draft.end, max(to, draft.words[-1].middle + 1, draft.start + 1)))]

    def record_draft(self) -> list[UtteranceReady]:
        """End the draft as it is, without keeping any of it back."""
        draft, self.draft = self.draft, None
        if draft and draft.words:
            return [self._record(draft, draft.end)]
        if draft:
            self._account.release(draft.start, draft.end, "silence")
        return []

    # -- breaks -------------------------------------------------------------------------------------------------------

    def resume_point(self) -> int:
        """Where a next session would best go on: never in a word. Raises ValueError without a draft."""
        if self.draft is None:
            raise ValueError("nothing is drafted")
        pause = self.draft.last_pause(self._account.quiet_runs, self._pause)
        return self.draft.start if pause is None else pause

    def quietest_gap(self, beyond: int) -> int:
        """Where to go on beyond a position if no pause was heard. Raises ValueError without a draft.

        Where it is quietest, near the widest gap between two words or behind the last word. A draft without words is
        kept short, and may hold the beginning of one: that is its start.
        """
        draft = self.draft
        if draft is None:
            raise ValueError("nothing is drafted")
        if not draft.words:
            return draft.start
        gap = draft.widest_gap(beyond + self._jitter)
        if gap is None:
            return self._end_after_words(draft)
        return self._account.quietest_position(
            gap - self._jitter, min(gap + self._jitter, draft.end), self._jitter // 8
        )

    def truncate(self, position: int) -> None:
        """Discard what was drafted after a resume point: it will be recognised again."""
        draft = self.draft
        if draft is None:
            return
        draft.truncate(position)
        if not draft.words:
            self._account.release(draft.start, position, "silence")
            self.draft = None

    def discard_interims(self) -> None:
        """Interims of a lost session mean nothing any more."""
        self._interim = []

    # -- inside -------------------------------------------------------------------------------------------------------

    def _place_words(self, answer: FinalReceived, stream: StreamMap) -> list[PlacedWord]:
        """The words of a final, each where it was said."""
        passage = Passage(answer.transcript, len(answer.words)) if answer.transcript else None
        words = [_place(word, stream, passage) for word in answer.words]
        return words if answer.timed else self._spread(words, answer.pieces)

    def _spread(self, words: list[PlacedWord], pieces: list[SentPiece]) -> list[PlacedWord]:
        """Words without times, in equal parts of the voice that was heard in these pieces."""
        spans = [(piece.position, piece.position + piece.length) for piece in pieces]
        spans = [run for span in spans for run in self._account.voiced_runs(*span)] or spans
        share = sum(end - start for start, end in spans) // max(1, len(words))
        if not share:
            return words

        def place(at: int) -> int:
            for start, end in spans:
                if at < end - start:
                    return start + at
                at -= end - start
            return spans[-1][1]

        return [
            word._replace(start=place(i * share), end=place((i + 1) * share - 1) + 1, guessed=True)
            for i, word in enumerate(words)
        ]

    def _draft_for(self, segment: SpeechSegment) -> Draft | None:
        return self.draft if self.draft and self.draft.chain_start == segment.chain_start else None

    def _is_complete(self, segment: SpeechSegment | None, end: int) -> bool:
        """Nobody goes on speaking at `end`, and nothing behind it is left to be answered."""
        return segment is None or (segment.is_over and not self._account.waiting.overlaps(end, segment.end))

    def _unacknowledged_start(self, segment: SpeechSegment) -> int:
        draft = self._draft_for(segment)
        if draft:
            return draft.end
        following = self._account.waiting.following(segment.start)
        return min(following[0], segment.end) if following else segment.end

    def _feed_part(self, start: int, end: int, words: list[PlacedWord], request_id: str) -> list[UtteranceReady]:
        """A final covers `[start, end)`, which lies in one chain of segments, with these words."""
        uttered: list[UtteranceReady] = []
        segment = self._account.segment_at(end - 1)
        chain = segment.chain_start if segment else start
        draft = self.draft
        if draft and not (draft.chain_start == chain and draft.start <= start <= draft.end + self._pause):
            uttered += self.record_draft()  # another segment, or what lies between was answered before
        if segment is None and not words:
            return uttered  # settled already, and nothing new was heard in it
        draft = self.draft = self.draft or Draft(chain, start, end)
        draft.end = max(draft.end, end)
        draft.words += words
        draft.request_id = request_id
        while (middle := draft.split_point(self._longest)) is not None:
            uttered.append(self._record(draft, middle))
        if self._is_complete(segment, end):
            uttered += self.record_draft()
        elif not draft.words:
            self._settle_wordless(draft)
        return uttered

    def _end_after_words(self, draft: Draft) -> int:
        """Where a draft may be cut behind its last word: in a pause, else where it is quietest near that word's end."""
        to = draft.safe_end(self._account.quiet_runs, self._pause, self._lead)
        last = draft.words[-1]
        if to > last.end:
            return to
        since = last.middle if last.guessed else max(last.middle, to - self._jitter)
        return self._account.quietest_position(since, min(to + self._jitter, draft.end), self._jitter // 8)

    def _settle_wordless(self, draft: Draft) -> None:
        """Nothing was said up to here, but a word may have begun: the last of it is kept until the next answer."""
        to = draft.safe_end(self._account.quiet_runs, self._pause, self._lead)
        if to == draft.end:
            to = max(draft.start, draft.end - round(MAX_WORD_S * self._rate))
        self._account.release(draft.start, to, "silence")
        draft.start = to

    def _record(self, draft: Draft, to: int) -> UtteranceReady:
        utterance = draft.split_off(to, self.resent.overlaps)
        self._account.release(utterance.start, utterance.end, "recorded")
        self.resent.remove(0, utterance.end)
        return UtteranceReady(utterance)


def _place(word: messages.StreamWord, stream: StreamMap, passage: Passage | None = None) -> PlacedWord:
    """A word in positions. Its middle tells where it belongs: if its times span a skip they are cut there."""
    piece = stream.piece_at((word.start + word.end) // 2)

    def placed(at: int) -> int:
        return piece.position + min(max(at - piece.stream_start, 0), piece.length)

    start, end = placed(word.start), placed(word.end)
    return PlacedWord(start, end, word.word, word.text, word.confidence, word.speaker, word.end_estimated, passage)
