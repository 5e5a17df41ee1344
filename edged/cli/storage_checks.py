"""Checks of the spool's two directories: writable or not, in memory or on disk, and their free space."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from edged.config.options import toml
from edged.config.settings import SpoolSettings
from edged.model.files import nearest_existing
from edged.service.mounts import MOUNTS, file_system
from edged.spool.directories import find_unsafe_files

SERVICES_OWN: Final = re.compile(r"/(run|var/lib)/edged[^/]*")
"""Directories that systemd creates for the service; in a terminal only root can."""

MB: Final = 1_000_000
AUDIO_MB_H: Final = 2 * 3600 / MB
"""MB per hour of speech, for each sample per second."""


def spool_problems(settings: SpoolSettings) -> Iterator[str]:
    """Yield messages about what prevents edged from starting, however often it tries."""
    for name, directory in _directories(settings):
        place = nearest_existing(directory)
        if not place.is_dir():
            yield f"[spool] {name} = {toml(str(directory))} can't be made: {place} is a file, not a directory"


def spool_cautions(settings: SpoolSettings, rate: int, mounts: Path = MOUNTS) -> Iterator[str]:
    """Yield messages about what weakens the spool's promises, or may. `mounts` is the kernel's table of mounts."""
    rooms_mb = {"runtime_directory": settings.runtime_max_mb, "directory": settings.max_mb}
    options = {"runtime_directory": "runtime_max_mb", "directory": "max_mb"}
    for name, directory in _directories(settings):
        shown = f"[spool] {name} = {toml(str(directory))}"
        place = nearest_existing(directory)
        if not place.is_dir():
            continue
        systemd_makes_it = place != directory and SERVICES_OWN.fullmatch(str(directory))
        if not os.access(place, os.W_OK | os.X_OK):
            if systemd_makes_it:
                make = f'sudo install -d -m 0750 -o "$USER" {directory}'
                yield f"{shown} is absent: the service creates it; before `edged run` in a terminal: {make}"
            else:
                yield f"{shown}: {place} is not writable by the user who runs this check; is it by edged's user?"
        if place == directory:
            yield from _prepared(shown, directory)
        on = file_system(place, mounts)
        if name == "runtime_directory" and on and not on.in_memory:
            yield (
                f"{shown} is on {on.kind}, not in memory: all speech is written there, {AUDIO_MB_H * rate:.0f} MB "
                "per hour; choose a directory on a tmpfs, such as /run"
            )
        if name == "directory" and on and on.in_memory:
            yield f"{shown} is in memory ({on.kind}): a reboot loses waiting speech; choose a directory on a disk"
        free_mb = _available_mb(place, directory)
        if free_mb < rooms_mb[name]:
            yield (
                f"{shown} has {free_mb:.0f} MB of space, less than {options[name]} = {rooms_mb[name]:g}: when it is "
                f"full, waiting speech stays in memory only; free some space, or lower {options[name]}"
            )


def _prepared(shown: str, directory: Path) -> Iterator[str]:
    """Yield messages about what other users may do there, or have put there."""
    with suppress(OSError):  # not ours to read: only edged's user can tell
        if directory.stat().st_mode & stat.S_IWOTH:
            yield f"{shown} is writable by every user, who may delete waiting speech: chmod o-w {directory}"
        for path, why in find_unsafe_files(directory):
            yield f"{path}: {why}: remove it before edged starts"


def _directories(settings: SpoolSettings) -> Iterator[tuple[str, Path]]:
    if settings.enabled:
        yield "runtime_directory", Path(settings.runtime_directory)
        yield "directory", Path(settings.directory)


def _available_mb(place: Path, directory: Path) -> float:
    """Return the space that edged can use: what is free, and what it already occupies."""
    disk = os.statvfs(place)
    own = 0
    if place == directory:
        try:
            own = sum(file.stat().st_size for file in directory.glob("spool.db*"))
        except OSError:  # not ours to read
            own = 0
    return (disk.f_bavail * disk.f_frsize + own) / MB
