"""The `console` sink: transcripts for people.

On a terminal the last line shows the words that are being spoken, and is overwritten as they grow; each record becomes
a line above it. Anywhere else (a pipe, a file, TERM=dumb) the sink writes plain lines of records only.

    09:15:02  Turn the lights off.
    09:15:40  And the heating.  [replayed, 2 min 5 s late]
"""

import errno
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from edged.model.cures import with_cure
from edged.model.errors import SinkError, SinkGoneError
from edged.model.record import Record
from edged.service.log import ERASE_LINE, duration
from edged.service.standard_streams import STDOUT, reader_is_gone, write_all
from edged.transcripts.sinks.base import Sink, SinkProperties

LATE_S = 10.0
"""Delay after the speech, in seconds, from which a record is marked as late: the usual delay is below 2 s."""

DEFAULT_COLUMNS = 80
"""Width assumed for a terminal that does not report one."""

GONE_ERRORS = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}
"""Errors of a destination that is gone: a pipe without a reader, a closed terminal or descriptor, a removed device."""

DIM, NORMAL = "\x1b[2m", "\x1b[0m"


class ConsoleSink(Sink):
    """Writes records to a terminal or pipe. Writing blocks while the terminal is stopped (Ctrl-S)."""

    PROPERTIES: ClassVar = SinkProperties(required=False, shows_interims=True, writes_to_stdout=True)

    def __init__(
        self, fd: int = STDOUT, encoding: str | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._fd = fd
        self._encoding = encoding or sys.stdout.encoding or "utf-8"
        self._live = os.isatty(fd) and environment.get("TERM") != "dumb"
        self._colour = self._live and not environment.get("NO_COLOR")
        self._shows_interim = False
        """Whether the last line shows an interim."""

    def deliver(self, records: Sequence[Record]) -> None:
        """Write one line per record. Raises SinkError, with the number of records that were written."""
        for done, record in enumerate(records):
            try:
                self._write(self._erase() + self._line(record) + "\n")
            except OSError as error:
                raise _sink_error(error, delivered=done) from error
            self._shows_interim = False

    def show_interim(self, text: str) -> None:
        """Show an interim in place of the previous one; an empty text erases it. Raises SinkError.

        Does nothing where lines can't be overwritten. A text wider than the line is cut to its end, the latest words.
        """
        if not self._live:
            return
        shown = fit(printable(text), self._columns() - 1)  # the last column stays free: some terminals wrap there
        try:
            self._write(self._erase() + self._dim(shown))
        except OSError as error:
            raise _sink_error(error) from error
        self._shows_interim = bool(shown)

    def reopen(self) -> None:
        """Check that the output still has a reader. Raises SinkGoneError."""
        if reader_is_gone(self._fd):
            raise SinkGoneError("nobody reads the console")

    def close(self) -> None:
        """Erase the interim, if there is one."""
        if self._shows_interim:
            self.show_interim("")

    def _line(self, record: Record) -> str:
        when = datetime.fromisoformat(record.start).astimezone()
        marks = [
            "replayed" if record.replayed else "",
            f"{duration(record.delayed_s)} late" if record.delayed_s >= LATE_S else "",
        ]
        notes = ", ".join(filter(None, marks))
        line = f"{self._dim(f'{when:%H:%M:%S}')}  {printable(record.text)}"
        return f"{line}  {self._dim(f'[{notes}]')}" if notes else line

    def _erase(self) -> str:
        return ERASE_LINE if self._shows_interim else ""

    def _dim(self, text: str) -> str:
        return f"{DIM}{text}{NORMAL}" if self._colour and text else text

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._fd).columns or DEFAULT_COLUMNS
        except OSError:
            return DEFAULT_COLUMNS

    def _write(self, text: str) -> None:
        write_all(self._fd, text.encode(self._encoding, "replace"))


def _sink_error(error: OSError, delivered: int = 0) -> SinkError:
    kind = SinkGoneError if error.errno in GONE_ERRORS else SinkError
    return kind(f"can't write to the console: {with_cure(error)}", delivered=delivered)


def printable(text: str) -> str:
    """Return text that is safe for a terminal: without control characters, line breaks and changes of direction."""
    return "".join(map(_printable, text)).strip()


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Zl", "Zp") or character in "\t\n\r":
        return " "
    if category in ("Cc", "Cs"):
        return "\ufffd"
    if category == "Cf" and unicodedata.bidirectional(character) != "BN":
        return ""  # embeddings, overrides, isolates and marks; joiners, which scripts and emoji need, are BN
    return character


def width(text: str) -> int:
    """Return how many columns a terminal uses for a text: two for wide characters, none for combining ones."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if character in "\ufe0f\xad":
        return 1  # the first asks for the colourful, wide form of the character before it; the other is a soft hyphen
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """Return the end of a text in at most `columns` columns, after an ellipsis if the text was cut."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    room = columns - 1
    begin = len(text)
    while begin > 0 and (taken := _columns(text[begin - 1])) <= room:
        room -= taken
        begin -= 1
    while begin < len(text) and _columns(text[begin]) == 0:
        begin += 1  # a combining character without its base character
    return "…" + text[begin:]
