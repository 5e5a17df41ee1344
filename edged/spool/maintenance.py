"""Periodic work of the spool's thread: moving to disk, truncating logs, pruning, evicting, counting."""

from collections.abc import Callable
from typing import Final

from edged.config.settings import SpoolSettings
from edged.model.audio import BYTES_PER_SAMPLE
from edged.spool.capture_time import age_s
from edged.spool.database import SpoolDatabaseError
from edged.spool.database_health import DatabaseHealth
from edged.spool.model import SpeechEvicted, SpoolCounters, SpoolEvent, Tier
from edged.spool.stored_state import make_position_clock, read_boots

TRUNCATE_S: Final[dict[Tier, float]] = {"runtime": 2.0, "disk": 5.0}
"""Time that deleted audio may stay in a log. Each truncation on disk costs two syncs."""

LOG_BYTES: Final[dict[Tier, int]] = {"runtime": 1 << 20, "disk": 4 << 20}
"""Size above which a log is copied into its file, even if nothing was deleted."""

PRUNE_S: Final = 60.0

KEEP_DELIVERED_S: Final = 3600.0
"""Time that delivered records stay stored: journald may write 5 minutes later what it accepted."""

KEEP_DELIVERED_BYTES: Final = 4_000_000
"""Size of delivered texts per database: four hours of speech without a pause. Beyond it the oldest goes sooner."""

MAX_EVICTION_STEPS: Final = 64
"""Number of eviction steps at a time: half an hour of speech."""

SHRINK_PAGES: Final = 1024
"""Number of pages that are freed at a time: 4 MB."""

SCAN_DELAY_S: Final = 1.0
"""Delay between a change and the next scan: the marks of its delivery follow a record."""

GATHER_S: Final = 6.0
"""Time that new audio waits before it is stored: one transaction instead of sixty.

Most audio is transcribed before, and never stored. Until then the ring holds it, which is five times as long."""

HOUR_S: Final = 3600.0
MB: Final = 1_000_000


def gather_s(settings: SpoolSettings) -> float:
    """Return how long new audio waits before it is stored: not at all with `durability = "power"`."""
    return min(GATHER_S, settings.to_disk_s / 2) if settings.durability == "process" else 0.0


