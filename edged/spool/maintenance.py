"""What the spool's thread does beside its orders, each thing when it is due: move, truncate, prune, evict, count."""

from collections.abc import Callable
from typing import Final

from edged.config.settings import SpoolSettings
from edged.model.audio import BYTES_PER_SAMPLE
from edged.spool.capture_time import age_s
from edged.spool.database import SpoolDatabaseError
from edged.spool.database_health import DatabaseHealth
from edged.spool.model import SpeechEvicted, SpoolCounters, SpoolEvent, Tier
from edged.spool.recovery import known_boots, line_of

TRUNCATE_S: Final[dict[Tier, float]] = {"runtime": 2.0, "disk": 5.0}
"""How long copies of answered audio may stay in a log. On disk each time costs two syncs."""

LOG_BYTES: Final[dict[Tier, int]] = {"runtime": 1 << 20, "disk": 4 << 20}
"""A longer log is brought into its file, whether something was deleted or not."""

PRUNE_S: Final = 60.0

KEEP_S: Final = 3600.0
"""Delivered records stay for an hour: journald may write 5 minutes later what it took."""

KEEP_BYTES: Final = 4_000_000
"""Of their texts, in each database: what is said in four hours without a pause. Beyond it the oldest goes sooner."""

EVICTIONS: Final = 64
"""Steps at a time: half an hour of speech."""

SHRINK_PAGES: Final = 1024
"""At a time: 4 MB."""

LOOK_S: Final = 1.0
"""So long after a change it is looked for what there is to do: a record is followed by the marks of its delivery."""

GATHER_S: Final = 6.0
"""New audio is stored together with what follows: one transaction instead of sixty; and most of it is answered before,
and never stored. Until then the ring holds it, which is five times as long."""

HOUR_S: Final = 3600.0
MB: Final = 1_000_000


def gather_s(settings: SpoolSettings) -> float:
    """How long new audio waits before it is stored. With `durability = "power"` nothing waits."""
    return min(GATHER_S, settings.to_disk_s / 2) if settings.durability == "process" else 0.0


