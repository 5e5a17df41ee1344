"""The daemon's own log: one line per event; never transcripts, audio or keys.

The log goes to standard error, except for lines that the message catalogue explains. Under the journal those go there
by its native protocol, because a line of standard error can't carry the id by which `journalctl -x` finds the
explanation.

Rules: the first failure of an outage is a WARNING, its repeats are DEBUG, the recovery is INFO with its duration
(`Outage`). What can recur a thousand times is logged once (`OnceFilter`) or summed up (`RepeatSummary`). Our own bugs
are ERRORs with a traceback.
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
"""Priorities of the journal, as in sd-daemon(3)."""

COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
"""SGR codes: dim, yellow, red, bold red."""

MAX_ONCE_KEYS = 1000
"""Keys that one `OnceFilter` remembers: a server that sends a new kind of nonsense each time must not fill memory."""

MAX_REASONS = 10
"""Warnings in one outage: reasons that are worded anew each time must not fill the log."""

ERASE_LINE = "\r\x1b[K"
"""Control sequence that goes to the beginning of the line and erases it."""


def setup(level: Level, *, over_interims: bool = False) -> None:
    """Send the log to standard error, formatted for the journal if that is where it goes, and for people otherwise.

    `level` is for edged alone. Other libraries get WARNING and above: websockets at DEBUG logs every frame, so audio,
    transcripts and, in the handshake, the key. With `over_interims`, interim text may stand in a terminal's last line:
    an event is written over it, and the text comes back below with the next word.
    """
    in_journal = stderr_is_journal()
    handler = _JournalHandler(sys.stderr) if in_journal else _Handler(sys.stderr)
    if in_journal:
        handler.setFormatter(JournalFormatter())
    else:
        able = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        handler.setFormatter(
            PlainFormatter(colour=able and "NO_COLOR" not in os.environ, over_interims=able and over_interims)
        )
    handler.addFilter(is_own_or_warning)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("edged").setLevel(level.upper())


def stderr_is_journal() -> bool:
    """Return whether standard error is the journal, by device and inode of the stream, as sd-daemon does."""
    try:
        stat = os.fstat(2)
    except OSError:
        return False  # standard error is closed
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def is_own_or_warning(record: logging.LogRecord) -> bool:
    """Return whether a record may be logged: below WARNING only edged's own code, whatever a logger's level is.

    The file counts too, because websockets can be handed a logger of ours.
    """
    if record.levelno >= logging.WARNING:
        return True
    return record.name.split(".")[0] == "edged" and not {"websockets", "asyncio"} & set(record.pathname.split(os.sep))


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for mypy only, not at run time in 3.11
    """Handler that never disturbs the daemon: what can't be written is lost, as nobody is left to report it to."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore that standard error is full, closed or a broken pipe."""


class _JournalHandler(_Handler):
    """Handler for a standard error that is the journal: lines with a message id go by the native protocol."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record by the native protocol if it has a message id, or to standard error."""
        message_id = getattr(record, "message_id", None)
        if message_id is None or not send_with_message_id(_text(record), message_id, record.levelno):
            super().emit(record)


def send_with_message_id(text: str, message_id: MessageId, level: int) -> bool:
    """Send a line to journald with its message id; return False if that can't be done without waiting."""
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
    r"""Return the text on one line: control characters become escapes such as `\n` and `\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _text(record: logging.LogRecord) -> str:
    head = f"{record.name.removeprefix('edged.')}: " if record.name != "edged" else ""
    return head + one_line(record.getMessage())


class _Formatter(ABC, logging.Formatter):
    """Formatter that makes one line per event; a traceback follows on lines that can't be mistaken for events."""

    def format(self, record: logging.LogRecord) -> str:
        lines = [_text(record)]
        if record.exc_info and record.exc_info[1]:
            for part in traceback.format_exception(record.exc_info[1]):
                lines += ["| " + one_line(line) for line in part.rstrip("\n").split("\n")]
        return "\n".join(self.line(record, text) for text in lines)

    @abstractmethod
    def line(self, record: logging.LogRecord, text: str) -> str:
        """Format one line of a record."""


class JournalFormatter(_Formatter):
    """Formatter for the journal: `<4>stream: connection lost`; journald reads the priority and adds the time."""

    def line(self, record: logging.LogRecord, text: str) -> str:
        """Format one line of a record."""
        return f"<{PRIORITIES.get(record.levelno, 6)}>{text}"


class PlainFormatter(_Formatter):
    """Formatter for people, in local time: `2026-11-20 09:15:02.120 WARNING stream: connection lost`."""

    def __init__(self, *, colour: bool = False, over_interims: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._before = ERASE_LINE if over_interims else ""

    def format(self, record: logging.LogRecord) -> str:
        return self._before + super().format(record)

    def line(self, record: logging.LogRecord, text: str) -> str:
        """Format one line of a record."""
        when = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        text = f"{when} {record.levelname:7} {text}"
        code = COLOURS.get(record.levelno) if self._colour else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


class Outage:
    """Log lines of something that fails: a warning once, and a line with the duration when it works again.

    `subject` begins each line, such as `sink file`. With `each_reason`, every new reason within an outage is a warning
    too, as it may call for another remedy. Outages that follow each other closely are summed up (`RepeatSummary`),
    together with others that share the same `repeats`. Use it from one thread.
    """

    def __init__(
        self,
        log: logging.Logger,
        subject: str,
        clock: Callable[[], float] = boottime_s,
        message_id: MessageId | None = None,
        *,
        each_reason: bool = False,
        repeats: RepeatSummary | None = None,
    ) -> None:
        self._log = log
        self._subject = subject
        self._message_id = message_id
        self._clock = clock
        self._repeats = repeats or RepeatSummary(log, clock)
        self._each_reason = each_reason
        self._since_s: float | None = None
        self._reasons: set[str] = set()
        """Kinds of reasons that were logged in this outage."""

    @property
    def lasting(self) -> bool:
        """Whether the outage lasts: `failed` was called, and `over` was not since."""
        return self._since_s is not None

    def failed(self, reason: str, message_id: MessageId | None = None) -> None:
        """Log a failure. `message_id` is for a reason that the catalogue explains apart from the whole outage."""
        if self._since_s is None:
            self._since_s = self._clock()
            self._reasons.clear()
        elif not self._each_reason or kind_of(reason) in self._reasons or len(self._reasons) >= MAX_REASONS:
            self._log.debug("%s: still: %s", self._subject, reason)
            return
        self._reasons.add(kind_of(reason))
        self._repeats.log(logging.WARNING, f"{self._subject}: {reason}", message_id or self._message_id)

    def over(self, note: str = "") -> None:
        """Log the recovery, if there was an outage; `note` ends the line."""
        if self._since_s is None:
            return
        lasted_s, self._since_s = self._clock() - self._since_s, None
        text = f"{self._subject}: works again after {duration(lasted_s)}{note and f', {note}'}"
        self._repeats.log(logging.INFO, text)


class OnceFilter:
    """Filter that returns True the first time it gets a key: `if once(kind): log.info(...)`."""

    def __init__(self, max_keys: int = MAX_ONCE_KEYS) -> None:
        self._max_keys = max_keys
        self._seen: set[Hashable] = set()

    def __call__(self, key: Hashable) -> bool:
        if key in self._seen or len(self._seen) >= self._max_keys:
            return False
        self._seen.add(key)
        return True


def duration(seconds: float) -> str:
    """Format a length of time for people: `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 59.95:  # below, `.1f` rounds to 60.0
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
