"""Native protocol of journald: a datagram of fields, or, when that is too large, a sealed memory file in an empty one.

The protocol is stable and documented (systemd's JOURNAL_NATIVE_PROTOCOL).
"""

import errno
import fcntl
import os
import socket
import struct
from array import array
from collections.abc import Iterable

SOCKET_PATH = "/run/systemd/journal/socket"

TOO_LARGE = {errno.EMSGSIZE, errno.ENOBUFS}
"""Errors for a datagram over the socket's buffer (212,992 bytes by default), which holds some 2,000 words."""


def datagram(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the datagram of an entry with these fields."""
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: str) -> bytes:
    """Return `NAME=value`, or a form with the length (64 bits, little-endian) if there is a newline in the value."""
    data = value.encode()
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def send(connection: socket.socket, data: bytes) -> None:
    """Send one entry, whatever its size. Raises OSError."""
    try:
        connection.send(data)
    except OSError as error:
        if error.errno not in TOO_LARGE:
            raise
        with open(os.memfd_create("edged-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", buffering=0) as file:
            file.write(data)
            # journald maps the file, so it requires seals that keep anyone from changing it
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
            passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file.fileno()]).tobytes())
            connection.sendmsg([b""], [passed])
