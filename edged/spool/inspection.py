"""Inspection of a spool beside the running daemon: its backlog, its audio as files, and deletion of old audio.

No transaction lasts longer than reading a second of audio or deleting a minute of it. So the daemon can go on writing
and truncate its log.
"""

import sqlite3
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edged.config.settings import SpoolSettings
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.errors import ConfigurationError, EdgedError
from edged.model.ranges import Range
from edged.service.clock import boottime_s, synchronization, timestamp, wall_offset_s
from edged.spool.capture_time import Boot, age_s
from edged.spool.database import SpoolDatabaseError
from edged.spool.directories import SpoolPaths, identify_boot
from edged.spool.model import RunBacklog, Tier
from edged.spool.store import Store, read_all
from edged.spool.stored_state import read_backlogs, read_boots

EXPORT_CHUNK_S: Final = 1
"""Duration of audio that is read at a time."""

DROP_CHUNK_S: Final = 60
"""Duration of audio that is deleted at a time: 2 MB."""

Progress = Callable[[float, float], None]
"""Callback that gets the seconds done and the seconds in total."""


@dataclass
class SpoolSnapshot:
    """Content of a spool at one time, with its databases open."""

    paths: SpoolPaths
    stores: list[Store]
    backlogs: list[RunBacklog]
    this_boot: Boot
    now_s: float

    def wall_s(self, backlog: RunBacklog, position: int) -> float | None:
        """Return when a sample was captured, in seconds since 1970; None if the boot's offset is unknown."""
        return backlog.clock.at_s(position) + backlog.boot.wall_offset_s if backlog.boot else None

    def age_s(self, backlog: RunBacklog, position: int) -> float:
        """Return the minimum age of a sample."""
        return age_s(backlog.clock.at_s(position), backlog.boot, self.this_boot, self.now_s)


@contextmanager
def look(settings: SpoolSettings, *, to_read: bool = True) -> Iterator[SpoolSnapshot]:
    """Open the databases that exist. Raises EdgedError if they can't be read."""
    paths = SpoolPaths.of(settings)
    this_boot = Boot(identify_boot(paths.runtime), wall_offset_s(), synchronization() == "synchronized")
    with ExitStack() as stack:
        try:
            stores = []
            for store in _stores(paths, to_read=to_read):
                stores.append(store)
                stack.callback(store.close)
            now_s, this_boot = boottime_s(), read_boots(stores, this_boot)[this_boot.boot_id]
            yield SpoolSnapshot(paths, stores, read_backlogs(stores, this_boot, now_s), this_boot, now_s)
        except (SpoolDatabaseError, sqlite3.Error) as error:
            raise EdgedError(f"the spool can't be read: {error}; are you root, or edged's user?") from error
        except (ArithmeticError, ValueError) as error:
            raise EdgedError(
                f"the spool holds what can't be true ({error}): edged repairs it when it starts"
            ) from error


def _stores(paths: SpoolPaths, *, to_read: bool) -> Iterator[Store]:
    places: tuple[Tier, ...] = ("runtime", "disk")
    for tier in places:
        path = paths.database(tier)
        try:
            yield Store(tier, path, read_only=to_read, owner=path.stat().st_uid)  # root may open any user's
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}: are you root, or edged's user?") from error


def export(seen: SpoolSnapshot, directory: Path, progress: Progress) -> list[dict[str, Any]]:
    """Write the backlog as WAV files into a directory, and return the index of the files.

    Audio that is transcribed meanwhile is left out: a file ends there, and another begins behind it. Raises OSError.
    """
    total_s = sum(backlog.seconds for backlog in seen.backlogs)
    done_s = 0.0
    index = []
    for backlog in seen.backlogs:
        rate = backlog.run.rate
        for stored in backlog.ranges:
            writer = _Writer(seen, backlog, directory)
            try:
                for start in range(stored.start, stored.end, EXPORT_CHUNK_S * rate):
                    end = min(start + EXPORT_CHUNK_S * rate, stored.end)
                    for position, pcm in read_all(seen.stores, backlog.run.run, start, end):
                        writer.write(position, pcm)
                    done_s += (end - start) / rate
                    progress(done_s, total_s)
            finally:
                writer.close()
            index += writer.index
    return index


class _Writer:
    """Writes pieces of audio into WAV files, one for each contiguous range."""

    def __init__(self, seen: SpoolSnapshot, backlog: RunBacklog, directory: Path) -> None:
        self.index: list[dict[str, Any]] = []
        self._seen = seen
        self._backlog = backlog
        self._directory = directory
        self._file: wave.Wave_write | None = None
        self._end = -1

    def write(self, position: int, pcm: bytes) -> None:
        file = self._file if self._file and position == self._end else self._begin(position)
        file.writeframes(pcm)
        self._end = position + len(pcm) // BYTES_PER_SAMPLE
        self.index[-1]["to"] = self._end
        self.index[-1]["seconds"] = round((self._end - self.index[-1]["from"]) / self._backlog.run.rate, 3)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _begin(self, position: int) -> wave.Wave_write:
        self.close()
        run, boot = self._backlog.run, self._backlog.boot
        wall_s = self._seen.wall_s(self._backlog, position)
        start = None if wall_s is None else timestamp(wall_s)
        name = f"{(start or 'undated').replace(':', '-')}_{run.run}_{position}.wav"
        path = self._directory / name
        path.touch(mode=0o600)
        file = self._file = wave.open(str(path), "wb")  # noqa: SIM115  closed by `close`
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(run.rate)
        clock = "unknown" if boot is None else "synchronized" if boot.synchronized else "unsynchronized"
        self.index.append(
            {"file": name, "start": start, "clock": clock, "seconds": 0.0, "rate": run.rate, "run": run.run}
            | {"from": position, "to": position, "device": run.device, "channel": run.channel}
        )
        return file


def find_older_than(seen: SpoolSnapshot, seconds: float) -> list[tuple[RunBacklog, list[Range]]]:
    """Return the ranges that are provably older than `seconds`, by run."""
    found = []
    for backlog in seen.backlogs:
        old = []
        for stored in backlog.ranges:
            for start in range(stored.start, stored.end, backlog.run.rate):
                end = min(start + backlog.run.rate, stored.end)
                if seen.age_s(backlog, end) >= seconds:
                    old.append((start, end))
        if old:
            found.append((backlog, old))
    return found


def drop(seen: SpoolSnapshot, old: list[tuple[RunBacklog, list[Range]]], progress: Progress) -> None:
    """Delete these ranges, and truncate the logs unless another process reads them now."""
    total_s = sum(end - start for _, ranges in old for start, end in ranges)
    done = 0
    for backlog, ranges in old:
        for i in range(0, len(ranges), DROP_CHUNK_S):
            for store in seen.stores:
                with store.transaction():
                    for start, end in ranges[i : i + DROP_CHUNK_S]:
                        store.audio.release(backlog.run.run, start, end)
            done += sum(end - start for start, end in ranges[i : i + DROP_CHUNK_S])
            progress(done, total_s)
    for store in seen.stores:
        store.database.truncate_log()
