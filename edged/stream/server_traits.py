"""Learns how this server deviates from the protocol, over all connections. Pure.

The law:
- Finalize: a server that ends the connection on it gets none any more (`finalize = "auto"`). A close code of an
  application's own after one is proof. Any other end must come right after a Finalize: on two connections in a row if
  its code reports no error, else on three. After a day this is forgotten; then one connection is enough to learn it.
- The end of a stream: a server that ends streams without Metadata, after it gave finals, says in this way that they
  were complete. A close that reports an error never says so.
"""

from enum import Enum
from typing import Final, NamedTuple

from edged.config.settings import DeepgramSettings

BEHIND_S: Final = 2.0
"""A connection that ends within this after a Finalize may have ended because of it."""

FORGET_S: Final = 86_400.0
"""Time after which Finalize is tried again: servers are updated now and then, and a try costs a connection."""

ORDERLY: Final = frozenset({1000, 1005})
"""Close codes that report no error; 1005: a close frame without a code."""

WAYS_TO_END: Final = frozenset({1000, 1001, 1005, None})
"""Close codes that can be a server's usual end of a stream; None: it hangs up without a close frame."""


class CloseKind(Enum):
    """Meaning of the end of a session for audio that it did not acknowledge."""

    BROKEN = "more might have come"
    CLOSED = "asked to end the stream the server ended the connection: that may have been all"
    USUAL = "it did so as it does, having said all"
    FLUSHED = "in order: it has said all"


class ConnectionClose(NamedTuple):
    """A connection that the server, or the network, has ended."""

    code: int | None
    draining: bool
    """Whether it ended after our CloseStream."""
    finals: bool
    """Whether the server had sent finals on it."""
    finalized_s: float | None
    """Seconds since the first Finalize on it, if any: a server that does not support it ends the connection then."""


class ServerTraits:
    """Traits of one server, shared by all senders."""

    def __init__(self, settings: DeepgramSettings) -> None:
        self._finalize = settings.finalize
        self._suspicions = 0
        """Connections in a row that ended right after a Finalize."""
        self._no_finalize_until = float("-inf")
        self._ways: set[int | None] = set()

    def may_finalize(self, now: float) -> bool:
        """Return whether the server supports Finalize, as far as is known."""
        return self._finalize == "message" or (self._finalize == "auto" and now >= self._no_finalize_until)

    def ending(self, code: int | None, *, draining: bool, flushed: bool) -> CloseKind:
        """Return what an end means. `draining`: it came after CloseStream; `flushed`: Metadata came before it."""
        if flushed:
            return CloseKind.FLUSHED
        if not draining:
            return CloseKind.BROKEN
        if code not in self._ways:
            return CloseKind.CLOSED
        return CloseKind.FLUSHED if code in ORDERLY else CloseKind.USUAL

    def closed(self, closed: ConnectionClose, now: float) -> str | None:
        """Learn from the end of a connection. Return a text for the log when something was learned."""
        if closed.draining:
            if closed.finals and closed.code in WAYS_TO_END:
                self._ways.add(closed.code)
            return None
        if closed.finalized_s is None or self._finalize != "auto":
            return None
        own = closed.code is not None and 4000 <= closed.code < 5000
        self._suspicions = self._suspicions + 1 if own or closed.finalized_s <= BEHIND_S else 0
        enough = 1 if own else 2 if closed.code in ORDERLY else 3
        if self._suspicions < enough or not self.may_finalize(now):
            return None
        self._no_finalize_until = now + FORGET_S
        self._suspicions = 0 if own else enough - 1  # what was learned once is learned again at once
        how = "without a close" if closed.code is None else f"with code {closed.code}"
        return f'the server ends the connection {how} on Finalize: none is sent for a day, as with finalize = "off"'
