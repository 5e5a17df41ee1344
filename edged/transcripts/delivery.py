"""Delivery: takes records from the event loop to the sinks, however long a disk blocks.

Each sink has a thread of its own, so that a card that stalls for seconds delays neither the event loop nor another
sink. Between loop and threads is the outbox, under one lock that is never held during I/O. A sink that fails is tried
again with growing waits; the event loop learns what happens from events, in order.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from edged.model.errors import SinkError, SinkGoneError
from edged.model.message_ids import MessageId
from edged.model.record import Record
from edged.service.log import Outage
from edged.transcripts.outbox import Outbox, SinkCounts
from edged.transcripts.sinks.base import Sink

log = logging.getLogger(__name__)

RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between attempts; the last value repeats. People free disks: a shorter wait gains nothing, a longer one
makes them doubt that edged recovers."""

RETRY_WAIT_CLOSING_S = 0.2
"""Longest wait between attempts during a stop, which has only seconds."""

BATCH_RECORDS = 64
"""Records per call: with `fsync = "record"` a backlog costs one sync per batch, and a crash repeats at most a batch."""


class RecordsDelivered(NamedTuple):
    """A sink has these records for good."""

    sink: str
    ids: tuple[str, ...]


class RecordEvicted(NamedTuple):
    """A sink lacks `max_pending` records, so it will never get this one, its oldest."""

    sink: str
    id: str


class SinkFailing(NamedTuple):
    """A sink can't take records; edged tries again. Sent at each failure."""

    sink: str
    text: str


class SinkWorking(NamedTuple):
    """A sink that was failing takes records again."""

    sink: str


class SinkGone(NamedTuple):
    """The destination of a sink is gone for good: the sink gets no more records, and lacks none."""

    sink: str


class SinkDied(NamedTuple):
    """A bug in edged ended a sink's thread: the sink takes no more records."""

    sink: str
    error: BaseException


DeliveryEvent = RecordsDelivered | RecordEvicted | SinkFailing | SinkWorking | SinkGone | SinkDied


