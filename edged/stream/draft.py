"""The draft of an utterance: finals that are not recorded yet, and where to cut them. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edged.model.ranges import Range
from edged.model.utterance import PlacedWord, Utterance

PAUSE_MS = 150
"""Shortest silence that counts as a pause. Words hold shorter ones: closures before plosives last up to 100 ms."""

MAX_WORD_S = 2.0
"""Audio kept pending at the end of a window without words, until the next final: the window may end in mid-word."""

WORD_TIME_JITTER_MS = 80
"""Typical error of a recogniser's word times."""

PRE_ROLL_RESERVE_MS = 300
"""Part of a long pause that is left to the next words, which may begin too softly for the voice detector."""


QuietRuns = Callable[[int, int], list[Range]]
"""Function that returns the parts of `[start, end)` in which the gate heard no voice."""


@dataclass(slots=True)
class Draft:
    """Finals that are not recorded yet: `[start, end)` in one chain of segments, and its words so far, if any.

    A draft outlives the session that began it.
    """

    chain_start: int
    start: int
    end: int
    request_id: str = ""
    words: list[PlacedWord] = field(default_factory=list)

    def last_pause(self, quiet_runs: QuietRuns, pause_samples: int) -> int | None:
        """Return the middle of the last silence of at least `pause_samples` after a word; None if there is none.

        Word times and gate must agree that it is silence: either alone is sometimes wrong. The silence before the first
        word does not count: it is the pre-roll, which is resent whole.
        """
        edges = [*((w.start, w.end) for w in self.words), (self.end, self.end)]
        for (_, after), (before, _) in zip(reversed(edges[:-1]), reversed(edges[1:]), strict=True):
            for start, end in reversed(quiet_runs(after, before) if before - after >= pause_samples else []):
                if end - start >= pause_samples:
                    return (start + end) // 2
        return None

    def truncate(self, position: int) -> None:
        """Discard everything after a position, which will be recognised again."""
        self.words = [word for word in self.words if word.middle < position]
        self.end = position

    def safe_end(self, quiet_runs: QuietRuns, pause_samples: int, reserve_samples: int) -> int:
        """Return how far the draft may be settled without cutting a word at its end.

        That is in the last pause after the last word: `reserve_samples` before the pause's end, or in its middle if it
        is short. Without a pause it is right after the last word, and without words the end.
        """
        after = max(self.start, min(self.words[-1].end, self.end)) if self.words else self.start
        quiet = quiet_runs(after, self.end)
        for start, end in reversed(quiet):
            if end - start >= pause_samples:
                follows_voice = self.words or start > self.start
                return end - min(reserve_samples, (end - start) // 2 if follows_voice else end - start)
        if not self.words:
            return self.end
        start, end = quiet[0] if quiet else (after, after)
        return (start + end) // 2 if start - after < pause_samples else after

    def split_point(self, max_samples: int) -> int | None:
        """Return the widest gap between words of a draft longer than `max_samples`; None if the draft is short."""
        if len(self.words) < 2 or self.end - self.words[0].start <= max_samples:
            return None
        middle = self.widest_gap(self.start)
        return middle if middle is not None and middle < self.end else None

    def widest_gap(self, beyond: int) -> int | None:
        """Return the middle of the widest gap between two words beyond a position; None if there is none.

        Only gaps that separate the middles of their words count: some servers give all words the same times.
        """
        gaps = [
            (after.start - before.end, middle)
            for before, after in zip(self.words, self.words[1:], strict=False)
            if before.middle < (middle := (before.end + after.start) // 2) <= after.middle
        ]
        return max(((gap, middle) for gap, middle in gaps if middle > beyond), default=(0, None))[1]

    def append_punctuation(self, mark: str) -> None:
        """Append punctuation from a later final to the last word, unless there is none or it has that mark already."""
        if not self.words or self.words[-1].text.endswith(mark):
            return
        last = self.words[-1]
        passage = last.passage and last.passage._replace(text=last.passage.text + mark)
        self.words = [word._replace(passage=passage) if word.passage is last.passage else word for word in self.words]
        self.words[-1] = self.words[-1]._replace(text=last.text + mark)

    def split_off(self, to: int, replayed: Callable[[int, int], bool]) -> Utterance:
        """Remove everything before `to` and return it as an utterance; the rest of the draft starts at `to`.

        The whole draft takes all words, even one whose middle lies at the end or beyond.
        """
        whole = to >= self.end
        words = tuple(word for word in self.words if whole or word.middle < to)
        utterance = Utterance(self.start, to, words, self.request_id, replayed(self.start, to))
        self.words = [word for word in self.words if not whole and word.middle >= to]
        self.start = to
        return utterance
