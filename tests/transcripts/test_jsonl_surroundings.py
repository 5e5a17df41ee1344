"""Other users and processes can't stop the file sink, whatever they do to its file or prepare beside it."""

import fcntl
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edged.model.errors import SinkError
from edged.model.record import encode
from edged.transcripts import durable_files
from edged.transcripts.file_readback import find_in_file
from edged.transcripts.reconciliation import ReadbackQuery
from tests.transcripts.sinks.test_file import held, largest_file, sink
from tests.transcripts.some import record

NOBODY = 65534


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [as_pipe, as_link, as_directory])
def test_a_torn_line_that_can_not_be_moved_away_stays_and_the_sink_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"torn")
    make(tmp_path / "t.jsonl.torn")
    file = sink(path)
    file.deliver([record(1)])
    file.close()
    assert path.read_bytes() == b"torn\n" + encode(record(1)) + b"\n"
    assert find_in_file(path, ReadbackQuery(frozenset({"id-1"}), {})).ids == {"id-1"}
    [said] = caplog.messages
    assert "its last 4 bytes stay, as they can't be moved to" in said


UNREADABLE = {
    "text that is no UTF-8": encode(record(1)).replace(b"Turn", b"T\xfcrn"),
    "brackets without end": b"[" * 100_000,
    "an endless number": b'{"id":"id-1","from":' + b"9" * 10_000,
    "one byte": b"\xff",
    "zeros, as ext4 leaves them": bytes(5000),
    "longer than a record": b'{"id":"id-1","text":"' + b"a" * 2_000_000,
}


@pytest.mark.parametrize("torn", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_last_line_is_moved_away_whatever_is_wrong_with_it(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(encode(record(1)) + b"\n" + torn)
    file = sink(path)
    file.deliver([record(2)])
    file.close()
    assert held(path) == ["id-1", "id-2"]
    assert (tmp_path / "t.jsonl.torn").read_bytes() == torn + b"\n"


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    file = sink(path)
    with largest_file(10), pytest.raises(SinkError):
        file.deliver([record(1)])
    with (tmp_path / "t.jsonl.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_user_who_may_only_read_the_file_can_not_block_the_sink(tmp_path: Path) -> None:
    """A lock of theirs on the transcripts changes nothing, and the sink's own they can't open."""
    path = tmp_path / "t.jsonl"
    file = sink(path)
    file.deliver([record(1)])
    holds = ["flock", "--exclusive", "--no-fork", str(path), "sh", "-c", "echo; exec sleep 60"]
    reader = subprocess.Popen(holds, stdout=subprocess.PIPE)
    assert reader.stdout
    try:
        reader.stdout.readline()
        begun_s = time.monotonic()
        file.reopen()
        file.deliver([record(2)])
        assert time.monotonic() - begun_s < 1
    finally:
        reader.kill()
        reader.communicate()
    assert held(path) == ["id-1", "id-2"]
    assert stat.S_IMODE((tmp_path / "t.jsonl.lock").stat().st_mode) == 0o600


def test_the_lock_is_removed_at_the_end_and_another_sink_is_never_left_with_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    first, second = sink(path), sink(path)
    first.deliver([record(1)])
    second.deliver([record(2)])
    first.close()
    second.deliver([record(3)])
    with (tmp_path / "t.jsonl.lock").open("rb") as new:
        fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second.close()
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]
    assert held(path) == ["id-1", "id-2", "id-3"]


def test_another_edged_that_holds_the_lock_is_an_error_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable_files, "LOCK_WAIT_S", 0.1)
    path = tmp_path / "t.jsonl"
    file = sink(path)
    file.deliver([record(1)])
    with (tmp_path / "t.jsonl.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(
            SinkError, match=r"t\.jsonl\.lock: another process has held it for 0\.1 s: stop the other edged"
        ):
            file.deliver([record(2)])
    file.deliver([record(2)])
    assert held(path) == ["id-1", "id-2"]


@pytest.mark.parametrize("make", [as_pipe, as_link, as_directory])
def test_a_lock_file_that_others_prepared_is_not_used_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "t.jsonl"
    make(tmp_path / "t.jsonl.lock")
    file = sink(path)
    for number in (1, 2):
        file.deliver([record(number)])
        file.reopen()
    assert held(path) == ["id-1", "id-2"]
    [said] = caplog.messages
    assert "t.jsonl.lock can't be used" in said


@contextmanager
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory in which everybody may make files, as in /tmp. Other users need root."""
    if os.geteuid():
        pytest.skip("files of another user need root")
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    yield directory


@pytest.mark.parametrize("prepared", ["file", "link"])
def test_transcripts_do_not_go_into_a_file_that_another_user_prepared(tmp_path: Path, prepared: str) -> None:
    with shared(tmp_path) as directory:
        path, other = directory / "t.jsonl", tmp_path / "other"
        if prepared == "file":
            path.touch()
        else:
            other.touch()
            path.symlink_to(other)
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        says = r"t\.jsonl: it belongs to another user \(nobody\): remove it, or choose another transcripts\.file\.path"
        with pytest.raises(SinkError, match=says):
            sink(path).deliver([record(1)])
        assert path.read_bytes() == b""


def test_a_predecessor_that_another_user_prepared_holds_nothing(tmp_path: Path) -> None:
    """Its records would release speech that has no transcript."""
    with shared(tmp_path) as directory:
        path = directory / "t.jsonl"
        sink(path).deliver([record(1)])
        foreign = directory / "t.jsonl.1"
        foreign.write_bytes(encode(record(2)) + b"\n")
        assert find_in_file(path, ReadbackQuery(frozenset({"id-1", "id-2"}), {})).ids == {"id-1", "id-2"}
        os.chown(foreign, NOBODY, NOBODY)
        assert find_in_file(path, ReadbackQuery(frozenset({"id-1", "id-2"}), {})).ids == {"id-1"}


def test_a_file_of_another_user_is_used_in_a_directory_that_only_its_owner_writes_to(
    tmp_path: Path,
) -> None:
    """Root made it so, for instance."""
    with shared(tmp_path) as directory:
        directory.chmod(0o755)
        path = directory / "t.jsonl"
        path.touch()
        os.chown(path, NOBODY, NOBODY)
        sink(path).deliver([record(1)])
        assert held(path) == ["id-1"]
