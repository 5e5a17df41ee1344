"""File system of a directory, by the kernel's list of mounts: on a disk, or in memory that a power cut clears."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

MOUNTS: Final = Path("/proc/self/mountinfo")
COMMAND_LINE: Final = Path("/proc/cmdline")

IN_MEMORY: Final = {"tmpfs", "ramfs", "rootfs", "devtmpfs"}
OVERLAYS: Final = {"overlay", "overlayfs", "aufs"}
IN_MEMORY_BY_BOOT: Final = re.compile(r"(?:^|\s)(?:boot=overlay|overlayroot=\S*tmpfs\S*|boot=(?:live|casper))(?:\s|$)")
"""Kernel parameters of Raspberry Pi OS (raspi-config), Ubuntu's overlayroot and live systems with their root in memory.

The upper layer of that root is a tmpfs that the mounts of the running system do not show."""


class FileSystem(NamedTuple):
    """File system that a directory is on."""

    kind: str
    """The type of the file system, for people."""
    in_memory: bool


class _Mount(NamedTuple):
    point: Path
    kind: str
    source: str
    upper: str | None
    """Directory of an overlay that takes what is written."""


def file_system(place: Path, mounts: Path = MOUNTS, command_line: Path = COMMAND_LINE) -> FileSystem | None:
    """Return the file system of a directory; None if that can't be known."""
    try:
        known = list(_mounts(mounts.read_text(errors="surrogateescape")))
    except OSError:
        return None
    return _file_system(place.resolve(), known, command_line)


def _file_system(place: Path, known: list[_Mount], command_line: Path) -> FileSystem | None:
    mount = max(
        (mount for mount in known if place.is_relative_to(mount.point)),
        key=lambda mount: (len(mount.point.parts), known.index(mount)),  # of two at one place the last covers the other
        default=None,
    )
    if mount is None:
        return None
    if mount.kind not in OVERLAYS:
        return FileSystem(mount.kind, mount.kind in IN_MEMORY or mount.source.startswith("/dev/zram"))
    below = [other for other in known if other != mount]
    upper = _file_system(Path(mount.upper), below, command_line) if mount.upper else None
    hidden = mount.point == Path("/") and _root_is_in_memory(command_line)
    in_memory = hidden or (upper is not None and upper.in_memory)
    return FileSystem(f"{mount.kind}, its upper layer on tmpfs" if in_memory else mount.kind, in_memory)


def _root_is_in_memory(command_line: Path) -> bool:
    try:
        return bool(IN_MEMORY_BY_BOOT.search(command_line.read_text()))
    except OSError:
        return False


def _mounts(text: str) -> Iterator[_Mount]:
    """Yield the mounts in a text as of proc_pid_mountinfo(5)."""
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, source, options = rest.split(" ", 2)
        upper = re.search(r"(?:^|,)upperdir=([^,]+)", options)
        yield _Mount(Path(_plain(fields.split()[4])), kind, _plain(source), _plain(upper[1]) if upper else None)


def _plain(escaped: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
