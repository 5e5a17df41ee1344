"""The daemon's own log: one line an event; never transcripts, audio or keys.

It goes to standard error, but for what the message catalogue explains: under the journal those lines go there by its
native protocol, as a line of standard error can't carry the id by which `journalctl -x` finds the explanation.

Manners: the first failure of an outage is a WARNING, its repeats are DEBUG, the recovery is INFO with how long it
lasted (`Outage`); what can come back a thousand times is said once (`Once`), or summed up each minute (`Repeats`); our
own bugs are ERRORs with a traceback.
"""

import logging
import os
import socket
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Literal

from edged.model.message_ids import MessageId
from edged.service.clock import boottime_s
from edged.service.journal import SOCKET_PATH, datagram, send
from edged.service.repeat_summary import RepeatSummary, kind_of

Level = Literal["debug", "info", "warning", "error"]

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""The journal's, as sd-daemon(3) has them."""

COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
"""SGR codes: dim, yellow, red, bold red."""

ONCE_MOST = 1000
"""Keys that one `Once` remembers: a server that sends a new kind of nonsense each time must not fill the memory."""


MOST_REASONS = 10
"""Warnings in one outage: reasons that are worded anew each time must not fill the log."""


ERASE = "\r\x1b[K"
"""To the line's beginning, and erase it."""


