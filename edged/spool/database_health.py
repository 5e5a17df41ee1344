"""Keeps the two databases usable: opens them, sets damaged ones aside, counts failures, tries again."""

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
from edged.spool.recovery import recovered, resolve
from edged.spool.store import Store
from edged.spool.tiered_store import TieredStore

WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Between tries of a database that fails; the last repeats. Sooner gains nothing, later loses trust."""


@dataclass
class _DatabaseState:
    failures: int = 0
    retry_s: float = 0.0
    store: Store | None = None
    """Kept while it fails: most failures leave the connection whole."""


class DatabaseHealth:
    """One thread at a time. `pair` has what can be used now."""

    def __init__(
        self,
        paths: SpoolPaths,
        sinks: Sequence[str],
        tell: Callable[[SpoolEvent], None],
        clock: Callable[[], float] = boottime_s,
    ) -> None:
        self.clock = clock
        self.pair = TieredStore()
        self.here = Boot("", 0.0, False)
        """This boot; known after `start`, and the worker keeps it up to date."""
        self.introductions: dict[str, WriteCommand] = {}
        """What a new runtime database has to be told: the run, its boot, a recent anchor, the open segment."""
        self._paths = paths
        self._sinks = tuple(sinks)
        self._tell = tell
        self._locks = DirectoryLocks()
        self._health: dict[Tier, _DatabaseState] = {"runtime": _DatabaseState(), "disk": _DatabaseState()}
        self._unseen: set[Tier] = {"runtime", "disk"}
        """What lies there from before is not known yet."""

    def start(self, here: Callable[[], Boot]) -> RecoveredState:
        """Lock and open what can be; make one of it. `here` is asked when the directories are there.

        Raises ConfigurationError if only people can help.
        """
        now_s = self.clock()
        try:
            for where in ("disk", "runtime"):
                self._open(where, now_s)
            self.here = here()
        except ConfigurationError:
            self.close()
            raise
        nothing = RecoveredState(self.here.boot_id, (), (), (), 0, {}, {self.here.boot_id: self.here})
        return self._look(now_s) or nothing

    def available(self, where: Tier, now_s: float, *, at_once: bool = False) -> bool:
        """Whether it can be used; tries again what failed, when it is time for that or `at_once`."""
        store = self._health[where].store
        if store and not store.database.file_is_in_place and (at_once or now_s >= self._health[where].retry_s):
            self._make_again(store, now_s)
        if self._usable(where):
            return True
        if now_s < self._health[where].retry_s and not at_once:
            return False
        try:
            return self._again(where, now_s)
        except ConfigurationError as error:
            self._count(where, str(error), now_s)
            return False

    def retry_s(self, where: Tier) -> float:
        """When the next try is, if it fails."""
        return self._health[where].retry_s

    def failing(self, where: Tier) -> bool:
        """From its first failure until it has done something again."""
        return self._health[where].failures > 0

    def failed(self, error: SpoolDatabaseError) -> None:
        """It could not do something: set it aside if it is damaged, else try again later."""
        store, now_s = error.database, self.clock()
        where = store.tier
        self._lose(where)
        if not error.is_damage:
            self._count(where, str(error), now_s)
            return
        store.close()
        self._health[where].store = None
        try:
            self._tell(DatabaseReplaced(where, schema.set_aside(store.path), str(error)))
            if self._open(where, now_s) and self.pair.run:
                self.pair.dropped[self.pair.run.run].add(0, MAX_POSITION)
        except (OSError, ConfigurationError) as again:
            self._count(where, explain(again), now_s)

    def readable(self, where: Tier) -> Store | None:
        """It, or None while not even reading can be tried: what is full can still be read."""
        return self._health[where].store

    def works(self, where: Tier) -> None:
        """It did something; what was deleted does not work, though it can be written."""
        store = self._health[where].store
        if self.failing(where) and store and store.database.file_is_in_place:
            self._health[where].failures = 0
            self._tell(DatabaseWorking(where))

    def ask_again(self) -> None:
        """For audio that could not be stored."""
        pair = self.pair
        if pair.full or not pair.dropped or pair.memory is None or self.failing("runtime"):
            return
        dropped, pair.dropped = pair.dropped, defaultdict(Ranges)
        for run, ranges in dropped.items():
            if ranges:
                self._tell(AudioRequested(run, tuple(ranges)))

    def close(self) -> None:
        """Let go of everything."""
        for health in self._health.values():
            if health.store:
                health.store.close()
        self.pair.memory = self.pair.disk = None
        self._locks.release()

    def _lose(self, where: Tier) -> None:
        if where == "disk":
            self.pair.disk = None
        else:
            self.pair.memory = None

    def _count(self, where: Tier, text: str, now_s: float) -> None:
        health = self._health[where]
        health.retry_s = now_s + WAITS_S[min(health.failures, len(WAITS_S) - 1)]
        health.failures += 1
        self._tell(DatabaseFailing(where, text))

    def _make_again(self, store: Store, now_s: float) -> None:
        """Its file was deleted, as by `rm -r` or a logout: it goes on in a new one, with all that it holds.

        Where that is impossible, memory is used on, since a stop moves it to the disk; a disk is not.
        """
        where = store.tier
        self._locks.let_go(where)
        try:
            self._locks.take(where, self._paths.directory(where))
            if store.path.exists():
                self._tell(
                    DatabaseReplaced(where, schema.set_aside(store.path), "it had taken the place of one in use")
                )
            store.database.copy_to(store.path)
        except (OSError, sqlite3.Error, ConfigurationError) as error:
            if where == "disk":
                self._lose(where)
            self._count(where, f"{store.path} was deleted, and can't be made again: {explain(error)}", now_s)
            return
        self._lose(where)
        store.close()
        self._health[where].store = None
        if self._open(where, now_s):
            self._tell(FilesRecreated(where, store.path))
            self.works(where)

    def _open(self, where: Tier, now_s: float) -> bool:
        """Raises ConfigurationError if only people can help."""
        try:
            self._locks.take(where, self._paths.directory(where))
            store, event = open_store(where, self._paths.database(where))
        except (OSError, sqlite3.Error) as error:
            self._count(where, f"{self._paths.database(where)}: {explain(error)}", now_s)
            return False
        if event:
            self._tell(event)
        if store.database.repaired_rows:
            self._tell(RowsRepaired(where, store.database.repaired_rows))
        self._health[where].store = store
        try:
            self._use(store)
        except SpoolDatabaseError as error:
            self._lose(where)
            self._count(where, str(error), now_s)
            return False
        return True

    def _use(self, store: Store) -> None:
        store.database.detect_foreign_writes()  # from now on
        if store.tier == "disk":
            self.pair.use_disk(store)
            return
        self.pair.memory = store
        if self.introductions:
            with store.transaction():
                for order in self.introductions.values():
                    order.apply(self.pair, self.clock())

    def _again(self, where: Tier, now_s: float) -> bool:
        store = self._health[where].store
        if store and not store.database.file_is_in_place:
            return False  # what is written to it would be lost
        try:
            if store:
                store.database.probe()
                self._use(store)
            elif not self._open(where, now_s):
                return False
        except SpoolDatabaseError as error:
            self.failed(error)
            return False
        if self.pair.memory and (found := self._look(now_s)):
            self._tell(BacklogFound(found))
        return self._usable(where)

    def _usable(self, where: Tier) -> bool:
        return any(store.tier == where for store in self.pair.stores)

    def _look(self, now_s: float) -> RecoveredState | None:
        """Make one of what can be used; returns what was not seen of it before, if anything could be looked at."""
        run = self.pair.run
        while unseen := [store for store in self.pair.stores if store.tier in self._unseen]:
            try:
                resolve(self.pair.stores, alive=run.run if run else None)
                found = recovered(unseen, self._sinks, self.here, now_s)
            except SpoolDatabaseError as error:  # one less to use, or a new one in its place
                self.failed(error)
            else:
                self._unseen -= {store.tier for store in unseen}
                return found
        return None
