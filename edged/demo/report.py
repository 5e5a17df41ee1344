"""The table at the end of the demo. Pure."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from edged.daemon.summary import Summary
from edged.demo.word_errors import bare, word_errors

WIDEST = 100
"""Columns: beyond that a line is hard to read."""


class ReportLine(NamedTuple):
    """A sentence, and what was made of it."""

    said: str
    edged: tuple[str, ...]
    """Words of the transcript through edged."""
    whole: tuple[str, ...] | None
    """Words that the same recogniser finds in the whole recording; None with a remote one."""


def account(summary: Summary) -> list[str]:
    """Return the run's totals as lines."""
    left = [
        ("audio captured", f"{summary.captured_s:.1f} s"),
        ("audio sent", f"{summary.sent_s:.1f} s"),
        ("share saved", f"{summary.saved:.0%}"),
    ]
    right = [
        ("KeepAlives", summary.keepalives),
        ("reconnects", summary.reconnects),
        ("words", summary.words),
    ]
    return [f"  {a:<16}{b:>8}      {c:<12}{d:>4}" for (a, b), (c, d) in zip(left, right, strict=True)]


def comparison(lines: Sequence[ReportLine], columns: int) -> list[str]:
    """Each sentence beside what was recognised, with the word error rates; then all together."""
    width = min(columns, WIDEST)
    out = [f"{'word error rate':>{width}}"]
    for number, line in enumerate(lines, 1):
        said = bare(line.said)
        out += _row(f"{number}  said", line.said, "", width)
        out += _row("   edged", " ".join(line.edged) or "(nothing)", _rate([said], [line.edged]), width)
        if line.whole is not None:
            out += _row("   without", " ".join(line.whole) or "(nothing)", _rate([said], [line.whole]), width)
    all_said = [bare(line.said) for line in lines]
    out += _row("all  edged", "", _rate(all_said, [line.edged for line in lines]), width)
    whole = [line.whole for line in lines if line.whole is not None]
    if whole:
        out += _row("     without", "", _rate(all_said, whole), width)
    return out


def _rate(said: Sequence[tuple[str, ...]], heard: Sequence[tuple[str, ...]]) -> str:
    wrong = sum(word_errors(a, b) for a, b in zip(said, heard, strict=True))
    words = sum(map(len, said))
    return f"{wrong} of {words} = {wrong / words:4.0%}"


def _row(label: str, text: str, rate: str, width: int) -> list[str]:
    """A label, text over as many lines as it takes, and the rate at the right end of the last."""
    parts = textwrap.wrap(text, max(20, width - 13 - 18)) or [""]
    rows = [f"{label if i == 0 else '':<13}{part}" for i, part in enumerate(parts)]
    rows[-1] = f"{rows[-1]:<{width - len(rate)}}{rate}".rstrip()
    return rows
