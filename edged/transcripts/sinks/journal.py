"""The `journal` sink: one journal entry per record, with native fields.

The sink speaks journald's native protocol itself instead of calling systemd-python's `sendv`. Version 235 of that
reports success when there is no journal at all, and holds the interpreter's lock while it sends: with journald stopped
for 4 s the event loop stood still for 4 s.

journald accepts records before it stores them: it syncs every 5 minutes, may be volatile, and may drop messages at its
rate limit. A delivered record is in journald's hands, not yet on disk.
"""

import errno
import socket
from collections.abc import Mapping, Sequence
from typing import ClassVar

from edged.config.settings import TranscriptsSettings
from edged.model.cures import with_cure
from edged.model.errors import SinkError
from edged.model.record import Record
from edged.service.journal import SOCKET_PATH, datagram, send
from edged.transcripts.journal_checks import journal_cautions
from edged.transcripts.journal_entry import entry_fields
from edged.transcripts.journal_readback import find_in_journal
from edged.transcripts.sinks.base import Readback, Sink, SinkFindings, SinkProperties

TIMEOUT_S = 10.0
"""Time to write one entry, in seconds. journald's queue is full only while it does not run or its disk stalls."""

ADVICE = {
    errno.ENOENT: "there is no journal on this machine: start systemd-journald, or choose other transcripts.sinks",
    errno.ECONNREFUSED: "journald does not run: start systemd-journald",
    errno.EACCES: "not permitted to write to the journal",
}


class JournalSink(Sink):
    """Writes records to journald. The sink keeps nothing open, so that it needs no reconnect when journald restarts."""

    PROPERTIES: ClassVar = SinkProperties(accepts_before_storing=True)

    def __init__(self, socket_path: str = SOCKET_PATH, timeout_s: float = TIMEOUT_S) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    @classmethod
    def readback(cls, settings: TranscriptsSettings) -> Readback:
        """Return the look-up in the system's journal."""
        return find_in_journal

    @classmethod
    def check(cls, settings: TranscriptsSettings, environ: Mapping[str, str]) -> SinkFindings:
        """Report what journald's settings and permissions take from the sink's promises."""
        return SinkFindings([], list(journal_cautions(namespace=environ.get("LOG_NAMESPACE"))))

    def deliver(self, records: Sequence[Record]) -> None:
        """Send the records to journald in order. Raises SinkError, with the number that journald accepted."""
        done = 0
        try:
            with self._connect() as connection:
                for record in records:
                    send(connection, datagram(entry_fields(record)))
                    done += 1
        except OSError as error:
            raise SinkError(self._explain(error), delivered=done) from error

    def reopen(self) -> None:
        """Check that journald accepts connections. Raises SinkError."""
        try:
            self._connect().close()
        except OSError as error:
            raise SinkError(self._explain(error)) from error

    def close(self) -> None:
        """Do nothing: the sink keeps nothing open."""

    def _connect(self) -> socket.socket:
        """Return a connected socket: it waits for room in journald's queue, not in this process's own buffer."""
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
