"""Conditions that recur: each is told once, then summed up.

A device that flaps, an overrun a second, two errors in turn: the first of each kind is logged at once, the others at
DEBUG. After a minute one line says how often it came back, later one in ten minutes, then one an hour. A condition that
has stayed away for that long is news again.

Two lines are of one kind if they differ in numbers only. A summary repeats the latest line of its kind, and what came
after that is summed up with it, in order: so the last line of all tells how it stands.
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
"""How long repeats are collected: for the first summary, the second, and all later ones."""
MOST_KINDS: Final = 200
"""Kinds that one `Repeats` remembers; beyond that the oldest is forgotten, and news if it comes back."""

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
        """The period in which it is told once."""
        return now_s - self.since_s >= PERIODS_S[min(self.summaries, len(PERIODS_S) - 1)]

    def sum_up(self, now_s: float) -> str:
        """The summary; a new period begins."""
        text = f"{self.text} ({_times(self.count)} in the last {_span(now_s - self.since_s)})"
        self.since_s, self.count, self.summaries = now_s, 0, self.summaries + 1
        return text


class RepeatSummary:
    """Logs to `log`. Any thread may use it."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = boottime_s) -> None:
        self._log = log
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}
        """In the order of their latest lines."""
        self._own = threading.Lock()
        with _lock:
            _all.add(self)

    def log(self, level: int, text: str, message_id: MessageId | None = None) -> None:
        """Log the line, or count it if its kind was told within the current period."""
        self.tick()
        name, now_s = kind_of(text), self._clock()
        with self._own:
            kind = self._kinds.pop(name, None)
            if kind:
                kind.count += 1
                kind.level, kind.text, kind.message_id = level, text, message_id
            elif len(self._kinds) >= MOST_KINDS:
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
    """Log the summaries that are due, of every `Repeats` in use. Call it every few seconds."""
    with _lock:
        each = list(_all)
    for repeats in each:
        repeats.tick()


def kind_of(text: str) -> str:
    """The same for lines that differ in numbers only."""
    return _NUMBER.sub("#", text)


def _times(count: int) -> str:
    return "once more" if count == 1 else f"{count} times"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "minute" if minutes <= 1 else f"{minutes} minutes" if minutes < 60 else "hour"
