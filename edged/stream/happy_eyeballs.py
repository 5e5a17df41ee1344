"""Happy Eyeballs version 2 (RFC 8305): decides which address of a host to try, and when. Pure.

Many hosts have an IPv6 and an IPv4 address, and behind many home routers IPv6 packets vanish. A client that tries one
address after the other waits minutes for the first. Here the next attempt begins after a short head start.
"""

from collections import deque
from collections.abc import Container, Iterable
from enum import Enum
from typing import Final

RESOLUTION_DELAY_S: Final = 0.05
"""Time that IPv4 addresses wait for the lookup of IPv6 ones (RFC 8305, section 8)."""
ATTEMPT_DELAY_S: Final = 0.25
"""Head start of one attempt over the next (RFC 8305, section 8)."""
SUSPECT_DELAY_S: Final = 2.0
"""Head start over a suspect address: time for a handshake over a slow mobile network."""
MAX_SUSPECTS: Final = 16
"""Most suspect addresses to remember, for hosts whose addresses change with each lookup."""

Address = tuple[str, int] | tuple[str, int, int, int]
"""Socket address, as `socket.connect` takes it."""


class AddressFamily(Enum):
    """The two address families, in the order of preference."""

    IPV6 = "IPv6"
    IPV4 = "IPv4"


class SuspectAddresses:
    """Addresses that accepted a connection and then stopped responding; they are tried last. Outlives the connections.

    Large packets can vanish where small ones pass (a router that drops ICMPv6 "packet too big").
    """

    def __init__(self) -> None:
        self._addresses: deque[Address] = deque(maxlen=MAX_SUSPECTS)

    def __contains__(self, address: object) -> bool:
        """Tell whether an address hung in its latest connection."""
        return address in self._addresses

    def add(self, address: Address) -> None:
        """Note that a connection to an address hung."""
        self.remove(address)
        self._addresses.append(address)

    def remove(self, address: Address) -> None:
        """Note that an address responds."""
        if address in self._addresses:
            self._addresses.remove(address)


class HappyEyeballs:
    """The schedule of attempts for one connection. Call `add_addresses` when a lookup ends, `start_attempt` at each
    `next_attempt_at_s`, and `attempt_failed` for each attempt that fails."""

    def __init__(self, suspects: Container[Address]) -> None:
        self._suspects = suspects
        self._looked_up: set[AddressFamily] = set()
        self._left: dict[AddressFamily, list[Address]] = {family: [] for family in AddressFamily}
        self._last = AddressFamily.IPV4  # IPv6 goes first
        self._running = 0
        self._free_at_s = 0.0
        """Time when the next attempt may begin."""

    def add_addresses(self, family: AddressFamily, addresses: Iterable[Address], now_s: float) -> None:
        """Add the addresses of a lookup that has ended; none if it failed."""
        self._looked_up.add(family)
        self._left[family] += dict.fromkeys(addresses)
        if AddressFamily.IPV6 not in self._looked_up:
            self._free_at_s = now_s + RESOLUTION_DELAY_S
        elif self._running == 0:
            self._free_at_s = now_s

    def start_attempt(self, now_s: float) -> Address | None:
        """Return the address to try now; None if none is due."""
        deadline_s = self.next_attempt_at_s()
        if deadline_s is None or now_s < deadline_s:
            return None
        family, address = self._next()
        self._left[family].remove(address)
        self._last = family
        self._running += 1
        self._free_at_s = now_s + ATTEMPT_DELAY_S
        return address

    def attempt_failed(self, now_s: float) -> None:
        """Note that an attempt failed, so that the next need not wait."""
        self._running -= 1
        self._free_at_s = min(self._free_at_s, now_s)

    def next_attempt_at_s(self) -> float | None:
        """Return the time when the next attempt is due; None if no address is left."""
        if not any(self._left.values()):
            return None
        is_suspect = self._next()[1] in self._suspects and self._running > 0
        return self._free_at_s + (SUSPECT_DELAY_S - ATTEMPT_DELAY_S if is_suspect else 0.0)

    @property
    def exhausted(self) -> bool:
        """Whether nothing runs and nothing is left to try, so that no address can be reached."""
        return self._running == 0 and not any(self._left.values()) and len(self._looked_up) == len(AddressFamily)

    def _next(self) -> tuple[AddressFamily, Address]:
        """Return the next address to try: families take turns, and suspect addresses come last."""
        turns = sorted(AddressFamily, key=lambda family: family is self._last)
        candidates = [(family, address) for family in turns for address in self._left[family]]
        return min(candidates, key=lambda candidate: candidate[1] in self._suspects)
