"""Fake sinks with faults on order, for the tests of delivery."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import ClassVar

from edged.model.errors import SinkError
from edged.model.record import Record
from edged.transcripts.delivery import DeliveryEvent
from edged.transcripts.sinks.base import Sink, SinkProperties

SOON_S = (0.01,)


class FakeSink(Sink):
    """A sink that keeps the ids of its records, and fails, stalls or dies when a test says so."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.calls: list[str] = []
        self.stalled = threading.Event()
        self.thread = ""
        self._failures = 0
        self._delivered = 0
        self._open_failures = 0
        self._go = threading.Event()
        self._go.set()
        self._bug: BaseException | None = None

    def fail(self, times: int, delivered: int = 0) -> None:
        self._failures, self._delivered = times, delivered

    def fail_to_open(self, times: int) -> None:
        self._open_failures = times

    def stall(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()

    def die(self, bug: BaseException) -> None:
        self._bug = bug

    def deliver(self, records: Sequence[Record]) -> None:
        self.calls.append(f"deliver {len(records)}")
        self.thread = threading.current_thread().name
        if not self._go.is_set():
            self.stalled.set()
            self._go.wait(10)
        if self._bug:
            raise self._bug
        if self._failures:
            self._failures -= 1
            done = records[: self._delivered]
            self.ids += [each.id for each in done]
            raise SinkError("no room", delivered=len(done))
        self.ids += [each.id for each in records]

    def reopen(self) -> None:
        self.calls.append("reopen")
        if self._open_failures:
            self._open_failures -= 1
            raise SinkError("no such place")

    def close(self) -> None:
        self.calls.append("close")


class FakeConsole(FakeSink):
    """A sink that shows interims and holds no record back."""

    PROPERTIES: ClassVar = SinkProperties(required=False, shows_interims=True)

    def show_interim(self, text: str) -> None:
        self.calls.append(f"interim {text}")
        if text == "broken":
            raise SinkError("no screen")


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not come true in time")


def has(events: list[DeliveryEvent], count: int) -> bool:
    return len(events) == count


def ids(first: int, last: int) -> list[str]:
    return [f"id-{number}" for number in range(first, last + 1)]
