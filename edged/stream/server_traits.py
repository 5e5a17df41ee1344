"""What the server has shown of its ways, on whatever connection. Pure.

The law:
- Finalize: a server that ends the connection on it is asked no more (`finalize = "auto"`). An application's own close
  code after one is proof; any other end must come right behind a Finalize, on two connections in a row if it tells of
  no error, else on three. It is forgotten after a day: one connection tells again.
- The end of a stream: how it ends those on which it gave finals, if not by Metadata, is taken for its way to say that
  this was all. A close that tells of an error never is.
"""

from enum import Enum
from typing import Final, NamedTuple

from edged.config.settings import DeepgramSettings

BEHIND_S: Final = 2.0
"""A connection that ends so soon after a Finalize may have ended because of it."""

FORGET_S: Final = 86_400.0
"""Servers are updated now and then, and to try again costs a connection."""

ORDERLY: Final = frozenset({1000, 1005})
"""Close codes that tell of no error; 1005: a close frame without one."""

WAYS_TO_END: Final = frozenset({1000, 1001, 1005, None})
"""Close codes that can be a server's usual end of a stream; None: it hangs up without a close frame."""


class CloseKind(Enum):
    """What the end of a session tells about what it left unanswered."""

    BROKEN = "more might have come"
    CLOSED = "asked to end the stream the server ended the connection: that may have been all"
    USUAL = "it did so as it does, having said all"
    FLUSHED = "in order: it has said all"


class ConnectionClose(NamedTuple):
    """A connection that the server, or the network, has ended."""

    code: int | None
    draining: bool
    """After our CloseStream."""
    finals: bool
    """It had given some."""
    finalized_s: float | None
    """How long ago the first Finalize was sent on it, if one was: a server that can't take it ends on that."""


class ServerTraits:
    """Shared by all lanes."""

    def __init__(self, settings: DeepgramSettings) -> None:
        self._finalize = settings.finalize
        self._suspicions = 0
        """Connections in a row that ended right behind a Finalize."""
        self._no_finalize_until = float("-inf")
        self._ways: set[int | None] = set()

    def may_finalize(self, now: float) -> bool:
        """Whether the server takes Finalize, as far as is known."""
        return self._finalize == "message" or (self._finalize == "auto" and now >= self._no_finalize_until)

    def ending(self, code: int | None, *, draining: bool, flushed: bool) -> CloseKind:
        """`draining`: the server ended it after CloseStream; `flushed`: with Metadata before."""
        if flushed:
            return CloseKind.FLUSHED
        if not draining:
            return CloseKind.BROKEN
        if code not in self._ways:
            return CloseKind.CLOSED
        return CloseKind.FLUSHED if code in ORDERLY else CloseKind.USUAL

    def closed(self, closed: ConnectionClose, now: float) -> str | None:
        """Learn from the end of a connection. Returns what there is to tell, if anything."""
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
