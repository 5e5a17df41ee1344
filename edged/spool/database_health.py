"""Keeps both databases usable: opens them, replaces damaged files, and tries again after failures."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edged.model.errors import ConfigurationError
from edged.model.ranges import Ranges
from edged.service.clock import boottime_s
from edged.spool import schema
from edged.spool.capture_time import Boot
from edged.spool.commands import WriteCommand
from edged.spool.consolidation import consolidate
from edged.spool.database import SpoolDatabaseError, explain
from edged.spool.directories import DirectoryLocks, SpoolPaths, open_store
from edged.spool.model import (
    MAX_POSITION,
    AudioRequested,
    BacklogFound,
    DatabaseFailing,
    DatabaseReplaced,
    DatabaseWorking,
    FilesRecreated,
    RecoveredState,
    RowsRepaired,
    SpoolEvent,
    Tier,
)
from edged.spool.store import Store
from edged.spool.stored_state import read_recovered_state
from edged.spool.tiered_store import TieredStore

RETRY_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Delays between tries of a failing database; the last one repeats."""


@dataclass
class _DatabaseState:
    """Failures of one database and its store."""

    failures: int = 0
    retry_s: float = 0.0
    store: Store | None = None
    """The open store; kept while the database fails, since most failures leave the connection usable."""


