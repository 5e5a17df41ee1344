"""Warnings about journald's settings, which are read from the same places as journald reads them."""

import re
from pathlib import Path

import pytest

from edged.transcripts import journal_checks, journal_readback
from edged.transcripts.journal_checks import MIN_BURST_MESSAGES, burst_limit, journal_cautions, journald_settings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which journald runs, and whose journal can be read."""
    (tmp_path / "run/systemd/journal").mkdir(parents=True)
    (tmp_path / "run/systemd/journal/socket").touch()
    monkeypatch.setattr(journal_checks, "may_read_journal", lambda namespace: True)
    return tmp_path


def conf(root: Path, name: str, storage: str, *more: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["# Storage=none", "[Journal]", "Compress=yes", f"Storage={storage}", *more]))


def storage(root: Path) -> str | None:
    return journald_settings(root).get("Storage")


def test_a_machine_without_journald_gets_a_warning(tmp_path: Path) -> None:
    [caution] = journal_cautions(tmp_path)
    assert "no journald runs here" in caution


def test_without_its_directory_the_journal_is_in_memory(root: Path) -> None:
    [caution] = journal_cautions(root)
    assert "gone after a reboot" in caution
    (root / "var/log/journal").mkdir(parents=True)
    assert list(journal_cautions(root)) == []


def test_persistent_storage_needs_no_directory(root: Path) -> None:
    """journald makes it."""
    conf(root, "etc/systemd/journald.conf", "persistent")
    assert list(journal_cautions(root)) == []


def test_the_drop_in_of_raspberry_pi_os_is_seen(root: Path) -> None:
    (root / "var/log/journal").mkdir(parents=True)
    conf(root, "usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf", "volatile")
    [caution] = journal_cautions(root)
    assert "gone after a reboot" in caution
    conf(root, "etc/systemd/journald.conf", "persistent")
    assert list(journal_cautions(root)) == [caution], "a drop-in counts more, wherever it is"
    conf(root, re.findall(r"/(etc/\S+)", caution)[0], "persistent")
    assert list(journal_cautions(root)) == [], "what it advises helps"


def test_a_journal_that_stores_nothing_gets_a_warning(root: Path) -> None:
    conf(root, "etc/systemd/journald.conf", "none")
    [caution] = journal_cautions(root)
    assert "stores nothing" in caution


def test_drop_ins_override_the_main_file_by_name_and_etc_overrides_usr(root: Path) -> None:
    assert storage(root) is None
    conf(root, "usr/lib/systemd/journald.conf", "none")
    assert storage(root) == "none"
    conf(root, "etc/systemd/journald.conf", "persistent")
    assert storage(root) == "persistent"
    conf(root, "etc/systemd/journald.conf.d/10-a.conf", "volatile")
    assert storage(root) == "volatile"
    conf(root, "usr/lib/systemd/journald.conf.d/20-b.conf", "none")
    assert storage(root) == "none"
    conf(root, "etc/systemd/journald.conf.d/20-b.conf", "Persistent")
    assert storage(root) == "Persistent"
    conf(root, "etc/systemd/journald.conf.d/30-c.conf", "")
    assert storage(root) is None, "an empty one takes back what was written before"


@pytest.mark.parametrize(
    ("lines", "most"),
    [
        ([], None),
        (["RateLimitBurst=50"], 50),
        (["RateLimitBurst=50", "RateLimitIntervalSec=1min"], 50),
        (["RateLimitBurst=50", "RateLimitIntervalSec=0"], None),
        (["RateLimitBurst=50", "RateLimitIntervalSec=00 s"], None),
        (["RateLimitBurst=0"], None),
        (["RateLimitBurst=many"], None),
        ([";RateLimitBurst=50"], None),
        (["RateLimitIntervalSec=1h"], None),
    ],
)
def test_a_rate_limit_below_the_records_of_an_hour_gets_a_warning(
    root: Path, lines: list[str], most: int | None
) -> None:
    """The default is far from that."""
    conf(root, "etc/systemd/journald.conf", "persistent", *lines)
    assert burst_limit(journald_settings(root)) == most
    assert [f"no more than {most} messages" in each for each in journal_cautions(root)] == [True] * (most is not None)


def test_a_rate_limit_that_accepts_them_gets_no_warning(root: Path) -> None:
    conf(root, "etc/systemd/journald.conf", "persistent", f"RateLimitBurst={MIN_BURST_MESSAGES}")
    assert list(journal_cautions(root)) == []


def test_a_namespace_has_its_own_settings_and_is_persistent_by_default(root: Path) -> None:
    """Its records are not read back."""
    conf(root, "etc/systemd/journald.conf", "volatile")
    assert list(journal_cautions(root, "edged")) == []
    conf(root, "etc/systemd/journald@edged.conf", "volatile")
    [caution] = journal_cautions(root, "edged")
    assert "into /etc/systemd/journald@edged.conf.d/" in caution


@pytest.mark.parametrize(("namespace", "told"), [(None, "this user can't read back"), ("edged", "does not read back")])
def test_a_journal_that_can_not_be_read_back_gets_a_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch, namespace: str | None, told: str
) -> None:
    conf(root, "etc/systemd/journald.conf", "persistent")
    monkeypatch.setattr(journal_checks, "may_read_journal", lambda namespace: False)
    [caution] = journal_cautions(root, namespace)
    assert told in caution
    assert ("journal-read.conf" in caution) is (namespace is None), "it would not help"


@pytest.mark.parametrize(
    ("uid", "readable", "namespace", "may"),
    [
        (0, False, None, True),
        (1000, False, None, False),
        (1000, True, None, True),
        (0, True, "edged", False),
    ],
)
def test_a_process_that_can_open_the_systems_journal_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, readable: bool, namespace: str | None, may: bool
) -> None:
    """Whatever its groups are called: in the service's sandbox none but its own has a number."""
    (tmp_path / "0123").mkdir()
    (tmp_path / "0123/system.journal").touch()
    monkeypatch.setattr(journal_readback, "JOURNAL_DIRECTORIES", (tmp_path / "absent", tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr("os.access", lambda path, mode: readable)
    assert journal_readback.may_read_journal(namespace) is may


def test_a_journal_on_a_memory_disk_is_in_memory(tmp_path: Path) -> None:
    """log2ram mounts a tmpfs over /var/log, and journald takes it for a disk."""
    root = tmp_path / "root"
    (root / "run/systemd/journal").mkdir(parents=True)
    (root / "run/systemd/journal/socket").touch()
    (root / "var/log/journal").mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {root}/var/log rw - tmpfs log2ram rw\n")
    [caution] = journal_cautions(root, mounts=mounts)
    assert "in memory on this machine (tmpfs)" in caution
    assert "log2ram" in caution
