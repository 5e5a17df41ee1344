"""What a daemon can have heard: the virtual microphone's account of who listened, and the words that fell into it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import attrgetter

from edged.capture.virtual import Played
from edged.ranges import Range
from edged.recognizer.script import Script, ScriptWord
from edged.transcripts.record import Record
from tests.end_to_end.stage import wall_s

BREAK_S = 3.0
"""A reader that comes back after so long has had an overrun: the buffer holds 1 s."""


@dataclass
class Ear:
    """Follows what the microphone says of itself; `heard` is where somebody listened, in samples of the room.

    A stream advances by whole periods; any other step means that it was begun anew.
    """

    rate: int
    period: int
    heard: list[Range] = field(default_factory=list)
    _last: Played | None = None

    def observe(self, played: Played) -> None:
        """To be called several times a second."""
        last, self._last = self._last, played
        if last is not None and last.played == played.played:
            return
        if self.heard:
            start, end = self.heard[-1]
            step = played.played - end
            if 0 <= step <= BREAK_S * self.rate and step % self.period == 0:
                self.heard[-1] = start, played.played
                return
        self.heard.append((played.delivered, played.played))

    def certain(self) -> list[Range]:
        """Where nothing may be missing.

        What the microphone gave last before it was closed (or its reader killed) may not have been looked at: one
        period; and one more had not come to its end.
        """
        return [(start, end - self.period) for start, end in self.heard if end - self.period > start]


@dataclass
class Verdict:
    """A word-by-word account. Good if nothing is in the lists."""

    expected: int
    words: frozenset[str]
    """Those that came."""
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
        """In a line or some."""
        text = f"{self.expected} words expected, {len(self.lost)} lost, {len(self.doubled)} doubled"
        for name in ("lost", "doubled", "unknown", "overlapping", "mistimed"):
            if things := getattr(self, name):
                text += f"\n  {name}: {things[:12]}"
        return text


def expected(script: Script, certain: Sequence[Range]) -> list[ScriptWord]:
    """The words that lie wholly where somebody listened."""
    return [word for word in script.words if any(a <= word.start and word.end <= b for a, b in certain)]


def judge(
    script: Script, certain: Sequence[Range], records: Iterable[Record], *, room_s: float, within_s: float = 0.25
) -> Verdict:
    """Compare. `room_s`: wall time of the room's first sample; word times may be wrong by `within_s`."""
    records = list(records)
    due = expected(script, certain)
    got = Counter(word.word for record in records for word in record.words)
    known = {word.text: word for word in script.words}
    return Verdict(
        expected=len(due),
        words=frozenset(got),
        lost=[word for word in due if not got[word.text]],
        doubled=[text for text, times in got.items() if times > 1],
        unknown=[text for text in got if text not in known],
        overlapping=shared(records),
        mistimed=mistimed(script.rate, known, records, room_s, within_s),
    )


def shared(records: Sequence[Record]) -> list[str]:
    """What violates that a sample is in one record at most, and an id with one record only."""
    found = [f"id {id_} came {n} times" for id_, n in Counter(r.id for r in records).items() if n > 1]
    ordered = sorted(records, key=lambda r: (r.run, r.from_, r.to))
    for run, group in groupby(ordered, attrgetter("run")):
        for one, other in pairwise(group):
            if other.from_ < one.to:
                found.append(f"{run}: {one.id} {one.from_}-{one.to} and {other.id} {other.from_}-{other.to}")
    return found


def mistimed(
    rate: int, known: dict[str, ScriptWord], records: Sequence[Record], room_s: float, within_s: float
) -> list[str]:
    """Words whose wall time is not when they were said."""
    found = []
    for record in records:
        start_s = wall_s(record.start) - room_s
        for word in record.words:
            if word.word in known:
                wrong_s = start_s + word.start - known[word.word].start / rate
                if abs(wrong_s) > within_s:
                    found.append(f"{word.word} by {wrong_s:+.2f} s ({record.id})")
    return found
