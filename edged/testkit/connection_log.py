"""Log of one connection as the server sees it, for tests and benchmarks. Never holds a key. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Arrival(NamedTuple):
    """A message of the client."""

    at_s: float
    """Time of arrival on the server's clock."""
    kind: str
    """`audio`, `empty`, or the `type` of a text message (`?` if it has none)."""
    samples: int


@dataclass
class ConnectionLog:
    """One connection, from the accepted handshake on."""

    number: int
    """Counted from 0."""
    request_id: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """Names in lower case, without `authorization`."""
    opened_at_s: float
    arrivals: deque[Arrival]
    sent: deque[tuple[float, str]]
    """Time and text of each message that the server sent."""
    closed_at_s: float | None = None
    close_code: int | None = None
    close_reason: str = ""
    samples: int = 0
    """Samples of audio received."""
    message_counts: dict[str, int] = field(default_factory=dict)
    """Number of messages received, by kind."""
    longest_gap_s: float = 0.0
    """Between two messages of the client, its opening and its end included."""
    _last_at_s: float | None = None

    def add_received(self, at_s: float, kind: str, samples: int) -> None:
        """Note a message."""
        self._gap(at_s)
        self.arrivals.append(Arrival(at_s, kind, samples))
        self.message_counts[kind] = self.message_counts.get(kind, 0) + 1
        self.samples += samples

    def add_close(self, at_s: float, code: int | None, reason: str) -> None:
        """Note the end."""
        self._gap(at_s)
        self.closed_at_s, self.close_code, self.close_reason = at_s, code, reason

    def _gap(self, at_s: float) -> None:
        last_s = self.opened_at_s if self._last_at_s is None else self._last_at_s
        self.longest_gap_s = max(self.longest_gap_s, at_s - last_s)
        self._last_at_s = at_s

    def max_rate(self, rate: int, window_s: float = 5.0) -> float:
        """The fastest that audio came in any `window_s`, in times of real time.

        A pre-roll that comes at once is a part of it: allow for pre-roll / window_s above the rate that is promised.
        """
        inside: deque[Arrival] = deque()
        samples = most = 0
        for arrival in self.arrivals:
            inside.append(arrival)
            samples += arrival.samples
            while inside[0].at_s <= arrival.at_s - window_s:
                samples -= inside.popleft().samples
            most = max(most, samples)
        return most / rate / window_s