class DatabaseHealth:
    """Opens, watches and reopens the databases of both tiers. `tiers` has the stores that can be used now.

    Not thread-safe."""

    def __init__(
        self,
        paths: SpoolPaths,
        sinks: Sequence[str],
        tell: Callable[[SpoolEvent], None],
        clock: Callable[[], float] = boottime_s,
    ) -> None:
        self.clock = clock
        self.tiers = TieredStore()
        self.this_boot = Boot("", 0.0, False)
        """This boot and its clock offset; known after `start`, and kept up to date by the worker."""
        self.run_context: dict[str, WriteCommand] = {}
        """Commands to repeat in a new runtime database: the run, its boot, a recent anchor, the last segment."""
        self._paths = paths
        self._sinks = tuple(sinks)
        self._emit = tell
        self._locks = DirectoryLocks()
        self._states: dict[Tier, _DatabaseState] = {"runtime": _DatabaseState(), "disk": _DatabaseState()}
        self._unrecovered: set[Tier] = {"runtime", "disk"}
        """Tiers whose content from before the start was not read yet."""

    def start(self, this_boot: Callable[[], Boot]) -> RecoveredState:
        """Lock and open both databases, make them consistent, and return what they hold.

        `this_boot` is called once the directories exist. Raises ConfigurationError if only the user can help.
        """
        now_s = self.clock()
        try:
            for tier in ("disk", "runtime"):
                self._open(tier, now_s)
            self.this_boot = this_boot()
        except ConfigurationError:
            self.close()
            raise
        nothing = RecoveredState(self.this_boot.boot_id, (), (), (), 0, {}, {self.this_boot.boot_id: self.this_boot})
        return self._recover(now_s) or nothing

    def ensure_available(self, tier: Tier, now_s: float, *, at_once: bool = False) -> bool:
        """Return whether a database can be used. Retries a failed one if its delay is over or `at_once` is set."""
        store = self._states[tier].store
        if store and not store.database.file_is_in_place and (at_once or now_s >= self._states[tier].retry_s):
            self._recreate_files(store, now_s)
        if self._is_usable(tier):
            return True
        if now_s < self._states[tier].retry_s and not at_once:
            return False
        try:
            return self._retry(tier, now_s)
        except ConfigurationError as error:
            self._schedule_retry(tier, str(error), now_s)
            return False

    def next_retry_s(self, tier: Tier) -> float:
        """Return when a failing database is tried again."""
        return self._states[tier].retry_s

    def is_failing(self, tier: Tier) -> bool:
        """Return whether a database has failed and not yet succeeded again."""
        return self._states[tier].failures > 0

    def note_failure(self, error: SpoolDatabaseError) -> None:
        """Record a failure: replace a damaged file at once, and otherwise schedule another try."""
        store, now_s = error.database, self.clock()
        tier = store.tier
        self._stop_using(tier)
        if not error.is_damage:
            self._schedule_retry(tier, str(error), now_s)
            return
        store.close()
        self._states[tier].store = None
        try:
            self._emit(DatabaseReplaced(tier, schema.rename_damaged(store.path), str(error)))
            if self._open(tier, now_s) and self.tiers.run:
                self.tiers.dropped_audio[self.tiers.run.run].add(0, MAX_POSITION)
        except (OSError, ConfigurationError) as second_error:
            self._schedule_retry(tier, explain(second_error), now_s)

    def readable_store(self, tier: Tier) -> Store | None:
        """Return the open store, or None. A store that can't be written, as on a full disk, may still be readable."""
        return self._states[tier].store

    def note_success(self, tier: Tier) -> None:
        """Record a success, and report the recovery of a failing database. A deleted file does not count as working."""
        store = self._states[tier].store
        if self.is_failing(tier) and store and store.database.file_is_in_place:
            self._states[tier].failures = 0
            self._emit(DatabaseWorking(tier))

    def request_dropped_audio(self) -> None:
        """Request audio again that was not stored, once the runtime database works."""
        tiers = self.tiers
        if tiers.is_full or not tiers.dropped_audio or tiers.runtime_or_none is None or self.is_failing("runtime"):
            return
        dropped_audio, tiers.dropped_audio = tiers.dropped_audio, defaultdict(Ranges)
        for run, ranges in dropped_audio.items():
            if ranges:
                self._emit(AudioRequested(run, tuple(ranges)))

    def close(self) -> None:
        """Close both databases and release the locks."""
        for state in self._states.values():
            if state.store:
                state.store.close()
        self.tiers.runtime_or_none = self.tiers.disk = None
        self._locks.release()

    def _stop_using(self, tier: Tier) -> None:
        if tier == "disk":
            self.tiers.disk = None
        else:
            self.tiers.runtime_or_none = None

    def _schedule_retry(self, tier: Tier, text: str, now_s: float) -> None:
        state = self._states[tier]
        state.retry_s = now_s + RETRY_DELAYS_S[min(state.failures, len(RETRY_DELAYS_S) - 1)]
        state.failures += 1
        self._emit(DatabaseFailing(tier, text))

    def _recreate_files(self, store: Store, now_s: float) -> None:
        """Write a new file with the whole content of one that was deleted, as by `rm -r` or a logout.

        If that is impossible, the deleted runtime database stays in use, since a stop moves it to the disk. A deleted
        one on disk does not.
        """
        tier = store.tier
        self._locks.release_one(tier)
        try:
            self._locks.take(tier, self._paths.directory(tier))
            if store.path.exists():
                self._emit(
                    DatabaseReplaced(tier, schema.rename_damaged(store.path), "it had taken the place of one in use")
                )
            store.database.copy_to(store.path)
        except (OSError, sqlite3.Error, ConfigurationError) as error:
            if tier == "disk":
                self._stop_using(tier)
            self._schedule_retry(tier, f"{store.path} was deleted, and can't be made again: {explain(error)}", now_s)
            return
        self._stop_using(tier)
        store.close()
        self._states[tier].store = None
        if self._open(tier, now_s):
            self._emit(FilesRecreated(tier, store.path))
            self.note_success(tier)

    def _open(self, tier: Tier, now_s: float) -> bool:
        """Return whether the database could be opened. Raises ConfigurationError if only the user can help."""
        try:
            self._locks.take(tier, self._paths.directory(tier))
            store, event = open_store(tier, self._paths.database(tier))
        except (OSError, sqlite3.Error) as error:
            self._schedule_retry(tier, f"{self._paths.database(tier)}: {explain(error)}", now_s)
            return False
        if event:
            self._emit(event)
        if store.database.repaired_rows:
            self._emit(RowsRepaired(tier, store.database.repaired_rows))
        self._states[tier].store = store
        try:
            self._start_using(store)
        except SpoolDatabaseError as error:
            self._stop_using(tier)
            self._schedule_retry(tier, str(error), now_s)
            return False
        return True

    def _start_using(self, store: Store) -> None:
        store.database.detect_foreign_writes()  # writes from now on
        if store.tier == "disk":
            self.tiers.use_disk(store)
            return
        self.tiers.runtime_or_none = store
        if self.run_context:
            with store.transaction():
                for command in self.run_context.values():
                    command.apply(self.tiers, self.clock())

    def _retry(self, tier: Tier, now_s: float) -> bool:
        store = self._states[tier].store
        if store and not store.database.file_is_in_place:
            return False  # writes to a deleted file would be lost
        try:
            if store:
                store.database.probe()
                self._start_using(store)
            elif not self._open(tier, now_s):
                return False
        except SpoolDatabaseError as error:
            self.note_failure(error)
            return False
        if self.tiers.runtime_or_none and (found := self._recover(now_s)):
            self._emit(BacklogFound(found))
        return self._is_usable(tier)

    def _is_usable(self, tier: Tier) -> bool:
        return any(store.tier == tier for store in self.tiers.stores)

    def _recover(self, now_s: float) -> RecoveredState | None:
        """Make the usable stores consistent, and return the content of those that were not read before, if any."""
        run = self.tiers.run
        while unrecovered := [store for store in self.tiers.stores if store.tier in self._unrecovered]:
            try:
                consolidate(self.tiers.stores, live_run=run.run if run else None)
                found = read_recovered_state(unrecovered, self._sinks, self.this_boot, now_s)
            except SpoolDatabaseError as error:  # now there is one store less, or a new one in its place
                self.note_failure(error)
            else:
                self._unrecovered -= {store.tier for store in unrecovered}
                return found
        return None
