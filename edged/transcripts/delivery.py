"""Delivery: takes records from the event loop to the sinks, whatever the disk does.

Each sink has a thread of its own, so that a card that stalls for seconds stalls neither the loop nor another sink.
Between them stands the outbox, under one lock that is never held during I/O. A sink that fails is tried again with
growing waits; what happens is told to the event loop as events, in order.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

from edged.model.errors import SinkError, SinkGoneError
from edged.model.message_ids import MessageId
from edged.model.record import Record
from edged.service.log import Outage
from edged.transcripts.outbox import Outbox, SinkCounts

log = logging.getLogger(__name__)

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Between tries; the last one repeats. Disks are freed by people: sooner gains nothing, later loses trust."""

CLOSING_WAIT_S = 0.2
"""Between tries during a stop, which has seconds only."""

BATCH = 64
"""Records a call: with `fsync = "record"` a backlog costs one sync for so many, and a crash repeats no more."""

LOOSE = frozenset({"console"})
"""Sinks that hold no record back."""


class Sink(Protocol):
    """Where records go. Called from one thread, which it may block."""

    def deliver(self, records: Sequence[Record]) -> None:
        """Take them, in order. Raises SinkError, which says how many of them it has for good."""

    def reopen(self) -> None:
        """Open, or open again, what it writes to. Raises SinkError."""

    def close(self) -> None:
        """No more calls follow. May raise SinkError or OSError: what it has, it has."""


@runtime_checkable
class ShowsInterims(Protocol):
    """A sink that also shows what is just being said."""

    def show_interim(self, text: str) -> None:
        """Raises SinkError."""


class RecordsDelivered(NamedTuple):
    """The sink has these records for good."""

    sink: str
    ids: tuple[str, ...]


class RecordEvicted(NamedTuple):
    """The sink lacks too many records, so it will not get this one."""

    sink: str
    id: str


class SinkFailing(NamedTuple):
    """The sink takes nothing; told at each failure. It is tried again."""

    sink: str
    text: str


class SinkWorking(NamedTuple):
    """The sink works again."""

    sink: str


class Gone(NamedTuple):
    """What the sink wrote to is gone for good: it gets no more records, and lacks none."""

    sink: str


class SinkDied(NamedTuple):
    """The sink's thread ended by a bug of ours: it takes nothing any more."""

    sink: str
    error: BaseException


DeliveryEvent = RecordsDelivered | RecordEvicted | SinkFailing | SinkWorking | Gone | SinkDied


class Delivery:
    """Made and used in the event loop; `on_event` is called there too."""

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        max_pending: int,
        on_event: Callable[[DeliveryEvent], None],
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self._lock = threading.Lock()
        self._outbox = Outbox(list(sinks), max_pending, LOOSE)
        self._on_event = on_event
        self._workers = {
            name: _Worker(name, sink, self._outbox, self._lock, waits_s, self._tell) for name, sink in sinks.items()
        }
        self._loop = asyncio.get_running_loop()
        self._ended: dict[str, asyncio.Future[None]] = {}

    def start(self) -> None:
        """Start the threads, which open their sinks first. What was submitted before is delivered now."""
        for worker in self._workers.values():
            self._ended[worker.name] = self._loop.create_future()
            threading.Thread(target=self._run, args=(worker,), name=f"sink {worker.name}", daemon=True).start()

    def submit(self, record: Record, lacking: Collection[str] | None = None) -> None:
        """Deliver it to all sinks, or to those `lacking` it (from a spool). Never blocks.

        Raises ValueError for an id that waits already.
        """
        with self._lock:
            evicted = self._outbox.add(record, lacking)
            begun = [sink for sink, _ in evicted if self._workers[sink].evicted()]
            for worker in self._workers.values():
                worker.interim = None  # older than the record
                worker.ready.notify()
        for sink in begun:
            log.warning("sink %s: too many records wait for it: from now on the oldest are lost", sink)
        for sink, id_ in evicted:
            self._tell(RecordEvicted(sink, id_))

    def show_interim(self, text: str) -> None:
        """Show what is being said where that can be shown; the latest counts. Never blocks."""
        with self._lock:
            for worker in self._workers.values():
                if worker.shows_interims:
                    worker.interim = text
                    worker.ready.notify()

    def reopen(self) -> None:
        """SIGHUP: open all sinks again, and try at once those that fail."""
        with self._lock:
            for worker in self._workers.values():
                worker.reopen = True
                worker.ready.notify()

    @property
    def sinks(self) -> list[str]:
        """Those that are not gone."""
        with self._lock:
            return self._outbox.sinks

    @property
    def fault(self) -> str | None:
        """What is wrong with a sink that takes nothing."""
        return next((f"sink {each.name}: {each.fault}" for each in self._workers.values() if each.fault), None)

    def counts(self) -> dict[str, SinkCounts]:
        """By sink."""
        with self._lock:
            return {worker.name: self._outbox.counts(worker.name) for worker in self._workers.values()}

    @property
    def holding(self) -> list[str]:
        """Sinks that count: what one of them lacks is not written yet."""
        return self._outbox.holding

    async def close(self, timeout_s: float) -> dict[str, int]:
        """Deliver what waits, for `timeout_s` at most, and stop. Returns how many records each sink still lacks."""
        with self._lock:
            for worker in self._workers.values():
                worker.stop_at_s = time.monotonic() + timeout_s
                worker.ready.notify()
        if self._ended:
            await asyncio.wait(self._ended.values(), timeout=timeout_s)  # a thread that hangs in I/O is left behind
        return {sink: counts.pending for sink, counts in self.counts().items() if counts.pending}

    def _run(self, worker: "_Worker") -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - whatever it was, a thread must not die in silence
            self._tell(SinkDied(worker.name, error))
        self._call(partial(self._ended[worker.name].set_result, None))

    def _tell(self, event: DeliveryEvent) -> None:
        self._call(partial(self._on_event, event))

    def _call(self, function: Callable[[], None]) -> None:
        """In the event loop."""
        with suppress(RuntimeError):  # the loop is closed: a thread that was left behind at the stop, nobody to tell
            self._loop.call_soon_threadsafe(function)


