"""The words that one connection's finals have held: what a later result restates, and when times start again. Pure.

Some servers' windows reach back over what is final already, and hold its words again. What is told of audio that is
answered and is not what was told before tells that stream times have started again: it is about other audio.
"""

from collections import deque
from typing import Final, NamedTuple

from edged.stream.draft import WORD_TIME_JITTER_MS
from edged.stream.messages import Results, StreamWord
from edged.transcripts.text import bare

MAX_WORDS: Final = 120
"""Half a minute of fast speech: servers end a window every 3 to 9 s of it, so that none reaches back farther."""

MATCH_TOLERANCE_MS: Final = 250
"""Two results place the same word within this: each is off by `JITTER_MS` at most, or a little more."""

MIN_REACH_BACK_MS: Final = 500
"""A window that begins so long before the end of the last one reaches back; word times may make it seem so by less."""


class NovelWords(NamedTuple):
    """A result without what it restates."""

    results: Results
    times_restarted: bool
    """It is about other audio than its times say."""


class WordHistory:
    """Of one connection; all times are samples of stream time."""

    def __init__(self, rate: int) -> None:
        self._words: deque[StreamWord] = deque(maxlen=MAX_WORDS)
        self._window = 0
        """Where the window of the last final begins that went on from the one before."""
        self._placed_to = 0
        """Where the windows of finals end; text without a place may have answered more."""
        self._texts: deque[str] = deque(maxlen=MAX_WORDS)
        """The words of all finals, those without a place too, as they are compared."""
        self._jumped = False
        """Since then windows have begun before that, or behind such a one."""
        self._jitter = 2 * WORD_TIME_JITTER_MS * rate // 1000
        self._near = MATCH_TOLERANCE_MS * rate // 1000
        self._back = MIN_REACH_BACK_MS * rate // 1000

    def add(self, results: Results, answered_to: int) -> None:
        """A final, sifted; those before it had come up to `answered_to`."""
        if results.end > answered_to:
            self._window = results.start
        self._placed_to = max(self._placed_to, results.end)
        self._words.extend(results.words)
        self.add_unplaced(results)

    def add_unplaced(self, results: Results) -> None:
        """A final of which it is not known where its words were said."""
        self._texts.extend(bare(word.text) for word in results.words)

    def ends_with(self, results: Results) -> bool:
        """Whether the last words of the finals were these."""
        texts = [bare(word.text) for word in results.words]
        return texts == list(self._texts)[-len(texts) :]

    def filter(self, results: Results, answered_to: int) -> NovelWords:
        """Part what is new in a result from what finals have held; they have come up to `answered_to`."""
        reaches_back = results.start < answered_to - self._back
        since = answered_to if reaches_back else answered_to - self._jitter
        left = list(self._words)
        new, others, restated = list[StreamWord](), 0, 0
        for word in results.words:
            known = self._find_known(word, left, results) if word.start < since else None
            if known:
                left.remove(known)
                restated += 1
                continue
            if (word.start + word.end) // 2 < min(since, self._placed_to):
                taken = any(_overlaps(word, each) for each in self._words)
                others += reaches_back or (taken and results.start < since)
                if reaches_back and taken:
                    continue
            new.append(word)
        # Interims answer nothing, and some servers are careless with their windows.
        judged = results.is_final and not results.truncated
        started_again = judged and self._have_times_restarted(results, answered_to, others, restated)
        if len(new) < len(results.words):
            results = results._replace(words=new, transcript="")
        return NovelWords(results, started_again)

    def _have_times_restarted(self, results: Results, answered_to: int, others: int, restated: int) -> bool:
        """Whether a result denies what was said where it begins: it has `others` there than those it restates."""
        jumps = results.start <= self._window + self._jitter
        behind = results.start < answered_to - self._jitter
        nothing = jumps and not restated and results.end < answered_to - self._back
        self._jumped = behind and (self._jumped or nothing)
        if restated:
            return others > restated and (jumps or self._jumped)
        if others > 1 or (others and others == len(results.words)):
            return True  # one that was heard otherwise is followed by what is new
        if self._jumped and results.words:
            return True
        return jumps and (others > 0 or any(results.start <= w.start and w.end <= results.end for w in self._words))

    def _find_known(self, word: StreamWord, left: list[StreamWord], results: Results) -> StreamWord | None:
        """The nearest of those `left` that is this word, said before."""
        text = bare(word.text)
        near = [each for each in left if _overlaps(word, each) or self._is_near(word, each, results)]
        same = [each for each in near if bare(each.text) == text]
        return min(same, key=lambda each: abs(each.start - word.start), default=None)

    def _is_near(self, word: StreamWord, known: StreamWord, results: Results) -> bool:
        """Enough where the window holds the known word too, and so restates it: each is taken for one only."""
        inside = known.start + known.end >= 2 * results.start
        return inside and (not results.has_word_times or abs(known.start - word.start) <= self._near)


def _overlaps(one: StreamWord, other: StreamWord) -> bool:
    """Whether they share half of the shorter one's time."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared > 0 and 2 * shared >= min(one.end - one.start, other.end - other.start)
