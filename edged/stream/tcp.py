"""Opens a TCP connection to a name, at whichever of its addresses answers first. A shell around `HappyEyeballs`."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final, TypeVar, cast

from edged.stream.happy_eyeballs import Address, AddressFamily, HappyEyeballs, SuspectAddresses

FAMILIES: Final = {AddressFamily.IPV6: socket.AF_INET6, AddressFamily.IPV4: socket.AF_INET}

UNREACHABLE_ERRNOS: Final = frozenset(
    {
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
        *(errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT),
    }
)
"""Errors of addresses that this network has no way to: another's error tells more."""
NO_ADDRESS_ERRNOS: Final = frozenset({getattr(socket, name, None) for name in ("EAI_NODATA", "EAI_ADDRFAMILY")})
"""Errors of a name without an address of this family, where the C library has them: the other look-up's tells more."""

T = TypeVar("T")


class ConnectRace:
    """One race for one name."""

    def __init__(self, host: str, port: int, doubts: SuspectAddresses, on_address: Callable[[], None]) -> None:
        self._host, self._port = host, port
        self._on_address = on_address
        self._eyeballs = HappyEyeballs(doubts)
        self._loop = asyncio.get_running_loop()
        self._lookups: dict[asyncio.Task[list[Address]], AddressFamily] = {}
        self._attempts: dict[asyncio.Task[socket.socket], Address] = {}
        self._errors: list[OSError] = []

    async def run(self) -> tuple[socket.socket, Address]:
        """The first connection that is made; all others are closed.

        Raises the most telling of the errors: `socket.gaierror` if the name has no address, `OSError` if none can be
        reached, `UnicodeError` for a name that can be none.
        """
        try:
            for family in AddressFamily:
                self._lookups[self._loop.create_task(self._resolve(family))] = family
            while not self._eyeballs.exhausted:
                self._begin_attempts()
                if winner := await self._step():
                    return winner
        finally:
            await self._discard()
        raise self.error or OSError

    @property
    def error(self) -> OSError | None:
        """The most telling error so far, if there is one."""
        return min(self._errors, key=_sort_key, default=None)

    def _begin_attempts(self) -> None:
        while address := self._eyeballs.start_attempt(self._loop.time()):
            self._attempts[self._loop.create_task(_connect(address))] = address
            self._on_address()

    async def _step(self) -> tuple[socket.socket, Address] | None:
        """Wait for the next thing to happen, and take it in."""
        deadline_s = self._eyeballs.next_attempt_at_s()
        wait_s = None if deadline_s is None else max(0.0, deadline_s - self._loop.time())
        tasks: list[asyncio.Task[list[Address]] | asyncio.Task[socket.socket]] = [*self._lookups, *self._attempts]
        await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for look_up in [task for task in self._lookups if task.done()]:
            family = self._lookups.pop(look_up)
            self._eyeballs.add_addresses(family, self._result(look_up) or [], self._loop.time())
        for attempt in [task for task in self._attempts if task.done()]:
            if connected := self._result(attempt):
                return connected, self._attempts.pop(attempt)
            del self._attempts[attempt]
            self._eyeballs.attempt_failed(self._loop.time())
        return None

    def _result(self, task: asyncio.Task[T]) -> T | None:
        """None if it failed."""
        try:
            return task.result()
        except OSError as error:
            self._errors.append(error)
            return None

    async def _resolve(self, family: AddressFamily) -> list[Address]:
        found = await self._loop.getaddrinfo(
            self._host, self._port, family=FAMILIES[family], type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        return [cast("Address", address) for *_, address in found]

    async def _discard(self) -> None:
        """End all that still runs."""
        tasks = [*self._lookups, *self._attempts]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()


async def _connect(address: Address) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


def _sort_key(error: OSError) -> tuple[bool, bool]:
    """What to sort errors by: the least says most."""
    looking_up = isinstance(error, socket.gaierror)
    return looking_up, error.errno in (NO_ADDRESS_ERRNOS if looking_up else UNREACHABLE_ERRNOS)
