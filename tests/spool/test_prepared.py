"""What another user made beforehand in a spool's directory gets no speech, is not written to, and is told of."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.cli.storage_checks import spool_cautions
from edged.config.settings import SpoolSettings
from edged.daemon.ring_recovery import read_ring
from edged.model.errors import ConfigurationError
from edged.spool import directories
from edged.spool.directories import identify_boot
from tests.spool.some import Bench, audio, segment, settings

NOBODY = 65534


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to(path.with_name("other"))


def as_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def by_another_user(path: Path) -> None:
    """For everybody to read and write."""
    if os.geteuid():
        pytest.skip("a file of another user needs root")
    path.touch()
    path.chmod(0o666)
    os.chown(path, NOBODY, NOBODY)


MADE = pytest.mark.parametrize("make", [as_pipe, as_link, as_zeros, by_another_user])


def prepared_directories(base: Path) -> SpoolSettings:
    """Made before edged came."""
    spool = settings(base)
    for directory in (spool.runtime_directory, spool.directory):
        Path(directory).mkdir(mode=0o700)
        Path(directory, "other").write_bytes(b"theirs")
    return spool


@MADE
@pytest.mark.parametrize("name", ["spool.db", "spool.db-wal", "spool.db-shm", "spool.lock"])
@pytest.mark.parametrize("tier", ["runtime", "disk"])
def test_a_prepared_file_is_refused_with_its_cure_and_check_warns_of_it(
    tmp_path: Path, tier: str, name: str, make: Callable[[Path], None]
) -> None:
    spool = prepared_directories(tmp_path)
    path = tmp_path / tier / name
    make(path)
    before = path.lstat()
    with pytest.raises(
        ConfigurationError, match=rf"{re.escape(str(path))}: it (is|belongs).*: remove it, choose another"
    ):
        Bench(tmp_path)
    assert (tmp_path / tier / "other").read_bytes() == b"theirs"
    assert path.lstat() == before
    [caution] = [text for text in spool_cautions(spool, 16_000) if text.startswith(str(path))]
    assert "remove it before edged starts" in caution


@MADE
def test_a_prepared_ring_is_not_read_and_costs_no_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    ring = tmp_path / "ring"
    make(ring)
    assert read_ring(ring) is None
    [said] = caplog.messages
    assert f"{ring} can't be read (it " in said


def test_a_ring_without_end_is_not_read_whole(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    with ring.open("wb") as file:
        file.truncate(8 << 30)
    assert read_ring(ring) is None


@MADE
def test_a_prepared_boot_id_is_neither_waited_for_nor_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(directories, "boot_id", lambda: "")
    (tmp_path / "other").write_bytes(b"")
    make(tmp_path / "boot-id")
    assert len(identify_boot(tmp_path)) == 32
    assert (tmp_path / "other").read_bytes() == b""


def test_a_drawn_boot_id_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "boot_id", lambda: "")
    assert identify_boot(tmp_path) == identify_boot(tmp_path)
    assert stat.S_IMODE((tmp_path / "boot-id").stat().st_mode) == 0o600


def test_check_warns_of_a_directory_that_everybody_may_write_to(tmp_path: Path) -> None:
    spool = prepared_directories(tmp_path)
    assert not [text for text in spool_cautions(spool, 16_000) if "every user" in text]
    (tmp_path / "disk").chmod(0o777)
    [caution] = [text for text in spool_cautions(spool, 16_000) if "every user" in text]
    assert caution.endswith(f"chmod o-w {tmp_path}/disk")


def test_a_spool_of_our_own_is_no_reason_to_warn(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.begin()
    bench.do(segment(0), audio(0, 1600))
    told = list(spool_cautions(bench.settings, 16_000))
    assert not [text for text in told if str(tmp_path / "disk" / "spool") in text or "every user" in text]
    bench.close()
