"""How long to wait before connecting again."""

from edged.errors import Refused, Unreachable
from edged.settings import Reconnect

LONGEST_RETRY_AFTER_S = 3600.0
"""A server that asks for more is asked again anyway: it may have meant something else."""


class Backoff:
    """Exponential with full jitter: each wait is drawn between 0 and a limit that doubles from `initial_s` to `max_s`.

    Only proof, a first result, starts it anew: a server that accepts and then closes is not a server.
    """

    def __init__(self, settings: Reconnect) -> None:
        self._settings = settings
        self._failures = 0

    def wait_s(self, error: Unreachable | Refused, chance: float) -> float:
        """Seconds to wait after `error`; `chance` is a random number in [0, 1)."""
        if isinstance(error, Refused):
            # A tenth of jitter, so that a fleet with one wrong key does not call in step.
            return self._settings.refused_s * (0.9 + 0.1 * chance)
        limit_s = min(self._settings.max_s, self._settings.initial_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return max(limit_s * chance, min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))

    def proved(self) -> None:
        """The server gave a result: the next failure is a first one again."""
        self._failures = 0
