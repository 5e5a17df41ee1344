"""A recogniser's server with faults on request and a log of what it receives and sends.

async with InstrumentedServer(ScriptEngineFactory(script)) as server:
    ... connect to server.url ...
    server.inject(Fault(FaultKind.RESET, in_word=3))
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from edged.recognizer.engine import EngineFactory
from edged.recognizer.server import Server
from edged.testkit.connection_log import ConnectionLog
from edged.testkit.fault_injection import FaultInjector
from edged.testkit.faults import Fault, FaultSchedule

HISTORY = 1_000_000
"""Messages to keep of each connection: a day of audio."""


class InstrumentedServer(Server):
    """Server with faults on request and a log of its connections. `options` are those of `Server`."""

    def __init__(
        self,
        engines: EngineFactory,
        *,
        faults: Iterable[Fault] = (),
        history: int = HISTORY,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        self._injector = FaultInjector(FaultSchedule(tuple(faults)), clock, history)
        super().__init__(engines, clock=clock, hooks=self._injector, **options)

    @property
    def connection_logs(self) -> list[ConnectionLog]:
        """Logs of the accepted connections, oldest first."""
        return self._injector.connection_logs

    @property
    def refusals(self) -> list[tuple[float, int]]:
        """Time and HTTP status of each refused handshake, oldest first."""
        return self._injector.refusals

    @property
    def received_samples(self) -> int:
        """Samples of audio received over all connections."""
        return self._injector.received_samples

    @property
    def pending_faults(self) -> list[Fault]:
        """Faults that have not struck yet."""
        return list(self._injector.schedule.pending)

    def inject(self, fault: Fault) -> None:
        """Schedule a fault; its audio is counted from now on."""
        self._injector.schedule.add(fault, received_samples=self.received_samples)
