"""The system's text of an error is followed by advice, unless the text itself says what to do."""

import errno
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from edged.model.cures import with_cure
from edged.model.files import UnsafeFileError
from edged.spool import directories
from edged.spool.database import explain
from edged.spool.model import DatabaseFailing
from tests.spool.some import Bench

PACKAGE = Path(__file__).parents[2] / "edged"


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/some/file")


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "No space left on device: free some space"),
        (errno.EROFS, "Read-only file system: remount it writable"),
        (errno.ENOLCK, "No locks available: this file system has no locks"),
        (errno.EIO, "Input/output error: the disk or its connection fails"),
        (errno.EACCES, "Permission denied: give this user access"),
        (errno.ENOENT, "No such file or directory"),
    ],
)
def test_an_error_comes_with_advice(number: int, cure: str) -> None:
    said = with_cure(failure(number))
    assert said.startswith(cure)
    assert "Errno" not in said
    assert "\n" not in said


def test_an_error_of_our_own_class_keeps_its_text() -> None:
    assert with_cure(UnsafeFileError(errno.EPERM, "it is a symbolic link")) == "it is a symbolic link"


@pytest.mark.parametrize("error", [OSError(), OSError("odd"), OSError(4095, "unknown"), ValueError("odd")])
def test_an_error_without_a_known_number_keeps_its_text(error: Exception) -> None:
    assert with_cure(error) in ("OSError", "odd", "unknown")


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk or its connection fails"),
        (sqlite3.SQLITE_IOERR_LOCK, "this file system has no locks"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "remount it writable"),
        (sqlite3.SQLITE_CANTOPEN_NOTEMPDIR, "give this user access"),
        (sqlite3.SQLITE_BUSY, "end what else has it open"),
        (sqlite3.SQLITE_RANGE, None),
    ],
)
def test_an_error_of_the_database_comes_with_advice(code: int, cure: str | None) -> None:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    said = explain(error)
    assert said.startswith(f"what SQLite says: {cure}") if cure else said == "what SQLite says"


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOLCK])
def test_a_spool_that_can_not_be_made_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A read-only card, a home directory on NFS."""

    def refuse(*_: object) -> None:
        raise failure(number)

    if number == errno.ENOLCK:
        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        monkeypatch.setattr(directories, "open_store", refuse)
        monkeypatch.setattr("edged.spool.database_health.open_store", refuse)
    bench = Bench(tmp_path)
    bench.begin()
    said = [event.text for event in bench.events if isinstance(event, DatabaseFailing)]
    assert said
    for text in said:
        assert with_cure(failure(number)) in text
        assert "Errno" not in text


WITH_CURES_OF_THEIR_OWN = {
    "capture/alsa_errors.py",
    "capture/libasound.py",
    "capture/mixer.py",
    "model/cures.py",
    "model/files.py",
    "spool/directories.py",
    "spool/inspection.py",
    "stream/connect_errors.py",
    "transcripts/durable_files.py",
}


def test_no_other_file_shows_people_an_error_of_the_system_without_advice() -> None:
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "strerror" in path.read_text()}
    assert files == WITH_CURES_OF_THEIR_OWN