class Maintenance:
    """`due_s` says when `run` wants to be called."""

    def __init__(self, settings: SpoolSettings, keeper: DatabaseHealth, tell: Callable[[SpoolEvent], None]) -> None:
        self._settings = settings
        self._keeper = keeper
        self._pair = keeper.pair
        self._tell = tell
        self._due: dict[Callable[[float], None], float] = {}
        self._to_disk_s = settings.to_disk_s - gather_s(settings)
        """Counted from when it is stored."""
        self._look_s = min(LOOK_S, settings.sync_s / 2)
        self.counters = SpoolCounters()

    @property
    def due_s(self) -> float | None:
        """Boot time; None if nothing is to be done."""
        return min(self._due.values(), default=None)

    def after_writes(self, now_s: float) -> None:
        """Something has changed."""
        self._plan(self._look, now_s + self._look_s)

    def _look(self, now_s: float) -> None:
        """What is to be done, and when."""
        settings, pair = self._settings, self._pair
        self._plan(self._prune, now_s + PRUNE_S)
        if settings.durability == "power" or pair.indebted or self._too_much():
            self._plan(self._move, now_s + settings.sync_s - self._look_s)
        elif pair.memory and (first_s := pair.memory.first_stored_s()) is not None:
            self._plan(self._move, max(now_s + settings.sync_s, first_s + self._to_disk_s))
        for store in pair.stores:
            store.database.detect_foreign_writes()
            truncate = self._truncate_runtime if store.tier == "runtime" else self._truncate_disk
            if store.database.log_bytes() > LOG_BYTES[store.tier]:
                self._plan(truncate, now_s)
            elif store.database.has_deleted_content:
                self._plan(truncate, now_s + TRUNCATE_S[store.tier])
        self.counters = count(self._keeper, now_s)

    def run(self, now_s: float) -> None:
        """Do what is due. What fails is told, and tried again."""
        for chore in [chore for chore, due_s in self._due.items() if due_s <= now_s]:
            del self._due[chore]
            try:
                chore(now_s)
            except SpoolDatabaseError as error:
                self._keeper.failed(error)
        if self._pair.disk is None:
            self._plan(self._move, self._keeper.retry_s("disk"))

    def move_all(self, until_s: float) -> bool:
        """At a stop: everything to the disk, then nothing in the logs.

        Returns whether nothing is left in memory that is to outlive the boot.
        """
        pair = self._pair
        while self._keeper.clock() < until_s:
            try:
                more = self._move_some()
                if not more:
                    for store in pair.stores:
                        store.database.truncate_log()
                    return pair.memory is not None and pair.memory.first_stored_s() is None
            except SpoolDatabaseError as error:
                self._keeper.failed(error)
                if not error.is_damage:  # what was damaged is a new one now
                    break
        return False

    def _move_some(self) -> bool:
        """Returns whether there is more that can be moved."""
        inf, now_s = float("inf"), self._keeper.clock()
        if self._pair.memory is None or not self._keeper.available("disk", now_s, at_once=True):
            return False
        return self._pair.move(now_s, audio_before_s=inf, records_before_s=inf, all_records=True)

    def _plan(self, chore: Callable[[float], None], due_s: float) -> None:
        self._due[chore] = min(due_s, self._due.get(chore, due_s))

    def _too_much(self) -> bool:
        """The runtime database takes more than it may, the log included that a move makes."""
        bound = self._settings.runtime_max_mb * MB - LOG_BYTES["runtime"]
        return self._pair.memory is not None and self._pair.memory.database.used_bytes() > max(bound, MB / 2)

    def _move(self, now_s: float) -> None:
        settings, pair = self._settings, self._pair
        if not self._keeper.available("disk", now_s) or pair.memory is None:
            return
        everything = settings.durability == "power"
        before_s = now_s if everything else now_s - self._to_disk_s
        more = pair.move(
            now_s,
            audio_before_s=now_s if self._too_much() else before_s,
            records_before_s=before_s,
            all_records=everything,
        )
        self._keeper.works("disk")
        evicted = self._evict(lambda: pair.evict_size(settings.max_mb * MB))
        if more or evicted:
            self._plan(self._move, now_s)
        self.after_writes(now_s)

    def _evict(self, step: Callable[[], list[SpeechEvicted]]) -> bool:
        """Returns whether there may be more to evict."""
        for _ in range(EVICTIONS):
            evicted = step()
            if not evicted:
                return False
            for event in evicted:
                self._tell(event)
        return True

    def _prune(self, now_s: float) -> None:
        pair, here = self._pair, self._keeper.here
        self._move(now_s)
        if self._evict(lambda: pair.evict_age(self._settings.max_age_h * HOUR_S, here, now_s)):
            self._plan(self._prune, now_s)
        pair.prune(here.boot_id, KEEP_S, KEEP_BYTES, now_s)
        busy = any(store.audio.samples_by_run or store.outbox.has_entries() for store in pair.stores)
        for store in pair.stores:
            store.database.shrink(SHRINK_PAGES)
        self._look(now_s)
        if not busy:
            self._due.pop(self._prune, None)

    def _truncate_runtime(self, now_s: float) -> None:
        if self._pair.memory and not self._pair.memory.database.truncate_log():
            self._plan(self._truncate_runtime, now_s + TRUNCATE_S["runtime"])

    def _truncate_disk(self, now_s: float) -> None:
        if self._pair.disk and not self._pair.disk.database.truncate_log():
            self._plan(self._truncate_disk, now_s + TRUNCATE_S["disk"])


def count(keeper: DatabaseHealth, now_s: float) -> SpoolCounters:
    """What waits in both databases now."""
    seconds, oldest_s = 0.0, 0.0
    held = {"runtime": 0, "disk": 0}
    stores = [store for store in keeper.pair.stores if store.audio.samples_by_run]
    if not stores:
        return SpoolCounters(counted_s=now_s)
    boots = known_boots(stores, keeper.here)
    for store in stores:
        for run in store.runs.list_runs():
            first = store.audio.ranges(run.run, limit=1) if store.audio.samples_by_run[run.run] else []
            if first:
                samples = store.audio.samples_by_run[run.run]
                held[store.tier] += samples * BYTES_PER_SAMPLE
                seconds += samples / run.rate
                captured_s = line_of(run, store.runs.list_anchors(run.run)).at_s(first[0][0])
                age = age_s(captured_s, boots.get(run.boot_id), boots[keeper.here.boot_id], now_s)
                oldest_s = max(oldest_s, age)
    return SpoolCounters(seconds, held["runtime"], held["disk"], oldest_s, now_s)
