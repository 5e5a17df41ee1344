"""The `journal` sink: one entry a record, with native fields.

It speaks journald's native protocol itself instead of calling systemd-python's `sendv`, which (version 235) answers
"sent" when there is no journal at all, and holds the interpreter's lock while it sends: with journald stopped for 4 s
the event loop stood still for 4 s.

journald accepts before it stores: it syncs every 5 minutes, may be volatile, and may drop at its rate limit. A record
delivered here is in journald's hands, not yet on disk.
"""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from edged.model.cures import with_cure
from edged.model.errors import SinkError
from edged.model.record import Record, plausible
from edged.service.journal import SOCKET_PATH, datagram, send

MESSAGE_ID = "7c5fa3b1d86e4e0f9a40c2d1f6b8e913"
"""Of every transcript, and of nothing else: `journalctl MESSAGE_ID=...` shows them all. Never changes."""

IDENTIFIER = "edged-transcripts"
"""By which `journalctl -t` shows transcripts, and `-t edged` the log without them."""

TIMEOUT_S = 10.0
"""For one entry. journald's queue is full only while it does not run or its disk stalls."""

INFO = 6
"""syslog's priority."""

ADVICE = {
    errno.ENOENT: "there is no journal on this machine: start systemd-journald, or choose other transcripts.sinks",
    errno.ECONNREFUSED: "journald does not run: start systemd-journald",
    errno.EACCES: "not permitted to write to the journal",
}

_json = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


class JournalSink:
    """Writes records to journald. It holds nothing open: a restarted journald is found by itself."""

    def __init__(self, socket_path: str = SOCKET_PATH, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def deliver(self, records: Sequence[Record]) -> None:
        """Hand them over, in order. Raises SinkError, with how many journald took before."""
        done = 0
        try:
            with self._connect() as connection:
                for record in records:
                    send(connection, entry(record))
                    done += 1
        except OSError as error:
            raise SinkError(self._explain(error), delivered=done) from error

    def reopen(self) -> None:
        """Only look whether journald is there. Raises SinkError."""
        try:
            self._connect().close()
        except OSError as error:
            raise SinkError(self._explain(error)) from error

    def close(self) -> None:
        """Nothing is open."""

    def _connect(self) -> socket.socket:
        """Connected, so that waiting for room waits for journald's queue and not for our own buffer."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            connection.settimeout(self._timeout_s)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection

    def _explain(self, error: OSError) -> str:
        if isinstance(error, TimeoutError):
            return f"journald has taken nothing for {self._timeout_s:g} s"
        return ADVICE.get(error.errno or 0) or f"journald: {with_cure(error)}"


def entry(record: Record) -> bytes:
    """The record in journald's native format."""
    return datagram(fields(record))


def fields(record: Record) -> Iterator[tuple[str, str]]:
    """Name and value of each field. Numbers and `EDGED_WORDS` are written as in the file sink's JSON."""
    yield "MESSAGE", record.text
    yield "MESSAGE_ID", MESSAGE_ID
    yield "PRIORITY", str(INFO)
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name == "text" or value is None:
            continue
        text = value if isinstance(value, str) else _json.encode(value).decode()
        yield _name(name), text


def record_of(entry: Mapping[str, object]) -> Record:
    """The record that an entry (by systemd's `Reader`) was made of.

    Raises KeyError or one of `UNREADABLE` for what is none, or of another version.
    """
    values: dict[str, object] = {}
    for each in msgspec.structs.fields(Record):
        value = entry.get(_name(each.name)) if each.name == "language" else entry[_name(each.name)]
        is_text = value is None or each.type in (str, str | None)
        values[each.encode_name] = value if is_text else _decode(str(value))
    return plausible(msgspec.convert(values, Record))


def _name(field: str) -> str:
    return "MESSAGE" if field == "text" else f"EDGED_{field.strip('_').upper()}"
