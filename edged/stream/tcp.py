"""Opens a TCP connection to whichever address of a host responds first. A shell around `HappyEyeballs`."""

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
"""Errors of addresses that this network has no route to. The error of another address says more."""
NO_ADDRESS_ERRNOS: Final = frozenset({getattr(socket, name, None) for name in ("EAI_NODATA", "EAI_ADDRFAMILY")})
"""Errors of a name without an address of this family, if the C library has them. The other lookup's says more."""

T = TypeVar("T")


class ConnectRace:
    """One race for a connection to one host: lookups and attempts for both address families, side by side."""

    def __init__(self, host: str, port: int, suspects: SuspectAddresses, on_address: Callable[[], None]) -> None:
        self._host, self._port = host, port
        self._on_address = on_address
        self._eyeballs = HappyEyeballs(suspects)
        self._loop = asyncio.get_running_loop()
        self._lookups: dict[asyncio.Task[list[Address]], AddressFamily] = {}
        self._attempts: dict[asyncio.Task[socket.socket], Address] = {}
        self._errors: list[OSError] = []

    async def run(self) -> tuple[socket.socket, Address]:
        """Return the first connection that is established, and its address; close all others.

        Raises the most informative error: `socket.gaierror` if the name has no address, `OSError` if no address can be
        reached, `UnicodeError` for a name that can't exist.
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
        """The most informative error so far; None without any."""
        return min(self._errors, key=_sort_key, default=None)

    def _begin_attempts(self) -> None:
        while address := self._eyeballs.start_attempt(self._loop.time()):
            self._attempts[self._loop.create_task(_connect(address))] = address
            self._on_address()

    async def _step(self) -> tuple[socket.socket, Address] | None:
        """Wait until a lookup or an attempt ends, or an attempt is due; return a connection once there is one."""
        deadline_s = self._eyeballs.next_attempt_at_s()
        wait_s = None if deadline_s is None else max(0.0, deadline_s - self._loop.time())
        tasks: list[asyncio.Task[list[Address]] | asyncio.Task[socket.socket]] = [*self._lookups, *self._attempts]
        await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for lookup in [task for task in self._lookups if task.done()]:
            family = self._lookups.pop(lookup)
            self._eyeballs.add_addresses(family, self._result(lookup) or [], self._loop.time())
        for attempt in [task for task in self._attempts if task.done()]:
            if connected := self._result(attempt):
                return connected, self._attempts.pop(attempt)
            del self._attempts[attempt]
            self._eyeballs.attempt_failed(self._loop.time())
        return None

    def _result(self, task: asyncio.Task[T]) -> T | None:
        """Return the result of a task; None if it failed, after keeping its error."""
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
        """Cancel all lookups and attempts, and close connections that they established."""
        tasks = [*self._lookups, *self._attempts]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()


async def _connect(address: Address) -> socket.socket:
    tcp_socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        tcp_socket.setblocking(False)
        await asyncio.get_running_loop().sock_connect(tcp_socket, address)
    except BaseException:
        tcp_socket.close()
        raise
    return tcp_socket


def _sort_key(error: OSError) -> tuple[bool, bool]:
    """Return the sort key of an error: the smallest is the most informative."""
    in_lookup = isinstance(error, socket.gaierror)
    return in_lookup, error.errno in (NO_ADDRESS_ERRNOS if in_lookup else UNREACHABLE_ERRNOS)
