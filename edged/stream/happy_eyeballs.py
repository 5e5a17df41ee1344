"""Which address of a name to try, and when: Happy Eyeballs version 2 (RFC 8305). Pure.

Many names have an IPv6 and an IPv4 address, and behind many home routers IPv6 packets vanish: a client that tries one
address after the other waits minutes for the first. Here the next attempt begins after a short head start.
"""

from collections import deque
from collections.abc import Container, Iterable
from enum import Enum
from typing import Final

RESOLUTION_DELAY_S: Final = 0.05
"""How long IPv4 addresses wait for the look-up of IPv6 ones (RFC 8305, section 8)."""
ATTEMPT_DELAY_S: Final = 0.25
"""Head start of one attempt over the next (RFC 8305, section 8)."""
SUSPECT_DELAY_S: Final = 2.0
"""Head start over an address that hung before: time for a handshake over a slow mobile network."""
MAX_SUSPECTS: Final = 16
"""A name has a few addresses; one with more at each look-up must not fill the memory."""

Address = tuple[str, int] | tuple[str, int, int, int]
"""As `socket.connect` takes it."""


class AddressFamily(Enum):
    """The two address families, in the order of preference."""

    IPV6 = "IPv6"
    IPV4 = "IPv4"


class SuspectAddresses:
    """Addresses that accepted a connection and then let it hang: tried last. Outlives the connections.

    Large packets can vanish where small ones pass (a router that drops ICMPv6 "packet too big").
    """

    def __init__(self) -> None:
        self._addresses: deque[Address] = deque(maxlen=MAX_SUSPECTS)

    def __contains__(self, address: object) -> bool:
        """Whether it hung the last time."""
        return address in self._addresses

    def add(self, address: Address) -> None:
        """It let a connection hang."""
        self.remove(address)
        self._addresses.append(address)

    def remove(self, address: Address) -> None:
        """It works."""
        if address in self._addresses:
            self._addresses.remove(address)


class HappyEyeballs:
    """The attempts of one connection: `found`, then `take` at each `deadline_s`; `failed` for each that failed."""

    def __init__(self, doubted: Container[Address]) -> None:
        self._doubted = doubted
        self._looked_up: set[AddressFamily] = set()
        self._left: dict[AddressFamily, list[Address]] = {family: [] for family in AddressFamily}
        self._last = AddressFamily.IPV4  # so that IPv6 begins
        self._running = 0
        self._free_at_s = 0.0
        """When the next attempt may begin."""

    def add_addresses(self, family: AddressFamily, addresses: Iterable[Address], now_s: float) -> None:
        """A look-up has ended; without addresses if it failed."""
        self._looked_up.add(family)
        self._left[family] += dict.fromkeys(addresses)
        if AddressFamily.IPV6 not in self._looked_up:
            self._free_at_s = now_s + RESOLUTION_DELAY_S
        elif self._running == 0:
            self._free_at_s = now_s

    def start_attempt(self, now_s: float) -> Address | None:
        """The address to try now, if one is due."""
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
        """An attempt has failed: the next need not wait."""
        self._running -= 1
        self._free_at_s = min(self._free_at_s, now_s)

    def next_attempt_at_s(self) -> float | None:
        """When an attempt is due; None if there is no address left."""
        if not any(self._left.values()):
            return None
        doubted = self._next()[1] in self._doubted and self._running > 0
        return self._free_at_s + (SUSPECT_DELAY_S - ATTEMPT_DELAY_S if doubted else 0.0)

    @property
    def exhausted(self) -> bool:
        """Nothing runs and nothing is left to begin: no address can be reached."""
        return self._running == 0 and not any(self._left.values()) and len(self._looked_up) == len(AddressFamily)

    def _next(self) -> tuple[AddressFamily, Address]:
        """The families take turns; an address that is doubted comes after all others."""
        turns = sorted(AddressFamily, key=lambda family: family is self._last)
        every = [(family, address) for family in turns for address in self._left[family]]
        return min(every, key=lambda each: each[1] in self._doubted)
