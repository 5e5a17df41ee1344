"""A lenient parser of HTTP responses: the status of any refusal by a server or proxy must reach the user. Pure.

The parser accepts HTTP/1.0, a missing reason phrase, bare line feeds, malformed header lines, and a body that ends
early or never.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RESPONSE_BYTES: Final = 64 * 1024
"""Limit of head and body together. Login pages may be longer, but nothing in them is of use."""

_STATUS_LINE: Final = re.compile(rb"HTTP/\d+(?:\.\d+)? +(\d{3})(?: .*)?")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})[^\r\n]*\r?\n")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
SWITCHING_PROTOCOLS: Final = 101
UPGRADE_HEADERS: Final = (
    *("upgrade", "connection"),
    *("sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"),
)
"""Headers that the client checks in the opening handshake (RFC 6455, section 4.1)."""


class NotHttpError(Exception):
    """The peer does not speak HTTP."""


class HttpResponse:
    """One HTTP response, parsed as it arrives. `feed` takes data, `feed_eof` the end; `status` is set with the head."""

    def __init__(self) -> None:
        self._buffer = b""
        self.ended = False
        """Whether the connection has ended, so that no more data arrives."""
        self.status = 0
        """HTTP status; 0 until the head is complete."""
        self.headers: dict[str, str] = {}
        """Headers by their names in lower case."""

    def feed(self, data: bytes) -> None:
        """Parse more data. Raises NotHttpError if it is not HTTP."""
        self._buffer += data
        while not self.status and (head := _HEAD_END.search(self._buffer)):
            self._read_head(self._buffer[: head.start()])
            self._buffer = self._buffer[head.end() :]
        if not self.status and not _may_become_head(self._buffer):
            raise NotHttpError

    def feed_eof(self) -> None:
        """Note that the connection has ended."""
        self.ended = True

    @property
    def complete(self) -> bool:
        """Whether the whole body has arrived, or as much of it as is read."""
        return self.ended or len(self._buffer) >= MAX_RESPONSE_BYTES or self._body()[1]

    @property
    def body(self) -> bytes:
        """The part of the body that has arrived."""
        return self._body()[0]

    @property
    def upgrade_bytes(self) -> bytes:
        """A 101 response rewritten for a strict parser, followed by the data after its head."""
        kept = [f"{name}: {self.headers[name]}\r\n" for name in UPGRADE_HEADERS if name in self.headers]
        return f"HTTP/1.1 {self.status} Switching Protocols\r\n{''.join(kept)}\r\n".encode("latin-1") + self._buffer

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.splitlines() or [b""]
        match = _STATUS_LINE.fullmatch(first)
        if not match:
            raise NotHttpError
        status = int(match[1])
        if 100 <= status < 200 and status != SWITCHING_PROTOCOLS:
            return  # 100 Continue, 103 Early Hints: the final response follows
        self.status = status
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                values = filter(None, (self.headers.get(name.strip().lower()), value.strip()))
                self.headers[name.strip().lower()] = ", ".join(values)

    def _body(self) -> tuple[bytes, bool]:
        """Return the part of the body that has arrived, and whether that is all of it."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return _dechunk(self._buffer)
        if length := _LENGTH.fullmatch(self.headers.get("content-length", "")):
            return self._buffer[: int(length[0])], len(self._buffer) >= int(length[0])
        return self._buffer, self.ended


def _may_become_head(buffer: bytes) -> bool:
    """Tell whether the data may be the beginning of a response's head."""
    begins = buffer[:5] == b"HTTP/"[: len(buffer)]
    return begins and len(buffer) < MAX_RESPONSE_BYTES


def _dechunk(buffer: bytes) -> tuple[bytes, bool]:
    """Return the content of the chunks that have arrived, and whether the last one has."""
    body, at = b"", 0
    while match := _CHUNK.match(buffer, at):
        size = int(match[1], 16)
        if size == 0:
            return body, True
        body += buffer[match.end() : match.end() + size]
        after = match.end() + size
        at = after + (2 if buffer[after : after + 2] == b"\r\n" else 1)
    return body, False


MAX_TRUSTED_WAIT_S: Final = 3600.0
"""Longest wait computed with this machine's clock. A longer one more likely means that the clock is not set yet."""


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date (RFC 9110, section 10.2.3); None without.

    A date is compared with the server's own `Date` if it sends one, otherwise with `now_s`, this machine's Unix time.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    wanted_s, sent_s = _unix_s(value), _unix_s(headers.get("date", ""))
    if wanted_s is None or (sent_s is None and wanted_s > now_s + MAX_TRUSTED_WAIT_S):
        return None
    return max(0.0, wanted_s - (now_s if sent_s is None else sent_s))


def _unix_s(date: str) -> float | None:
    """Convert a date in any of HTTP's three formats, all in UTC, to Unix time; None if it is invalid."""
    try:
        return parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
