"""The account of a power cut: the words that must be there after it, and those that are."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edged.model.record import Record
from edged.testkit.script import Script, ScriptWord
from tests.end_to_end.stage import wall_s
from tests.kills.ear import shared


class Heard(NamedTuple):
    """Audio that sounded in one piece."""

    start: int
    end: int
    """Samples of the recording."""
    began_s: float
    """When the recording's first sample would have sounded: seconds since 1970, by the machine's clock."""
    truly_s: float
    """The same moment by the test's clock."""


@dataclass
class Life:
    """One life: from switching the machine on to the next power cut, or to the end."""

    when: str
    """The moment of the cut; empty if there was none."""
    heard: list[Heard]
    promised_s: float = 0.0
    """Length of the newest speech that may be lost."""
    capture_s: tuple[float, float] = (0.0, 0.0)
    """Times to the open microphone: from the kernel's start, and from edged's."""


class Row(NamedTuple):
    """The outcome of a life's words."""

    life: Life
    expected: int
    """Words that were wholly heard, those of the promised loss included."""
    lost: list[ScriptWord]
    """Among the promised loss or not."""
    lost_s: float
    """Time from the end of the first lost word to the cut; 0 if none was lost."""
    doubled: list[str]

    @property
    def good(self) -> bool:
        """No more lost than was promised, and nothing twice."""
        return not self.doubled and (not self.lost or self.lost_s <= self.life.promised_s)


@dataclass
class Balance:
    """All lives of one machine."""

    rows: list[Row]
    faults: list[str] = field(default_factory=list)
    """Whatever else must not be."""

    @property
    def good(self) -> bool:
        """Whether the balance is as promised."""
        return not self.faults and all(row.good for row in self.rows)


def balance(script: Script, lives: Sequence[Life], records: Iterable[Record], *, within_s: float) -> Balance:
    """Compare word by word. Times of words may be wrong by `within_s`."""
    records = list(records)
    got = Counter(word.word for record in records for word in record.words)
    known = {word.text: word for word in script.words}
    rows = [_row(script, life, got) for life in lives]
    faults = [f"unknown: {text}" for text in got if text not in known] + shared(records)
    late_s = {word.word: wall_s(record.start) + word.start for record in records for word in record.words}
    for heard in (heard for life in lives for heard in life.heard):
        for word in inside(script, heard):
            if (off_s := late_s.get(word.text)) is not None:
                off_s -= heard.began_s + word.start / script.rate
                faults += [f"time of {word.text}: wrong by {off_s:+.2f} s"] if abs(off_s) > within_s else []
    return Balance(rows, faults)


def inside(script: Script, heard: Heard) -> list[ScriptWord]:
    """The words that were wholly heard."""
    return [word for word in script.words if heard.start <= word.start and word.end <= heard.end]


def _row(script: Script, life: Life, got: Counter[str]) -> Row:
    words = [word for heard in life.heard for word in inside(script, heard)]
    lost = [word for word in words if not got[word.text]]
    end = life.heard[-1].end if life.heard else 0
    lost_s = (end - lost[0].end) / script.rate if lost else 0.0
    return Row(life, len(words), lost, lost_s, [word.text for word in words if got[word.text] > 1])


def answered(said: Iterable[tuple[float, str]], until_s: float) -> set[str]:
    """Words that a server had answered for good, by the end of their utterance, when it was `until_s` by its clock."""
    done: set[str] = set()
    open_: set[str] = set()
    for at_s, text in said:
        if at_s > until_s:
            break
        message = json.loads(text)
        if message["type"] == "Results" and message["is_final"]:
            open_ |= {word["word"] for word in message["channel"]["alternatives"][0]["words"]}
        if message["type"] == "UtteranceEnd" or message.get("speech_final") or message.get("from_finalize"):
            done |= open_
            open_.clear()
    return done


def table(balances: Iterable[Balance]) -> str:
    """A line a cut, for people."""
    head = ("cut", "words", "lost", "twice", "lost of the last", "promised", "boot to capture", "edged's")
    lines = ["{:<44} {:>5} {:>4} {:>5} {:>16} {:>8} {:>15} {:>7}".format(*head)]
    for made in balances:
        for row in made.rows:
            lost, (boot_s, edged_s) = f"{row.lost_s:.1f} s" if row.lost else "-", row.life.capture_s
            lines.append(
                f"{row.life.when or 'none: to the end':<44} {row.expected:>5} {len(row.lost):>4} {len(row.doubled):>5}"
                f" {lost:>16} {row.life.promised_s:>6.1f} s {boot_s:>13.1f} s {edged_s:>5.1f} s"
                + ("" if row.good else f"  BROKEN: {[word.text for word in row.lost]} {row.doubled}")
            )
        lines += [f"  {fault}" for fault in made.faults]
    return "\n".join(lines)