def setup(level: Level, *, over_interims: bool = False) -> None:
    """Send the log to standard error, for the journal if that is what it is connected to, for people otherwise.

    `level` is for edged alone. Other libraries get WARNING and above: websockets at DEBUG logs every frame, so audio,
    transcripts and, in the handshake, the key. `over_interims`: what is being said may stand in a terminal's last line;
    an event is written over it, and it comes back below with the next word.
    """
    in_journal = to_journal()
    handler = _Journal(sys.stderr) if in_journal else _Handler(sys.stderr)
    if in_journal:
        handler.setFormatter(JournalFormatter())
    else:
        able = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        handler.setFormatter(
            PlainFormatter(colour=able and "NO_COLOR" not in os.environ, over_interims=able and over_interims)
        )
    handler.addFilter(not_chatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("edged").setLevel(level.upper())


def to_journal() -> bool:
    """Whether standard error is the journal: sd-daemon's way of knowing, device and inode of the stream."""
    try:
        stat = os.fstat(2)
    except OSError:
        return False  # standard error is closed
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def not_chatter(record: logging.LogRecord) -> bool:
    """The second lock on the same door: below WARNING only edged's own code is heard, whatever a logger's level is.

    It goes by the file too, as websockets can be handed a logger of ours.
    """
    if record.levelno >= logging.WARNING:
        return True
    return record.name.split(".")[0] == "edged" and not {"websockets", "asyncio"} & set(record.pathname.split(os.sep))


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for mypy only, not at run time in 3.11
    """Logging never disturbs the daemon: what can't be written is lost, and there is nobody left to tell."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Standard error is full, closed or a broken pipe."""


class _Journal(_Handler):
    """Standard error that is the journal, with another way into it for lines that have a trouble's id."""

    def emit(self, record: logging.LogRecord) -> None:
        """By the other way if that can be done at once."""
        message_id = getattr(record, "message_id", None)
        if message_id is None or not explained(_text(record), message_id, record.levelno):
            super().emit(record)


def explained(text: str, message_id: MessageId, level: int) -> bool:
    """Hand a line to journald with the id by which it is explained; False if that can't be done without waiting."""
    priority = str(PRIORITIES.get(level, 6))
    fields = {"MESSAGE": text, "MESSAGE_ID": message_id, "PRIORITY": priority, "SYSLOG_IDENTIFIER": "edged"}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.connect(SOCKET_PATH)
            send(connection, datagram(fields.items()))
    except OSError:
        return False
    return True


def one_line(text: str) -> str:
    r"""The text on one line: newlines, escapes and other control characters are written as `\n`, `\x1b`, ..."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _text(record: logging.LogRecord) -> str:
    head = f"{record.name.removeprefix('edged.')}: " if record.name != "edged" else ""
    return head + one_line(record.getMessage())


class _Formatter(ABC, logging.Formatter):
    """Each event is one line; a traceback follows on lines of its own that can't be mistaken for events."""

    def format(self, record: logging.LogRecord) -> str:
        lines = [_text(record)]
        if record.exc_info and record.exc_info[1]:
            for part in traceback.format_exception(record.exc_info[1]):
                lines += ["| " + one_line(line) for line in part.rstrip("\n").split("\n")]
        return "\n".join(self.line(record, text) for text in lines)

    @abstractmethod
    def line(self, record: logging.LogRecord, text: str) -> str:
        """One line of it."""


class JournalFormatter(_Formatter):
    """`<4>stream: connection lost`: journald takes the priority from the prefix, and the time from itself."""

    def line(self, record: logging.LogRecord, text: str) -> str:
        """One line of it."""
        return f"<{PRIORITIES.get(record.levelno, 6)}>{text}"


class PlainFormatter(_Formatter):
    """`2026-11-20 09:15:02.120 WARNING stream: connection lost`, in local time."""

    def __init__(self, *, colour: bool = False, over_interims: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._before = ERASE if over_interims else ""

    def format(self, record: logging.LogRecord) -> str:
        return self._before + super().format(record)

    def line(self, record: logging.LogRecord, text: str) -> str:
        """One line of it."""
        when = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        text = f"{when} {record.levelname:7} {text}"
        code = COLOURS.get(record.levelno) if self._colour else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


class Outage:
    """Says that something fails: loudly once, and once more when it is over. Outages that follow each other closely are
    summed up, see `Repeats`.

    `what` begins each line, e.g. `sink file`. With `each_reason`, every new reason within an outage is a warning too:
    it may ask for something else to be done. `repeats`: to be summed up together with others. Use it from one thread.
    """

    def __init__(
        self,
        log: logging.Logger,
        what: str,
        clock: Callable[[], float] = boottime_s,
        message_id: MessageId | None = None,
        *,
        each_reason: bool = False,
        repeats: RepeatSummary | None = None,
    ) -> None:
        self._log = log
        self._what = what
        self._message_id = message_id
        self._clock = clock
        self._repeats = repeats or RepeatSummary(log, clock)
        self._each_reason = each_reason
        self._since_s: float | None = None
        self._reasons: set[str] = set()
        """Told in this outage."""

    @property
    def lasting(self) -> bool:
        """From the first `failed` to `over`."""
        return self._since_s is not None

    def failed(self, why: str, message_id: MessageId | None = None) -> None:
        """It failed (again). `trouble`: what the journal knows it by, if it is not the one of the whole outage."""
        if self._since_s is None:
            self._since_s = self._clock()
            self._reasons.clear()
        elif not self._each_reason or kind_of(why) in self._reasons or len(self._reasons) >= MOST_REASONS:
            self._log.debug("%s: still: %s", self._what, why)
            return
        self._reasons.add(kind_of(why))
        self._repeats.log(logging.WARNING, f"{self._what}: {why}", message_id or self._message_id)

    def over(self, note: str = "") -> None:
        """It works; says nothing if it did before. `note` ends the line."""
        if self._since_s is None:
            return
        lasted_s, self._since_s = self._clock() - self._since_s, None
        text = f"{self._what}: works again after {duration(lasted_s)}{note and f', {note}'}"
        self._repeats.log(logging.INFO, text)


class OnceFilter:
    """Answers True the first time it is asked about a key: `if once(kind): log.info(...)`."""

    def __init__(self, most: int = ONCE_MOST) -> None:
        self._most = most
        self._seen: set[Hashable] = set()

    def __call__(self, key: Hashable) -> bool:
        if key in self._seen or len(self._seen) >= self._most:
            return False
        self._seen.add(key)
        return True


def duration(seconds: float) -> str:
    """For people: `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 59.95:  # below, `.1f` rounds to 60.0
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
