"""The words of one connection's finals: detects words that a later result restates, and times that restart. Pure.

Windows of some servers reach back over acknowledged audio and restate its words. Other words for acknowledged audio
mean that the server's stream times have restarted: the result is about other audio than its times say.
"""

from collections import deque
from typing import Final, NamedTuple

from edged.stream.draft import WORD_TIME_JITTER_MS
from edged.stream.messages import Results, StreamWord
from edged.transcripts.text import bare

MAX_WORDS: Final = 120
"""Words to remember: half a minute of fast speech. Servers end a window every 3 to 9 s."""

MATCH_TOLERANCE_MS: Final = 250
"""Largest distance of one word in two results. Each is off by about `WORD_TIME_JITTER_MS`."""

MIN_REACH_BACK_MS: Final = 500
"""Shortest overlap with the window before that means reaching back. Errors of word times explain a shorter one."""


class NovelWords(NamedTuple):
    """A result without the words that it restates."""

    results: Results
    times_restarted: bool
    """The server's stream times have restarted: the result is about other audio than its times say."""


class WordHistory:
    """The latest words of one connection's finals; all times are samples of stream time."""

    def __init__(self, rate: int) -> None:
        self._words: deque[StreamWord] = deque(maxlen=MAX_WORDS)
        self._window_start = 0
        """Start of the last window that advanced the acknowledged stream time."""
        self._placed_end = 0
        """End of the last window with a known place. Finals without one may have acknowledged more."""
        self._texts: deque[str] = deque(maxlen=MAX_WORDS)
        """Bare words of all finals, also of those without a known place."""
        self._jumped = False
        """Whether windows have jumped back before `_window_start`, and none has caught up since."""
        self._jitter = 2 * WORD_TIME_JITTER_MS * rate // 1000
        self._near = MATCH_TOLERANCE_MS * rate // 1000
        self._reach_back = MIN_REACH_BACK_MS * rate // 1000

    def add(self, results: Results, acknowledged_to: int) -> None:
        """Add a filtered final. `acknowledged_to` is how far earlier finals reach."""
        if results.end > acknowledged_to:
            self._window_start = results.start
        self._placed_end = max(self._placed_end, results.end)
        self._words.extend(results.words)
        self.add_unplaced(results)

    def add_unplaced(self, results: Results) -> None:
        """Add a final whose words have no known place."""
        self._texts.extend(bare(word.text) for word in results.words)

    def ends_with(self, results: Results) -> bool:
        """Tell whether the words of a result are the last words of the finals."""
        texts = [bare(word.text) for word in results.words]
        return texts == list(self._texts)[-len(texts) :]

    def filter(self, results: Results, acknowledged_to: int) -> NovelWords:
        """Remove from a result the words that finals already held. `acknowledged_to` is how far these reach."""
        reaches_back = results.start < acknowledged_to - self._reach_back
        new_from = acknowledged_to if reaches_back else acknowledged_to - self._jitter
        unmatched = list(self._words)
        new_words, contradicting, restated = list[StreamWord](), 0, 0
        for word in results.words:
            known = self._find_known(word, unmatched, results) if word.start < new_from else None
            if known:
                unmatched.remove(known)
                restated += 1
                continue
            if (word.start + word.end) // 2 < min(new_from, self._placed_end):
                is_taken = any(_overlaps(word, known) for known in self._words)
                contradicting += reaches_back or (is_taken and results.start < new_from)
                if reaches_back and is_taken:
                    continue
            new_words.append(word)
        # Interims acknowledge nothing, and some servers are careless with their windows.
        is_conclusive = results.is_final and not results.truncated
        times_restarted = is_conclusive and self._have_times_restarted(
            results, acknowledged_to, contradicting, restated
        )
        if len(new_words) < len(results.words):
            results = results._replace(words=new_words, transcript="")
        return NovelWords(results, times_restarted)

    def _have_times_restarted(self, results: Results, acknowledged_to: int, contradicting: int, restated: int) -> bool:
        """Tell whether a result has more words that contradict the finals where it begins than words it restates."""
        jumps = results.start <= self._window_start + self._jitter
        behind = results.start < acknowledged_to - self._jitter
        restates_nothing = jumps and not restated and results.end < acknowledged_to - self._reach_back
        self._jumped = behind and (self._jumped or restates_nothing)
        if restated:
            return contradicting > restated and (jumps or self._jumped)
        if contradicting > 1 or (contradicting and contradicting == len(results.words)):
            return True  # a single corrected word would have new ones after it
        if self._jumped and results.words:
            return True
        return jumps and (
            contradicting > 0 or any(results.start <= w.start and w.end <= results.end for w in self._words)
        )

    def _find_known(self, word: StreamWord, unmatched: list[StreamWord], results: Results) -> StreamWord | None:
        """Return the nearest of the `unmatched` words that is the same word; None if there is none."""
        text = bare(word.text)
        near = [other for other in unmatched if _overlaps(word, other) or self._is_near(word, other, results)]
        same = [other for other in near if bare(other.text) == text]
        return min(same, key=lambda other: abs(other.start - word.start), default=None)

    def _is_near(self, word: StreamWord, known: StreamWord, results: Results) -> bool:
        """Tell whether a known word is near enough, in a window that holds it and so restates it."""
        inside = known.start + known.end >= 2 * results.start
        return inside and (not results.has_word_times or abs(known.start - word.start) <= self._near)


def _overlaps(one: StreamWord, other: StreamWord) -> bool:
    """Tell whether two words share at least half of the shorter one's time."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared > 0 and 2 * shared >= min(one.end - one.start, other.end - other.start)
