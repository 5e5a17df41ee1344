"""What is told of the spool's directories: who may write them, what they are on, and whether there is room."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from edged.cli import storage_checks
from edged.cli.storage_checks import spool_cautions, spool_problems
from edged.config.settings import SpoolSettings


def spool(tmp_path: Path, **changes: Any) -> SpoolSettings:
    """Its directories are not there yet."""
    values = {"directory": str(tmp_path / "disk/spool"), "runtime_directory": str(tmp_path / "memory/spool")}
    return SpoolSettings(**values | {"max_mb": 1, "runtime_max_mb": 1} | changes)


def told(settings: SpoolSettings, memory: str = "tmpfs", disk: str = "ext4") -> list[str]:
    """With the runtime directory on a file system of this type, and the other on that."""
    file = Path(settings.runtime_directory).parents[1] / "mounts"
    place = file.parent
    kinds = {place: disk, place / "memory": memory}
    file.write_text("".join(f"1 1 0:1 / {point} rw - {kind} x rw\n" for point, kind in kinds.items()))
    return list(spool_cautions(settings, 16_000, file))


@pytest.fixture(autouse=True)
def memory(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()


def test_where_all_is_well_nothing_is_told_and_nothing_made(tmp_path: Path) -> None:
    assert told(spool(tmp_path)) == []
    assert list(spool_problems(spool(tmp_path))) == []
    assert {file.name for file in tmp_path.iterdir()} == {"memory", "mounts"}


@pytest.mark.parametrize(
    ("memory", "disk", "says"),
    [
        ("ext4", "ext4", "runtime_directory = .* is on ext4, not in memory: all speech is written there, 115 MB per"),
        ("ramfs", "tmpfs", r"directory = .* is in memory .tmpfs.: a reboot loses waiting speech"),
    ],
)
def test_each_belongs_where_it_keeps_what_it_promises(tmp_path: Path, memory: str, disk: str, says: str) -> None:
    [caution] = told(spool(tmp_path), memory, disk)
    assert re.match(rf"\[spool\] {says}", caution)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"max_mb": 1_000_000_000},
            "less than max_mb = 1e+09: when it is full, waiting speech stays in memory",
        ),
        ({"runtime_max_mb": 1_000_000_000}, "less than runtime_max_mb = 1e+09"),
    ],
)
def test_too_little_room_is_told(tmp_path: Path, settings: dict[str, float], says: str) -> None:
    [caution] = told(spool(tmp_path, **settings))
    assert says in caution


def test_what_the_spool_has_taken_already_is_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that is half full leaves half of its room free."""
    disk = tmp_path / "disk/spool"
    disk.mkdir(parents=True)
    free = os.statvfs_result((4096, 4096, 0, 0, 100, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: free)
    assert len(told(spool(tmp_path))) == 2, "0.4 MB are free"
    (disk / "spool.db").write_bytes(bytes(600_000))
    [caution] = told(spool(tmp_path))
    assert "runtime_directory" in caution


def test_a_directory_that_this_user_cannot_write_is_told(tmp_path: Path) -> None:
    """/proc takes no files, not even root's."""
    [caution] = told(spool(tmp_path, directory="/proc/sys/kernel/spool", max_mb=0))
    assert "/proc/sys/kernel is not writable by the user who runs this check; is it by edged's user?" in caution


@pytest.mark.parametrize("directory", ["/run/edged", "/run/edged-kitchen", "/var/lib/edged"])
def test_what_systemd_makes_for_the_service_is_to_be_made_for_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """Where it is absent, only root can make it."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(storage_checks, "nearest_existing", lambda _: tmp_path)
    [told_of] = [each for each in told(spool(tmp_path, directory=directory)) if f'"{directory}"' in each]
    says = 'is absent: the service creates it; before `edged run` in a terminal: sudo install -d -m 0750 -o "$USER" '
    assert told_of == f'[spool] directory = "{directory}" {says}{directory}'


def test_what_systemd_has_made_is_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(storage_checks, "SERVICES_OWN", re.compile(".*/disk/edged"))
    (tmp_path / "disk/edged").mkdir(parents=True)
    [_, told_of] = told(spool(tmp_path, directory=str(tmp_path / "disk/edged")))
    assert "is not writable by the user who runs this check; is it by edged's user?" in told_of


def test_a_directory_below_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = spool(tmp_path, directory=str(tmp_path / "file/below"))
    [problem] = spool_problems(settings)
    assert f"can't be made: {tmp_path}/file is a file, not a directory" in problem
    assert told(settings) == [], "one line is enough"


def test_without_a_spool_its_directories_are_nobodys_concern(tmp_path: Path) -> None:
    settings = SpoolSettings(enabled=False, directory="/proc/1/a", runtime_directory="/proc/1/b")
    assert list(spool_cautions(settings, 16_000)) == list(spool_problems(settings)) == []
