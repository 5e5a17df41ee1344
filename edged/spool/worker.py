"""The thread that owns the databases: works off a queue of orders, and between them does its chores.

The event loop never waits for it: what came of an order is told as an event. All orders that are queued become one
transaction; what can't be written stays queued, and is read from there. What exceeds the queue's bound is compressed,
which leaves audio out; it is asked for again later.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

from edged.config.settings import SpoolSettings
from edged.model.errors import EdgedError
from edged.spool.capture_time import later
from edged.spool.commands import (
    BeginRun,
    Command,
    CommitRecord,
    LoadAudio,
    PutAnchor,
    PutAudio,
    PutBoot,
    PutSegment,
    WriteCommand,
    carried_out,
    compressed,
    joined,
    size_bytes,
    unanswered,
)
from edged.spool.database import SpoolDatabaseError
from edged.spool.database_health import DatabaseHealth
from edged.spool.maintenance import MB, Maintenance, gather_s
from edged.spool.model import RecordCommitted, SpoolEvent

QUEUE_BYTES: Final = 4 << 20
"""Two minutes of speech: cards stall for seconds, rarely for a minute."""


class SpoolUnreadableError(EdgedError):
    """What is asked for may lie in a database that can't be read now: try again later."""


class SpoolWorker:
    """`put`, `gather`, `stop`, `ended`, `all_moved`, `stored_to` are for any thread; the rest is the worker's own."""

    def __init__(self, settings: SpoolSettings, keeper: DatabaseHealth, tell: Callable[[SpoolEvent], None]) -> None:
        self._settings = settings
        self._keeper = keeper
        self._pair = keeper.pair
        self._tell = tell
        self.chores = Maintenance(settings, keeper, tell)
        self.ended = threading.Event()
        self.all_moved = False
        """At the end: nothing that is to outlive the boot is left in memory."""
        self.stored_to = 0
        """Of the living run's audio, what lies before this is stored, or answered."""
        self._ready = threading.Condition()
        self._queue: deque[Command] = deque()
        self._queued_bytes = 0
        self._due_s = inf
        """When the queue is to be worked off."""
        self._asked = False
        """A `Load` is in it, which can be answered while nothing can be written."""
        self._gather_s = 0.0
        """How long new audio waits for company: not at all while nothing else would outlive the process."""
        self._stop_by_s: float | None = None

    def gather(self) -> None:
        """See `Spool.gather`."""
        self._gather_s = gather_s(self._settings)

    def put(self, order: Command) -> None:
        """Have it done; new audio soon, all else (and the audio before it) at once. Never blocks."""
        gathered = isinstance(order, PutAudio | PutSegment | PutAnchor)
        due_s = self._keeper.clock() + (self._gather_s if gathered else 0.0)
        with self._ready:
            self._queue.append(order)
            self._queued_bytes += size_bytes(order)
            self._asked = self._asked or isinstance(order, LoadAudio)
            if due_s < self._due_s or self._queued_bytes > QUEUE_BYTES:
                self._due_s = min(due_s, self._due_s)
                self._ready.notify()

    def stop(self, timeout_s: float) -> None:
        """Work off the queue, move everything to the disk, and end, within `timeout_s` if the disks allow it."""
        with self._ready:
            self._stop_by_s = self._keeper.clock() + timeout_s
            self._ready.notify()

    def run(self) -> None:
        """Until it is stopped. Raises for mistakes of ours only."""
        try:
            if self._pair.memory:
                self.chores.after_writes(self._keeper.clock())
            while self._stop_by_s is None:
                self.serve(self._next(), self._keeper.clock())
                self.chores.run(self._keeper.clock())
                self._keeper.ask_again()
            try:
                self.serve(self._next(), self._keeper.clock())
            finally:
                self.all_moved = self.chores.move_all(self._stop_by_s)
        finally:
            self._keeper.close()
            self.ended.set()

    def _next(self) -> list[Command]:
        """What is queued; waits for that, or until a chore is due."""
        with self._ready:
            while self._stop_by_s is None:
                now_s = self._keeper.clock()
                blocked = self._pair.memory is None and not self._asked
                blocked_to_s = self._keeper.retry_s("runtime") if blocked else -inf
                work_s = max(self._due_s, blocked_to_s) if self._queue else inf
                if work_s <= now_s:
                    break
                if self._queued_bytes > QUEUE_BYTES:
                    self._compress()
                due_s = min(work_s, inf if self.chores.due_s is None else self.chores.due_s)
                if due_s <= now_s:
                    return []
                self._ready.wait(None if due_s == inf else due_s - now_s)
            orders = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            self._due_s, self._asked = inf, False
            return orders

    def _compress(self) -> None:
        writes: list[WriteCommand] = []
        for order in self._queue:
            if isinstance(order, LoadAudio):
                order.tell(SpoolUnreadableError("the spool can't be read now"))
            else:
                writes.append(order)
        self._queue = deque(compressed(writes, self._pair.dropped))
        self._queued_bytes = sum(map(size_bytes, self._queue))

    def serve(self, orders: Sequence[Command], now_s: float) -> None:
        """Everything that is to be written in one transaction; then what is to be read."""
        told = [order for order in orders if not isinstance(order, LoadAudio)]
        writes = joined(unanswered(told))
        stored = not writes or self._write(writes, now_s)
        run = self._pair.run
        ends = [order.end for order in told if isinstance(order, PutAudio) and run and order.run == run.run]
        if stored and ends and not self._pair.full:
            self.stored_to = max(self.stored_to, *ends)
        for order in orders:
            if isinstance(order, CommitRecord):
                self._tell(RecordCommitted(order.record, durable=stored))
            elif isinstance(order, LoadAudio):
                order.tell(self._load(order, () if stored else writes))
        if not stored:
            with self._ready:
                self._queue.extendleft(reversed(writes))
                self._queued_bytes += sum(map(size_bytes, writes))
                self._due_s = now_s

    def _write(self, writes: Sequence[WriteCommand], now_s: float) -> bool:
        pair, keeper = self._pair, self._keeper
        for order in writes:
            if isinstance(order, PutBoot | PutSegment | PutAnchor) or (isinstance(order, BeginRun) and order.live):
                keeper.introductions[type(order).__name__] = order
            if isinstance(order, PutBoot):
                keeper.here = later(keeper.here, order.boot)
        if not keeper.available("runtime", now_s):
            return False
        try:
            pair.full = not pair.disk and pair.runtime.database.used_bytes() > self._settings.runtime_max_mb * MB
            with pair.runtime.transaction():
                for order in writes:
                    order.apply(pair, now_s)
            pair.begun()
            keeper.works("runtime")
            self.chores.after_writes(now_s)
        except SpoolDatabaseError as error:
            keeper.failed(error)
            return False
        finally:
            if pair.failed:
                disk_error, pair.failed = pair.failed, None
                keeper.failed(disk_error)
        return True

    def _load(self, load: LoadAudio, unwritten: Iterable[WriteCommand]) -> list[tuple[int, bytes]] | Exception:
        pair, memory = self._pair, self._keeper.readable("runtime")
        elsewhere = pair.disk is None and pair.may_be_on_disk(load.run)
        left_out = pair.memory is None and pair.dropped[load.run].overlaps(load.start, load.end)
        if memory is None or elsewhere or left_out:
            return SpoolUnreadableError("the spool can't be read now")
        try:
            return carried_out(unwritten, pair.load(load.run, load.start, load.end, memory), load)
        except SpoolDatabaseError as error:
            self._keeper.failed(error)
            return SpoolUnreadableError(str(error))
