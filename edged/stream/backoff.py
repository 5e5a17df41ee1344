"""Delay before the next attempt to connect. Pure."""

from typing import NamedTuple

from edged.config.settings import ReconnectSettings
from edged.model.errors import RefusedError, UnreachableError

LONGEST_RETRY_AFTER_S = 3600.0
"""A server that asks for more is asked again anyway: it may have meant something else."""

HOLDS_S = 60.0
"""A connection that lives so long holds."""

ENDED_IN_SILENCE = 3
"""Number of idle connections that a server ends soon, after which edged holds none while nobody speaks."""


class End(NamedTuple):
    """The end of a connection."""

    ours: bool
    """Given up by us."""
    in_order: bool
    """After our CloseStream."""
    progress: bool
    """Speech was answered on it that no connection before had answered."""
    left: bool
    """Something still waits to be sent."""
    results: bool
    """The server has given some."""
    held_s: float

    @property
    def is_done(self) -> bool:
        """Whether the connection did its work, so that the next one need not wait."""
        return self.in_order and (self.progress or not self.left)


class Hold:
    """Whether a connection is held while nobody speaks."""

    def __init__(self) -> None:
        self._ended = 0
        """Connections that were ended by the server soon, and in silence."""

    def after(self, end: End) -> bool:
        """False after a connection that a server has ended which has shown that it does not hold them."""
        if end.held_s >= HOLDS_S:
            self._ended = 0
        elif not (end.ours or end.in_order or end.progress or end.left):
            self._ended += 1
            return self._ended < ENDED_IN_SILENCE
        return True


class Backoff:
    """Exponential with full jitter: each wait is drawn between 0 and a limit that doubles from `initial_s` to `max_s`.

    Only progress starts it anew, or a connection that gave results and held: a server that accepts, says something and
    closes is no use. Beginnings of connections are at least twice `initial_s` apart, whatever progress each one makes.
    """

    def __init__(self, settings: ReconnectSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._apart_s = 0.0
        """Rest of the minimum interval between two connections."""

    def wait_s(self, error: UnreachableError | RefusedError, chance: float) -> float:
        """Seconds to wait after `error`; `chance` is a random number in [0, 1)."""
        if isinstance(error, RefusedError):
            # A tenth of jitter, so that a fleet with one wrong key does not call in step.
            return self._settings.refused_s * (0.9 + 0.1 * chance)
        limit_s = min(self._settings.max_s, self._settings.initial_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        apart_s, self._apart_s = self._apart_s, 0.0
        return max(limit_s * chance, apart_s, min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))

    def ended(self, end: End) -> None:
        """A connection has ended. If it was of use, the next failure is a first one again."""
        self._apart_s = 2 * self._settings.initial_s - end.held_s
        if end.progress or (end.results and end.held_s >= self._settings.max_s):
            self._failures = 0
