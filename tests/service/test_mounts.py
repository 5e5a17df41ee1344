"""The file system of a directory: one in memory is recognised, however it is made to look like a disk."""

from pathlib import Path

import pytest

from edged.service.mounts import file_system

PI = """\
22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
25 22 0:22 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=1550640k
40 25 0:35 / /run/lock rw,nosuid shared:6 - tmpfs tmpfs rw
41 22 8:1 / /mnt/a\\040stick rw - vfat /dev/sda1 rw
42 22 0:50 / /mnt/odd rw - tmpfs tmpfs rw
43 22 8:2 / /mnt/odd rw master:1 propagate_from:2 - xfs /dev/sda2 rw
44 22 0:51 / /var/log rw - tmpfs log2ram rw,size=131072k
45 22 254:0 / /var/cache rw - ext4 /dev/zram0 rw
"""

RASPI_CONFIG = "22 1 0:23 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work\n"
"""An overlay whose upper layer is a tmpfs that the running system does not see."""

OVERLAYROOT = """\
24 1 0:24 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/x
25 24 179:2 / /media/root-ro ro - ext4 /dev/mmcblk0p2 ro
26 24 0:25 / /media/root-rw rw - {kind} {source} rw
27 24 8:1 / /mnt/stick rw - ext4 /dev/sda1 rw
"""

CONTAINER = (
    "22 1 0:23 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/a,upperdir=/var/lib/docker/b/diff,workdir=/w\n"
    "23 22 0:24 / /run rw - tmpfs tmpfs rw\n"
)


def on(tmp_path: Path, directory: str, mounts: str, command_line: str = "root=PARTUUID=1") -> tuple[str, bool] | None:
    (tmp_path / "mountinfo").write_text(mounts)
    (tmp_path / "cmdline").write_text(command_line + "\n")
    return file_system(Path(directory), tmp_path / "mountinfo", tmp_path / "cmdline")


@pytest.mark.parametrize(
    ("directory", "kind", "in_memory"),
    [
        ("/var/lib/edged", "ext4", False),
        ("/run/edged", "tmpfs", True),
        ("/runner", "ext4", False),
        ("/mnt/a stick/spool", "vfat", False),
        ("/mnt/odd", "xfs", False),
        ("/var/log/edged", "tmpfs", True),
        ("/var/cache/edged", "ext4", True),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(
    tmp_path: Path, directory: str, kind: str, in_memory: bool
) -> None:
    """The later of two mounts at one place covers the other; compressed memory (zram) is memory."""
    assert on(tmp_path, directory, PI) == (kind, in_memory)


UPPER = "overlay, its upper layer on tmpfs"


@pytest.mark.parametrize(
    ("mounts", "command_line", "expected"),
    [
        (RASPI_CONFIG, "boot=overlay root=PARTUUID=1", (UPPER, True)),
        (RASPI_CONFIG, "root=PARTUUID=1 overlayroot=tmpfs:swap=1,recurse=0", (UPPER, True)),
        (RASPI_CONFIG, "boot=live", (UPPER, True)),
        (RASPI_CONFIG, "root=PARTUUID=1 overlayroot=disabled", ("overlay", False)),
        (OVERLAYROOT.format(kind="tmpfs", source="tmpfs-root"), "", (UPPER, True)),
        (OVERLAYROOT.format(kind="ext4", source="/dev/zram1"), "", (UPPER, True)),
        (OVERLAYROOT.format(kind="ext4", source="/dev/sda2"), "", ("overlay", False)),
        (CONTAINER, "", ("overlay", False)),
    ],
)
def test_an_overlay_is_where_its_upper_layer_is(
    tmp_path: Path, mounts: str, command_line: str, expected: tuple[str, bool]
) -> None:
    assert on(tmp_path, "/var/lib/edged", mounts, command_line) == expected


def test_a_disk_beside_an_overlay_is_a_disk(tmp_path: Path) -> None:
    mounts = OVERLAYROOT.format(kind="tmpfs", source="tmpfs-root")
    assert on(tmp_path, "/mnt/stick/edged", mounts, "overlayroot=tmpfs") == ("ext4", False)


def test_a_system_that_does_not_say_is_not_guessed_at(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "absent") is None
    assert on(tmp_path, "/var", "") is None


def test_here_too_the_kernel_says_it() -> None:
    assert file_system(Path("/proc/self")) == ("proc", False)
