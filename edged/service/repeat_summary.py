"""Summaries of conditions that recur: each is logged once, then summed up.

A device that flaps, an overrun a second, two errors in turn: the first of each kind is logged at once, the others at
DEBUG. After a minute one line says how often each came back, later one in ten minutes, then one an hour. A condition
that has stayed away for that long is news again.

Two lines are of one kind if they differ in numbers only. A summary repeats the latest line of its kind. Kinds that
followed are summed up with it, in order, so the last line of all shows the present state.
"""

import logging
import re
import threading
import weakref
from collections.abc import Callable
from typing import Final

from edged.model.message_ids import MessageId
from edged.service.clock import boottime_s

PERIODS_S: Final = (60.0, 600.0, 3600.0)
"""Periods in which repeats are collected: for the first summary, the second, and all later ones."""

MAX_KINDS: Final = 200
"""Kinds that one `RepeatSummary` remembers; beyond that it forgets the oldest, which is news if it comes back."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_all: weakref.WeakSet["RepeatSummary"] = weakref.WeakSet()
_lock = threading.Lock()


class _Kind:
    """The lines of one kind since its first line or its last summary."""

    def __init__(self, now_s: float) -> None:
        self.since_s = now_s
        self.count = self.summaries = 0
        self.level = logging.INFO
        self.text = ""
        self.message_id: MessageId | None = None

    def is_over(self, now_s: float) -> bool:
        """Return whether the period in which the kind is logged once is over."""
        return now_s - self.since_s >= PERIODS_S[min(self.summaries, len(PERIODS_S) - 1)]

    def sum_up(self, now_s: float) -> str:
        """Return the summary, and begin a new period."""
        text = f"{self.text} ({_times(self.count)} in the last {_span(now_s - self.since_s)})"
        self.since_s, self.count, self.summaries = now_s, 0, self.summaries + 1
        return text


class RepeatSummary:
    """Logger of recurring conditions, each summed up. Any thread may use it."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = boottime_s) -> None:
        self._log = log
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}
        """Kinds by name, in the order of their latest lines."""
        self._own = threading.Lock()
        with _lock:
            _all.add(self)

    def log(self, level: int, text: str, message_id: MessageId | None = None) -> None:
        """Log the line, or count it if its kind was logged within the current period."""
        self.tick()
        name, now_s = kind_of(text), self._clock()
        with self._own:
            kind = self._kinds.pop(name, None)
            if kind:
                kind.count += 1
                kind.level, kind.text, kind.message_id = level, text, message_id
            elif len(self._kinds) >= MAX_KINDS:
                del self._kinds[next(iter(self._kinds))]
            self._kinds[name] = kind or _Kind(now_s)
        if kind:
            self._log.debug("again: %s", text)
        else:
            self._log.log(level, "%s", text, extra={"message_id": message_id})

    def tick(self) -> None:
        """Log the summaries that are due."""
        now_s = self._clock()
        with self._own:
            due = list[_Kind]()
            for name, kind in list(self._kinds.items()):
                if kind.count and (due or kind.is_over(now_s)):
                    due.append(kind)
                elif kind.is_over(now_s):
                    del self._kinds[name]
            lines = [(kind.level, kind.sum_up(now_s), kind.message_id) for kind in due]
        for level, text, message_id in lines:
            self._log.log(level, "%s", text, extra={"message_id": message_id})


def tick() -> None:
    """Log the summaries that are due, of every `RepeatSummary` in use. Call it every few seconds."""
    with _lock:
        summaries = list(_all)
    for summary in summaries:
        summary.tick()


def kind_of(text: str) -> str:
    """Return the kind of a line: the same for lines that differ in numbers only."""
    return _NUMBER.sub("#", text)


def _times(count: int) -> str:
    return "once more" if count == 1 else f"{count} times"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "minute" if minutes <= 1 else f"{minutes} minutes" if minutes < 60 else "hour"
