"""Audio that a daemon can have heard: the virtual microphone's account of readers, and the words in that audio."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import attrgetter

from edged.model.ranges import Range
from edged.model.record import Record
from edged.testkit.script import Script, ScriptWord
from edged.testkit.virtual_microphone import PlaybackState
from tests.end_to_end.stage import wall_s

WITHIN_S = 0.25
"""Word times are as good as this: a recogniser's jitter, and what the middle of a stall makes of a stamp."""


@dataclass
class Ear:
    """Follows what the microphone says of itself; `heard` is where somebody listened, in samples of the room.

    Nothing may be missing there. What it gave last before its reader died is not in it (that it was played is all that
    is known): one period, and the one that had not come to its end.
    """

    heard: list[Range] = field(default_factory=list)

    def observe(self, played: PlaybackState) -> None:
        """Note the present reader.

        Call several times a period: audio after the last look into a piece does not count as heard.
        """
        if self.heard and self.heard[-1][0] == played.since:
            self.heard.pop()
        self.heard.append((played.since, played.delivered))

    def killed(self, late: int) -> None:
        """Note that the reader is dead. On a busy machine the reader may have been late, as the test itself was."""
        if self.heard:
            start, end = self.heard.pop()
            self.heard.append((start, max(start, end - late)))


@dataclass
class Verdict:
    """A word-by-word account. Good if nothing is in the lists."""

    expected: int
    words: frozenset[str]
    """Words in the records."""
    lost: list[ScriptWord]
    doubled: list[str]
    unknown: list[str]
    overlapping: list[str]
    """Records that share samples with another one of their run, or ids that came twice."""
    mistimed: list[str]

    @property
    def good(self) -> bool:
        """No word lost, none doubled, none made up, no sample in two records, every time right."""
        return not (self.lost or self.doubled or self.unknown or self.overlapping or self.mistimed)

    def __str__(self) -> str:
        """Describe the verdict in a line or some."""
        text = f"{self.expected} words expected, {len(self.lost)} lost, {len(self.doubled)} doubled"
        for name in ("lost", "doubled", "unknown", "overlapping", "mistimed"):
            if things := getattr(self, name):
                text += f"\n  {name}: {things[:12]}"
        return text


def expected(script: Script, heard: Sequence[Range]) -> list[ScriptWord]:
    """The words that lie wholly where somebody listened."""
    return [word for word in script.words if any(a <= word.start and word.end <= b for a, b in heard)]


def judge(
    script: Script,
    heard: Sequence[Range],
    records: Iterable[Record],
    *,
    room_s: float,
    wrong_s: Collection[float] = (0.0,),
) -> Verdict:
    """Compare the records with the script.

    `room_s` is the wall time of the room's first sample; the clock may be wrong by any of `wrong_s`.
    """
    records = list(records)
    due = expected(script, heard)
    got = Counter(word.word for record in records for word in record.words)
    known = {word.text: word for word in script.words}
    return Verdict(
        expected=len(due),
        words=frozenset(got),
        lost=[word for word in due if not got[word.text]],
        doubled=[text for text, times in got.items() if times > 1],
        unknown=[text for text in got if text not in known],
        overlapping=shared(records),
        mistimed=mistimed(script.rate, known, records, room_s, wrong_s),
    )


def shared(records: Sequence[Record]) -> list[str]:
    """Return violations of two rules: a sample is in one record at most, and an id belongs to one record only."""
    found = [f"id {id_} came {n} times" for id_, n in Counter(r.id for r in records).items() if n > 1]
    ordered = sorted(records, key=lambda r: (r.run, r.from_, r.to))
    for run, group in groupby(ordered, attrgetter("run")):
        for one, other in pairwise(group):
            if other.from_ < one.to:
                found.append(f"{run}: {one.id} {one.from_}-{one.to} and {other.id} {other.from_}-{other.to}")
    return found


def mistimed(
    rate: int, known: dict[str, ScriptWord], records: Sequence[Record], room_s: float, wrong_s: Collection[float]
) -> list[str]:
    """Words whose wall time is not when they were said, by any of the clocks that there were."""
    found = []
    for record in records:
        start_s = wall_s(record.start) - room_s
        for word in record.words:
            if word.word in known:
                late_s = start_s + word.start - known[word.word].start / rate
                least_s = min((late_s - each for each in wrong_s), key=abs)
                if abs(least_s) > WITHIN_S:
                    found.append(f"{word.word} by {least_s:+.2f} s ({record.id})")
    return found