class Maintenance:
    """Schedule of the periodic work. Call `run_due` at `due_s`."""

    def __init__(self, settings: SpoolSettings, health: DatabaseHealth, tell: Callable[[SpoolEvent], None]) -> None:
        self._settings = settings
        self._health = health
        self._tiers = health.tiers
        self._emit = tell
        self._due_s_by_task: dict[Callable[[float], None], float] = {}
        self._to_disk_s = settings.to_disk_s - gather_s(settings)
        """Time in memory before audio moves to disk, counted from when it is stored."""
        self._scan_delay_s = min(SCAN_DELAY_S, settings.sync_s / 2)
        self.counters = SpoolCounters()

    @property
    def due_s(self) -> float | None:
        """When the next task is due, in boot time; None if nothing is to be done."""
        return min(self._due_s_by_task.values(), default=None)

    def schedule_scan(self, now_s: float) -> None:
        """Schedule a scan after a change."""
        self._schedule(self._scan, now_s + self._scan_delay_s)

    def _scan(self, now_s: float) -> None:
        """Schedule the tasks that the content of the databases requires, and count it."""
        settings, tiers = self._settings, self._tiers
        self._schedule(self._prune_due, now_s + PRUNE_S)
        if settings.durability == "power" or tiers.has_pending_disk_writes or self._runtime_exceeds_bound():
            self._schedule(self._move_due, now_s + settings.sync_s - self._scan_delay_s)
        elif tiers.runtime_or_none and (first_s := tiers.runtime_or_none.first_stored_s()) is not None:
            self._schedule(self._move_due, max(now_s + settings.sync_s, first_s + self._to_disk_s))
        for store in tiers.stores:
            store.database.detect_foreign_writes()
            truncate = self._truncate_runtime if store.tier == "runtime" else self._truncate_disk
            if store.database.log_bytes() > LOG_BYTES[store.tier]:
                self._schedule(truncate, now_s)
            elif store.database.has_deleted_content:
                self._schedule(truncate, now_s + TRUNCATE_S[store.tier])
        self.counters = count_waiting(self._health, now_s)

    def run_due(self, now_s: float) -> None:
        """Run the tasks that are due. A failure is reported, and the task runs again later."""
        for task in [task for task, due_s in self._due_s_by_task.items() if due_s <= now_s]:
            del self._due_s_by_task[task]
            try:
                task(now_s)
            except SpoolDatabaseError as error:
                self._health.note_failure(error)
        if self._tiers.disk is None:
            self._schedule(self._move_due, self._health.next_retry_s("disk"))

    def move_all(self, until_s: float) -> bool:
        """Move everything to disk and truncate the logs, at a stop.

        Returns whether nothing is left in memory that has to outlive the boot.
        """
        tiers = self._tiers
        while self._health.clock() < until_s:
            try:
                more = self._move_some()
                if not more:
                    for store in tiers.stores:
                        store.database.truncate_log()
                    return tiers.runtime_or_none is not None and tiers.runtime_or_none.first_stored_s() is None
            except SpoolDatabaseError as error:
                self._health.note_failure(error)
                if not error.is_damage:  # a damaged database has been replaced
                    break
        return False

    def _move_some(self) -> bool:
        """Move some audio and records to disk; returns whether there may be more."""
        inf, now_s = float("inf"), self._health.clock()
        if self._tiers.runtime_or_none is None or not self._health.ensure_available("disk", now_s, at_once=True):
            return False
        return self._tiers.move_to_disk(now_s, audio_before_s=inf, records_before_s=inf, all_records=True)

    def _schedule(self, task: Callable[[float], None], due_s: float) -> None:
        self._due_s_by_task[task] = min(due_s, self._due_s_by_task.get(task, due_s))

    def _runtime_exceeds_bound(self) -> bool:
        """Return whether the runtime database exceeds its bound, including the log that a move writes."""
        bound = self._settings.runtime_max_mb * MB - LOG_BYTES["runtime"]
        return self._tiers.runtime_or_none is not None and self._tiers.runtime_or_none.database.used_bytes() > max(
            bound, MB / 2
        )

    def _move_due(self, now_s: float) -> None:
        settings, tiers = self._settings, self._tiers
        if not self._health.ensure_available("disk", now_s) or tiers.runtime_or_none is None:
            return
        everything = settings.durability == "power"
        before_s = now_s if everything else now_s - self._to_disk_s
        more = tiers.move_to_disk(
            now_s,
            audio_before_s=now_s if self._runtime_exceeds_bound() else before_s,
            records_before_s=before_s,
            all_records=everything,
        )
        self._health.note_success("disk")
        evicted = self._evict_all(lambda: tiers.evict_by_size(settings.max_mb * MB))
        if more or evicted:
            self._schedule(self._move_due, now_s)
        self.schedule_scan(now_s)

    def _evict_all(self, step: Callable[[], list[SpeechEvicted]]) -> bool:
        """Evict step by step; returns whether there may be more to evict."""
        for _ in range(MAX_EVICTION_STEPS):
            evicted = step()
            if not evicted:
                return False
            for event in evicted:
                self._emit(event)
        return True

    def _prune_due(self, now_s: float) -> None:
        tiers, this_boot = self._tiers, self._health.this_boot
        self._move_due(now_s)
        if self._evict_all(lambda: tiers.evict_by_age(self._settings.max_age_h * HOUR_S, this_boot, now_s)):
            self._schedule(self._prune_due, now_s)
        tiers.prune(this_boot.boot_id, KEEP_DELIVERED_S, KEEP_DELIVERED_BYTES, now_s)
        busy = any(store.audio.samples_by_run or store.outbox.has_entries() for store in tiers.stores)
        for store in tiers.stores:
            store.database.shrink(SHRINK_PAGES)
        self._scan(now_s)
        if not busy:
            self._due_s_by_task.pop(self._prune_due, None)

    def _truncate_runtime(self, now_s: float) -> None:
        if self._tiers.runtime_or_none and not self._tiers.runtime_or_none.database.truncate_log():
            self._schedule(self._truncate_runtime, now_s + TRUNCATE_S["runtime"])

    def _truncate_disk(self, now_s: float) -> None:
        if self._tiers.disk and not self._tiers.disk.database.truncate_log():
            self._schedule(self._truncate_disk, now_s + TRUNCATE_S["disk"])


def count_waiting(health: DatabaseHealth, now_s: float) -> SpoolCounters:
    """Return how much audio without a transcript both databases hold."""
    seconds, oldest_s = 0.0, 0.0
    held = {"runtime": 0, "disk": 0}
    stores = [store for store in health.tiers.stores if store.audio.samples_by_run]
    if not stores:
        return SpoolCounters(counted_s=now_s)
    boots = read_boots(stores, health.this_boot)
    for store in stores:
        for run in store.runs.list_runs():
            first = store.audio.ranges(run.run, limit=1) if store.audio.samples_by_run[run.run] else []
            if first:
                samples = store.audio.samples_by_run[run.run]
                held[store.tier] += samples * BYTES_PER_SAMPLE
                seconds += samples / run.rate
                captured_s = make_position_clock(run, store.runs.list_anchors(run.run)).at_s(first[0][0])
                age = age_s(captured_s, boots.get(run.boot_id), boots[health.this_boot.boot_id], now_s)
                oldest_s = max(oldest_s, age)
    return SpoolCounters(seconds, held["runtime"], held["disk"], oldest_s, now_s)