class _Task(NamedTuple):
    """One call to the sink."""

    call: Callable[[], None]
    records: Sequence[Record] = ()
    courtesy: bool = False
    """An interim: its failure is nobody's outage, the next record tells."""


class _Worker:
    """What one sink's thread does. The public attributes are the loop's side of it, used under the lock."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        outbox: Outbox,
        lock: threading.Lock,
        waits_s: Sequence[float],
        tell: Callable[[DeliveryEvent], None],
    ) -> None:
        self.name = name
        self.ready = threading.Condition(lock)
        self.reopen = True
        self.interim: str | None = None
        self.stop_at_s: float | None = None
        self.shows_interims = isinstance(sink, ShowsInterims)
        self.fault: str | None = None
        """Why it takes nothing, while it does not."""
        self._sink = sink
        self._outbox = outbox
        self._waits_s = waits_s
        self._tell = tell
        self._outage = Outage(log, f"sink {name}", message_id=MessageId.SINK)
        self._failures = 0
        self._failed_at_s = 0.0
        self._lost = 0

    def run(self) -> None:
        """Until `stop_at_s` is set and nothing waits or it is over; or until the sink is gone."""
        while (task := self._next()) is not None:
            try:
                task.call()
            except SinkGoneError as error:
                self._settle(task.records[: error.delivered])
                self._gone(str(error))
                break
            except SinkError as error:
                if task.courtesy:
                    log.debug("sink %s: %s", self.name, error)
                    continue
                self._settle(task.records[: error.delivered])
                self._failed(str(error))
            else:
                self._worked(task)
        try:
            self._sink.close()
        except (SinkError, OSError) as error:
            log.debug("sink %s: closing it: %s", self.name, error)

    def evicted(self) -> bool:
        """One of its records went at the bound. Returns whether it is the first since it took some. Under the lock."""
        self._lost += 1
        return self._lost == 1

    def _next(self) -> _Task | None:
        with self.ready:
            while True:
                now_s = time.monotonic()
                records = self._outbox.pending(self.name, BATCH)
                if self.stop_at_s is not None and (not records or now_s >= self.stop_at_s):
                    return None
                due_s = self._failed_at_s + self._wait_s() if self._failures else now_s
                if self.reopen:
                    self.reopen = False
                    return _Task(self._sink.reopen)
                if now_s >= due_s and records:
                    return _Task(partial(self._sink.deliver, records), records)
                if now_s >= due_s and self._failures:
                    return _Task(self._sink.reopen)
                if not self._failures and self.interim is not None and isinstance(self._sink, ShowsInterims):
                    text, self.interim = self.interim, None
                    return _Task(partial(self._sink.show_interim, text), courtesy=True)
                if self.stop_at_s is not None:
                    due_s = min(due_s, self.stop_at_s)
                self.ready.wait(due_s - now_s if self._failures else None)

    def _wait_s(self) -> float:
        wait_s = self._waits_s[min(self._failures, len(self._waits_s)) - 1]
        return wait_s if self.stop_at_s is None else min(wait_s, CLOSING_WAIT_S)

    def _settle(self, records: Sequence[Record]) -> None:
        """The sink has these."""
        if not records:
            return
        ids = tuple(record.id for record in records)
        with self.ready:
            self._outbox.delivered(self.name, ids)
        self._tell(RecordsDelivered(self.name, ids))

    def _gone(self, text: str) -> None:
        self.fault = None
        with self.ready:
            self._outbox.drop(self.name)
        log.warning("sink %s: %s: it is gone, so it gets no more records", self.name, text)
        self._tell(Gone(self.name))

    def _failed(self, text: str) -> None:
        self._failures += 1
        self._failed_at_s = time.monotonic()
        self.fault = text
        self._outage.failed(text)
        self._tell(SinkFailing(self.name, text))

    def _worked(self, task: _Task) -> None:
        with self.ready:
            waited = self._outbox.counts(self.name).pending
            lost = self._lost
            if task.records:
                self._lost = 0
        self._settle(task.records)
        if waited and not task.records:  # opened, but a full disk can be opened too: only a record proves it
            self._failed_at_s = float("-inf")
            return
        note = f"{_records(waited)} waited" + (f", {_records(lost)} lost" if lost else "")
        if self._failures:
            self._failures = 0
            self.fault = None
            self._outage.over(note if waited else "")
            self._tell(SinkWorking(self.name))
        elif lost and task.records:
            log.warning("sink %s: takes records again, %s", self.name, note)


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
