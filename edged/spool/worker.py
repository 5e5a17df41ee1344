"""The thread that owns the databases: processes a queue of commands, and runs the maintenance in between.

The event loop never waits for it: results are events. All queued commands become one transaction. Commands that can't
be written stay queued, and audio is read from there. A queue that exceeds its bound is compacted: it loses its audio,
which is requested again later.
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
    apply_to_pieces,
    command_bytes,
    compact,
    drop_released_audio,
    join_adjacent_audio,
)
from edged.spool.database import SpoolDatabaseError
from edged.spool.database_health import DatabaseHealth
from edged.spool.maintenance import MB, Maintenance, gather_s
from edged.spool.model import RecordCommitted, SpoolEvent

QUEUE_BYTES: Final = 4 << 20
"""Bound of the queue: two minutes of speech. SD cards stall for seconds, rarely for a minute."""


class SpoolUnreadableError(EdgedError):
    """The audio may lie in a database that can't be read now. Another try later may succeed."""


class SpoolWorker:
    """Processes commands in a thread of its own.

    Any thread may use `put`, `start_gathering`, `stop`, `ended`, `all_moved` and `stored_until`."""

    def __init__(self, settings: SpoolSettings, health: DatabaseHealth, tell: Callable[[SpoolEvent], None]) -> None:
        self._settings = settings
        self._health = health
        self._tiers = health.tiers
        self._emit = tell
        self.maintenance = Maintenance(settings, health, tell)
        self.ended = threading.Event()
        self.all_moved = False
        """Whether the stop left nothing in memory that has to outlive the boot."""
        self.stored_until = 0
        """Position of the live run before which all audio is stored or released."""
        self._ready = threading.Condition()
        self._queue: deque[Command] = deque()
        self._queued_bytes = 0
        self._process_at_s = inf
        """When the queue is to be processed."""
        self._has_load = False
        """Whether the queue holds a LoadAudio, which can succeed while nothing can be written."""
        self._gather_s = 0.0
        """Time that new audio waits before it is stored: none while no ring holds it."""
        self._stop_by_s: float | None = None

    def start_gathering(self) -> None:
        """Store new audio together with what follows, from now on, since a ring holds it until then."""
        self._gather_s = gather_s(self._settings)

    def put(self, command: Command) -> None:
        """Queue a command. New audio may wait; any other command is processed at once. Never blocks."""
        gathered = isinstance(command, PutAudio | PutSegment | PutAnchor)
        due_s = self._health.clock() + (self._gather_s if gathered else 0.0)
        with self._ready:
            self._queue.append(command)
            self._queued_bytes += command_bytes(command)
            self._has_load = self._has_load or isinstance(command, LoadAudio)
            if due_s < self._process_at_s or self._queued_bytes > QUEUE_BYTES:
                self._process_at_s = min(due_s, self._process_at_s)
                self._ready.notify()

    def stop(self, timeout_s: float) -> None:
        """Have the thread process the queue, move everything to disk, and end within `timeout_s` if possible."""
        with self._ready:
            self._stop_by_s = self._health.clock() + timeout_s
            self._ready.notify()

    def run(self) -> None:
        """Run until `stop`. Raises only for mistakes in our code."""
        try:
            if self._tiers.runtime_or_none:
                self.maintenance.schedule_scan(self._health.clock())
            while self._stop_by_s is None:
                self.process(self._take_commands(), self._health.clock())
                self.maintenance.run_due(self._health.clock())
                self._health.request_dropped_audio()
            try:
                self.process(self._take_commands(), self._health.clock())
            finally:
                self.all_moved = self.maintenance.move_all(self._stop_by_s)
        finally:
            self._health.close()
            self.ended.set()

    def _take_commands(self) -> list[Command]:
        """Wait for commands, or until maintenance is due, and return the queued commands."""
        with self._ready:
            while self._stop_by_s is None:
                now_s = self._health.clock()
                blocked = self._tiers.runtime_or_none is None and not self._has_load
                blocked_to_s = self._health.next_retry_s("runtime") if blocked else -inf
                work_s = max(self._process_at_s, blocked_to_s) if self._queue else inf
                if work_s <= now_s:
                    break
                if self._queued_bytes > QUEUE_BYTES:
                    self._compact_queue()
                due_s = min(work_s, inf if self.maintenance.due_s is None else self.maintenance.due_s)
                if due_s <= now_s:
                    return []
                self._ready.wait(None if due_s == inf else due_s - now_s)
            commands = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            self._process_at_s, self._has_load = inf, False
            return commands

    def _compact_queue(self) -> None:
        writes: list[WriteCommand] = []
        for command in self._queue:
            if isinstance(command, LoadAudio):
                command.reply(SpoolUnreadableError("the spool can't be read now"))
            else:
                writes.append(command)
        self._queue = deque(compact(writes, self._tiers.dropped_audio))
        self._queued_bytes = sum(map(command_bytes, self._queue))

    def process(self, commands: Sequence[Command], now_s: float) -> None:
        """Apply all writing commands in one transaction, then answer the reading ones."""
        write_commands = [command for command in commands if not isinstance(command, LoadAudio)]
        writes = join_adjacent_audio(drop_released_audio(write_commands))
        stored = not writes or self._write(writes, now_s)
        run = self._tiers.run
        ends = [
            command.end
            for command in write_commands
            if isinstance(command, PutAudio) and run and command.run == run.run
        ]
        if stored and ends and not self._tiers.is_full:
            self.stored_until = max(self.stored_until, *ends)
        for command in commands:
            if isinstance(command, CommitRecord):
                self._emit(RecordCommitted(command.record, durable=stored))
            elif isinstance(command, LoadAudio):
                command.reply(self._load(command, () if stored else writes))
        if not stored:
            with self._ready:
                self._queue.extendleft(reversed(writes))
                self._queued_bytes += sum(map(command_bytes, writes))
                self._process_at_s = now_s

    def _write(self, writes: Sequence[WriteCommand], now_s: float) -> bool:
        tiers, health = self._tiers, self._health
        for command in writes:
            if isinstance(command, PutBoot | PutSegment | PutAnchor) or (
                isinstance(command, BeginRun) and command.live
            ):
                health.run_context[type(command).__name__] = command
            if isinstance(command, PutBoot):
                health.this_boot = later(health.this_boot, command.boot)
        if not health.ensure_available("runtime", now_s):
            return False
        try:
            tiers.is_full = not tiers.disk and tiers.runtime.database.used_bytes() > self._settings.runtime_max_mb * MB
            with tiers.runtime.transaction():
                for command in writes:
                    command.apply(tiers, now_s)
            tiers.note_commit()
            health.note_success("runtime")
            self.maintenance.schedule_scan(now_s)
        except SpoolDatabaseError as error:
            health.note_failure(error)
            return False
        finally:
            if tiers.disk_error:
                disk_error, tiers.disk_error = tiers.disk_error, None
                health.note_failure(disk_error)
        return True

    def _load(self, load: LoadAudio, unwritten: Iterable[WriteCommand]) -> list[tuple[int, bytes]] | Exception:
        tiers, runtime_or_none = self._tiers, self._health.readable_store("runtime")
        elsewhere = tiers.disk is None and tiers.may_be_on_disk(load.run)
        left_out = tiers.runtime_or_none is None and tiers.dropped_audio[load.run].overlaps(load.start, load.end)
        if runtime_or_none is None or elsewhere or left_out:
            return SpoolUnreadableError("the spool can't be read now")
        try:
            return apply_to_pieces(unwritten, tiers.load_audio(load.run, load.start, load.end, runtime_or_none), load)
        except SpoolDatabaseError as error:
            self._health.note_failure(error)
            return SpoolUnreadableError(str(error))
