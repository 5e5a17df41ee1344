"""What the spool's two directories are on this machine: can they be written, are they in memory, is there room."""

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
from edged.spool.directories import prepared

SERVICES_OWN: Final = re.compile(r"/(run|var/lib)/edged[^/]*")
"""systemd makes these for the service; in a terminal only root can."""

MB: Final = 1_000_000
AUDIO_MB_H: Final = 2 * 3600 / MB
"""Of speech, for each sample a second."""


def spool_problems(settings: SpoolSettings) -> Iterator[str]:
    """What keeps edged from starting, however often it is tried."""
    for name, directory in _directories(settings):
        place = nearest_existing(directory)
        if not place.is_dir():
            yield f"[spool] {name} = {toml(str(directory))} can't be made: {place} is a file, not a directory"


def spool_cautions(settings: SpoolSettings, rate: int, mounts: Path = MOUNTS) -> Iterator[str]:
    """What keeps less than the spool promises, or may; `mounts` is what the kernel says is mounted where."""
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
                yield f"{shown} is absent: the service makes it; before `edged run` in a terminal: {make}"
            else:
                yield f"{shown}: {place} can't be written by the user who runs this check; can edged's?"
        if place == directory:
            yield from _prepared(shown, directory)
        on = file_system(place, mounts)
        if name == "runtime_directory" and on and not on.in_memory:
            yield (
                f"{shown} is not in memory but on {on.kind}: all speech is written there, {AUDIO_MB_H * rate:.0f} MB "
                "an hour; choose a directory on a tmpfs, such as /run"
            )
        if name == "directory" and on and on.in_memory:
            yield f"{shown} is in memory ({on.kind}): what waits there is gone after a reboot; choose one on a disk"
        free_mb = _room_mb(place, directory)
        if free_mb < rooms_mb[name]:
            yield (
                f"{shown} has room for {free_mb:.0f} MB, less than {options[name]} = {rooms_mb[name]:g}: when it is "
                f"full, speech that waits is kept in memory only; make room, or lower {options[name]}"
            )


def _prepared(shown: str, directory: Path) -> Iterator[str]:
    """What other users may do there, or have prepared."""
    with suppress(OSError):  # not ours to read: only edged's user can tell
        if directory.stat().st_mode & stat.S_IWOTH:
            yield f"{shown} can be written by every user, who may delete speech that waits: chmod o-w {directory}"
        for path, why in prepared(directory):
            yield f"{path}: {why}: remove it before edged starts"


def _directories(settings: SpoolSettings) -> Iterator[tuple[str, Path]]:
    if settings.enabled:
        yield "runtime_directory", Path(settings.runtime_directory)
        yield "directory", Path(settings.directory)


def _room_mb(place: Path, directory: Path) -> float:
    """What is free, and what edged has taken of it itself."""
    disk = os.statvfs(place)
    own = 0
    if place == directory:
        try:
            own = sum(file.stat().st_size for file in directory.glob("spool.db*"))
        except OSError:  # not ours to read
            own = 0
    return (disk.f_bavail * disk.f_frsize + own) / MB