class Delivery:
    """Delivers records to all sinks. Made and used in the event loop, where it also calls `on_event`."""

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        max_pending: int,
        on_event: Callable[[DeliveryEvent], None],
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
    ) -> None:
        self._lock = threading.Lock()
        optional = [name for name, sink in sinks.items() if not sink.PROPERTIES.required]
        self._outbox = Outbox(list(sinks), max_pending, optional)
        self._on_event = on_event
        self._workers = {
            name: _SinkWorker(name, sink, self._outbox, self._lock, retry_waits_s, self._emit)
            for name, sink in sinks.items()
        }
        self._loop = asyncio.get_running_loop()
        self._ended: dict[str, asyncio.Future[None]] = {}

    def start(self) -> None:
        """Start the threads, which open their sinks first. Records submitted earlier are delivered now."""
        for worker in self._workers.values():
            self._ended[worker.name] = self._loop.create_future()
            threading.Thread(target=self._run, args=(worker,), name=f"sink {worker.name}", daemon=True).start()

    def submit(self, record: Record, lacking: Collection[str] | None = None) -> None:
        """Deliver a record to all sinks, or, after a crash, to those `lacking` it. Never blocks.

        Raises ValueError if a record with this id is waiting already.
        """
        with self._lock:
            evicted = self._outbox.add(record, lacking)
            losing = [sink for sink, _ in evicted if self._workers[sink].count_eviction()]
            for worker in self._workers.values():
                worker.record_added()
        for sink in losing:
            log.warning("sink %s: too many records wait for it: from now on the oldest are lost", sink)
        for sink, id_ in evicted:
            self._emit(RecordEvicted(sink, id_))

    def show_interim(self, text: str) -> None:
        """Show words that are still being spoken, on sinks that can; a later call replaces the text. Never blocks."""
        with self._lock:
            for worker in self._workers.values():
                worker.set_interim(text)

    def reopen(self) -> None:
        """Open all sinks again (SIGHUP), and try failing sinks at once."""
        with self._lock:
            for worker in self._workers.values():
                worker.request_reopen()

    @property
    def sinks(self) -> list[str]:
        """Names of the sinks that still get records."""
        with self._lock:
            return self._outbox.sinks

    @property
    def fault(self) -> str | None:
        """Why a failing sink takes no records, for people; None while all sinks work."""
        return next((f"sink {worker.name}: {worker.fault}" for worker in self._workers.values() if worker.fault), None)

    def counts(self) -> dict[str, SinkCounts]:
        """Return the numbers of records by sink."""
        with self._lock:
            return {worker.name: self._outbox.counts(worker.name) for worker in self._workers.values()}

    @property
    def required(self) -> list[str]:
        """Names of the sinks that a record waits for: while one lacks it, it is not written."""
        return self._outbox.required

    async def close(self, timeout_s: float) -> dict[str, int]:
        """Deliver what is pending, for at most `timeout_s` seconds, and stop.

        Returns the number of records that each sink still lacks, for those that lack any.
        """
        with self._lock:
            for worker in self._workers.values():
                worker.request_stop(time.monotonic() + timeout_s)
        if self._ended:
            await asyncio.wait(self._ended.values(), timeout=timeout_s)  # a thread that hangs in I/O is left behind
        return {sink: counts.pending for sink, counts in self.counts().items() if counts.pending}

    def _run(self, worker: "_SinkWorker") -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - whatever it was, a thread must not die in silence
            self._emit(SinkDied(worker.name, error))
        self._call_in_loop(partial(self._ended[worker.name].set_result, None))

    def _emit(self, event: DeliveryEvent) -> None:
        self._call_in_loop(partial(self._on_event, event))

    def _call_in_loop(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: this thread was left behind at the stop
            self._loop.call_soon_threadsafe(function)


class _SinkState(Enum):
    """The state of one sink.

    WORKING: an error makes it FAILING.
    FAILING: after a wait the next call is made. A written record, or opening with no record pending, makes it WORKING;
        opening with records pending makes it REOPENED.
    REOPENED: a full disk can be opened too, so only a written record makes it WORKING. It gets one without a wait; an
        error makes it FAILING.
    """

    WORKING = auto()
    FAILING = auto()
    REOPENED = auto()


class _SinkCall(NamedTuple):
    """One call of a sink's method."""

    function: Callable[[], None]
    records: Sequence[Record] = ()
    is_interim: bool = False
    """The call shows an interim: its failure starts no outage, as the next record decides that."""


class _SinkWorker:
    """The work of one sink's thread. The event loop calls the methods of its first half, holding the lock."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        outbox: Outbox,
        lock: threading.Lock,
        retry_waits_s: Sequence[float],
        emit: Callable[[DeliveryEvent], None],
    ) -> None:
        self.name = name
        self.fault: str | None = None
        """Why the sink takes no records; None while it does."""
        self._changed = threading.Condition(lock)
        self._reopen_requested = True
        self._interim: str | None = None
        self._stop_at_s: float | None = None
        self._sink = sink
        self._outbox = outbox
        self._retry_waits_s = retry_waits_s
        self._emit = emit
        self._outage = Outage(log, f"sink {name}", message_id=MessageId.SINK)
        self._state = _SinkState.WORKING
        self._failures = 0
        """Errors in a row, for the length of the wait."""
        self._failed_at_s = 0.0
        self._evictions = 0
        """Records evicted since the sink last took one."""

    # -- called by the event loop, under the lock ---------------------------------------------------------------------

    def record_added(self) -> None:
        """Wake the thread for a new record, which makes a pending interim obsolete."""
        self._interim = None
        self._changed.notify()

    def set_interim(self, text: str) -> None:
        """Have the sink show this text, if it can."""
        if self._sink.PROPERTIES.shows_interims:
            self._interim = text
            self._changed.notify()

    def request_reopen(self) -> None:
        """Have the sink opened again."""
        self._reopen_requested = True
        self._changed.notify()

    def request_stop(self, deadline_s: float) -> None:
        """End the thread when no record is pending, or at the deadline (CLOCK_MONOTONIC)."""
        self._stop_at_s = deadline_s
        self._changed.notify()

    def count_eviction(self) -> bool:
        """Count a record that was evicted. Returns whether it is the first since the sink last took a record."""
        self._evictions += 1
        return self._evictions == 1

    # -- the thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the sink until a stop is requested and done, or until the sink's destination is gone."""
        while (call := self._next_call()) is not None:
            try:
                call.function()
            except SinkGoneError as error:
                self._mark_delivered(call.records[: error.delivered])
                self._gone(str(error))
                break
            except SinkError as error:
                if call.is_interim:
                    log.debug("sink %s: %s", self.name, error)
                    continue
                self._mark_delivered(call.records[: error.delivered])
                self._failed(str(error))
            else:
                self._succeeded(call)
        try:
            self._sink.close()
        except (SinkError, OSError) as error:
            log.debug("sink %s: closing it: %s", self.name, error)

    def _next_call(self) -> _SinkCall | None:
        """Wait for something to do. Returns None at the end."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                records = self._outbox.pending(self.name, BATCH_RECORDS)
                if self._stop_at_s is not None and (not records or now_s >= self._stop_at_s):
                    return None
                if self._reopen_requested:
                    self._reopen_requested = False
                    return _SinkCall(self._sink.reopen)
                works = self._state is _SinkState.WORKING
                due_s = self._failed_at_s + self._retry_wait_s() if self._state is _SinkState.FAILING else now_s
                if now_s >= due_s and records:
                    return _SinkCall(partial(self._sink.deliver, records), records)
                if now_s >= due_s and not works:
                    return _SinkCall(self._sink.reopen)
                if works and self._interim is not None:
                    text, self._interim = self._interim, None
                    return _SinkCall(partial(self._sink.show_interim, text), is_interim=True)
                if self._stop_at_s is not None:
                    due_s = min(due_s, self._stop_at_s)
                self._changed.wait(None if works else due_s - now_s)

    def _retry_wait_s(self) -> float:
        wait_s = self._retry_waits_s[min(self._failures, len(self._retry_waits_s)) - 1]
        return wait_s if self._stop_at_s is None else min(wait_s, RETRY_WAIT_CLOSING_S)

    def _mark_delivered(self, records: Sequence[Record]) -> None:
        if not records:
            return
        ids = tuple(record.id for record in records)
        with self._changed:
            self._outbox.mark_delivered(self.name, ids)
        self._emit(RecordsDelivered(self.name, ids))

    def _gone(self, text: str) -> None:
        self.fault = None
        with self._changed:
            self._outbox.drop(self.name)
        log.warning("sink %s: %s: it is gone, so it gets no more records", self.name, text)
        self._emit(SinkGone(self.name))

    def _failed(self, text: str) -> None:
        self._state = _SinkState.FAILING
        self._failures += 1
        self._failed_at_s = time.monotonic()
        self.fault = text
        self._outage.failed(text)
        self._emit(SinkFailing(self.name, text))

    def _succeeded(self, call: _SinkCall) -> None:
        with self._changed:
            pending = self._outbox.counts(self.name).pending
            evictions = self._evictions
            if call.records:
                self._evictions = 0
        self._mark_delivered(call.records)
        if pending and not call.records:
            if self._state is _SinkState.FAILING:
                self._state = _SinkState.REOPENED
            return
        note = f"{_count(pending)} waited" + (f", {_count(evictions)} lost" if evictions else "")
        if self._state is not _SinkState.WORKING:
            self._state = _SinkState.WORKING
            self._failures = 0
            self.fault = None
            self._outage.over(note if pending else "")
            self._emit(SinkWorking(self.name))
        elif evictions and call.records:
            log.warning("sink %s: takes records again, %s", self.name, note)


def _count(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"
