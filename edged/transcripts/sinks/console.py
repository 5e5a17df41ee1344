"""The `console` sink: transcripts for people.

On a terminal what somebody is just saying stands in the last line and is overwritten as it grows; each record then
becomes a line above it. Anywhere else (a pipe, a file, TERM=dumb) there are plain lines of records only.

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
from edged.service.log import ERASE, duration
from edged.service.standard_streams import STDOUT, reader_is_gone, write_all
from edged.transcripts.sinks.base import Sink, SinkProperties

LATE_S = 10.0
"""A record that comes this long after the speech is marked: the usual delay is below 2 s."""

DEFAULT_COLUMNS = 80
"""Of a terminal that doesn't know its width."""

GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}
"""A pipe without a reader, a terminal that was closed, a closed descriptor, a device that was taken away."""

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
        self._interim = False
        """An interim stands in the last line."""

    def deliver(self, records: Sequence[Record]) -> None:
        """A line for each. Raises SinkError, with how many were written before."""
        for done, record in enumerate(records):
            try:
                self._write(self._erase() + self._line(record) + "\n")
            except OSError as error:
                raise _explained(error, delivered=done) from error
            self._interim = False

    def show_interim(self, text: str) -> None:
        """Replace what is being said; empty erases it. Does nothing where lines can't be overwritten. Raises SinkError.

        It is one line wide at most; of a longer one the end is shown, as that is what was just said.
        """
        if not self._live:
            return
        shown = fit(printable(text), self._columns() - 1)  # the last column stays free: some terminals wrap there
        try:
            self._write(self._erase() + self._dim(shown))
        except OSError as error:
            raise _explained(error) from error
        self._interim = bool(shown)

    def reopen(self) -> None:
        """Only look whether somebody reads it. Raises SinkGoneError."""
        if reader_is_gone(self._fd):
            raise SinkGoneError("nobody reads the console")

    def close(self) -> None:
        """Leave a clean last line."""
        if self._interim:
            self.show_interim("")

    def _line(self, record: Record) -> str:
        when = datetime.fromisoformat(record.start).astimezone()
        marks = [
            "replayed" if record.replayed else "",
            f"{duration(record.delayed_s)} late" if record.delayed_s >= LATE_S else "",
        ]
        told = ", ".join(filter(None, marks))
        line = f"{self._dim(f'{when:%H:%M:%S}')}  {printable(record.text)}"
        return f"{line}  {self._dim(f'[{told}]')}" if told else line

    def _erase(self) -> str:
        return ERASE if self._interim else ""

    def _dim(self, text: str) -> str:
        return f"{DIM}{text}{NORMAL}" if self._colour and text else text

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._fd).columns or DEFAULT_COLUMNS
        except OSError:
            return DEFAULT_COLUMNS

    def _write(self, text: str) -> None:
        write_all(self._fd, text.encode(self._encoding, "replace"))


def _explained(error: OSError, delivered: int = 0) -> SinkError:
    kind = SinkGoneError if error.errno in GONE else SinkError
    return kind(f"can't write to the console: {with_cure(error)}", delivered=delivered)


def printable(text: str) -> str:
    """What may go to a terminal: no control characters, no line breaks, nothing that turns the rest around."""
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
    """Columns that a terminal takes for it: wide characters two, combining ones none."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if character in "\ufe0f\xad":
        return 1  # the first asks for the colourful, wide form of the character before it; the other is a soft hyphen
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """The end of the text, after an ellipsis if it was cut, in at most `columns`."""
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
        begin += 1  # a combining character without what it belongs to
    return "…" + text[begin:]
