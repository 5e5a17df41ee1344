"""From finals to utterances: the draft of one, where it may be cut, and what it is when it is done. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edged.model.ranges import Range
from edged.model.utterance import PlacedWord, Utterance

PAUSE_MS = 150
"""A shorter silence may lie within a word (a closure before a plosive lasts up to 100 ms)."""

MAX_WORD_S = 2.0
"""A window without words may end in mid-word: this much before its end is kept until the next answer."""

WORD_TIME_JITTER_MS = 80
"""A recogniser's word times are off by as much."""

PRE_ROLL_RESERVE_MS = 300
"""Of a long pause this much is left to what follows: words may begin too softly for the detector."""


QuietRuns = Callable[[int, int], list[Range]]
"""Gives the runs of a range in which the gate heard no voice."""


@dataclass(slots=True)
class Draft:
    """Finals that are not recorded yet: `[start, end)` of one chain of segments, and the words so far (perhaps none).

    It outlives the session that began it.
    """

    chain_start: int
    start: int
    end: int
    request_id: str = ""
    words: list[PlacedWord] = field(default_factory=list)

    def last_pause(self, quiet_runs: QuietRuns, pause: int) -> int | None:
        """Where to go on after a break: the middle of the last silence behind a word of at least `pause` samples.

        Both must call it silence, the recogniser's word times and the gate: either alone is sometimes wrong. What lies
        before the first word is its pre-roll, which is sent again as a whole.
        """
        edges = [*((w.start, w.end) for w in self.words), (self.end, self.end)]
        for (_, after), (before, _) in zip(reversed(edges[:-1]), reversed(edges[1:]), strict=True):
            for start, end in reversed(quiet_runs(after, before) if before - after >= pause else []):
                if end - start >= pause:
                    return (start + end) // 2
        return None

    def truncate(self, position: int) -> None:
        """Discard what comes after `position`: it will be recognised again."""
        self.words = [word for word in self.words if word.middle < position]
        self.end = position

    def safe_end(self, quiet_runs: QuietRuns, pause: int, lead: int) -> int:
        """How far it may be settled, so that no word that straddles its end, or begins just before it, is cut.

        In the last pause after its last word: `lead` before the pause's end, or half way to a voice before it. Without
        a pause, right after the last word; without a word either, at its end.
        """
        after = max(self.start, min(self.words[-1].end, self.end)) if self.words else self.start
        quiet = quiet_runs(after, self.end)
        for start, end in reversed(quiet):
            if end - start >= pause:
                shared = self.words or start > self.start
                return end - min(lead, (end - start) // 2 if shared else end - start)
        if not self.words:
            return self.end
        start, end = quiet[0] if quiet else (after, after)
        return (start + end) // 2 if start - after < pause else after

    def split_point(self, longest: int) -> int | None:
        """Where a draft that has grown over `longest` samples is parted: in the widest gap between two words."""
        if len(self.words) < 2 or self.end - self.words[0].start <= longest:
            return None
        middle = self.widest_gap(self.start)
        return middle if middle is not None and middle < self.end else None

    def widest_gap(self, beyond: int) -> int | None:
        """The middle of the widest gap between two words, of those beyond a position; None if there is none.

        It parts the two, whatever their times are: servers have been seen to give all words the same.
        """
        gaps = [
            (after.start - before.end, middle)
            for before, after in zip(self.words, self.words[1:], strict=False)
            if before.middle < (middle := (before.end + after.start) // 2) <= after.middle
        ]
        return max(((gap, middle) for gap, middle in gaps if middle > beyond), default=(0, None))[1]

    def append_punctuation(self, mark: str) -> None:
        """Append punctuation to the last word, if there is one: it came in a final of its own, and may come again."""
        if not self.words or self.words[-1].text.endswith(mark):
            return
        last = self.words[-1]
        passage = last.passage and last.passage._replace(text=last.passage.text + mark)
        self.words = [word._replace(passage=passage) if word.passage is last.passage else word for word in self.words]
        self.words[-1] = self.words[-1]._replace(text=last.text + mark)

    def split_off(self, to: int, replayed: Callable[[int, int], bool]) -> Utterance:
        """Part off what lies before `to` as an utterance; the rest stays, with `to` as its start.

        All of it takes all words: one that is said to lie at its end, or beyond, would be left to nobody.
        """
        whole = to >= self.end
        words = tuple(word for word in self.words if whole or word.middle < to)
        utterance = Utterance(self.start, to, words, self.request_id, replayed(self.start, to))
        self.words = [word for word in self.words if not whole and word.middle >= to]
        self.start = to
        return utterance
