import json
import logging
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from edged.config.settings import FileSinkSettings
from edged.model.errors import SinkError
from edged.model.record import decode, encode
from edged.transcripts.file_readback import find_in_file
from edged.transcripts.reconciliation import ReadbackQuery
from edged.transcripts.sinks import file
from edged.transcripts.sinks.file import FileSink
from tests.transcripts.some import record, records, remount, small_disk


def sink(path: Path, fsync: Literal["record", "never"] = "never") -> FileSink:
    return FileSink(FileSinkSettings(path=str(path), fsync=fsync))


def held(path: Path) -> list[str]:
    """Ids of the lines, each of which must be a whole record."""
    data = path.read_bytes()
    assert not data or data.endswith(b"\n")
    return [decode(line).id for line in data.splitlines()]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """The kernel cuts a write short at this size and then says EFBIG, as a disk that fills up does with ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_is_a_line_of_utf_8_json_with_the_documented_names(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    sink(path).deliver([record(1, text="Grüße\n日本 \U0001f600"), record(2)])
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert "Grüße" in first
    assert "日本" in first
    fields = json.loads(first)
    names = "id start end text confidence channel words language model request_id replayed delayed_s clock device host"
    assert " ".join(fields) == f"{names} run from to"
    assert fields["text"] == "Grüße\n日本 \U0001f600"
    assert fields["words"] == [{"word": "turn", "text": "Turn", "start": 0.0, "end": 0.21, "confidence": 0.99}]
    assert decode(second) == record(2)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_are_exact_whatever_the_umask_and_missing_directories_are_made(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "a" / "b" / "t.jsonl"
    with umask(mask):
        sink(path, "record").deliver([record()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o750


def test_the_mode_that_somebody_gave_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.touch()
    path.chmod(0o604)
    sink(path).deliver([record()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def traced(path: Path, fsync: str) -> list[str]:
    """System calls by which a process makes a directory, a file, and delivers two records to it."""
    program = (
        "import sys; from edged.config.settings import FileSinkSettings;"
        "from edged.transcripts.sinks.file import FileSink;"
        "from tests.transcripts.some import records;"
        "FileSink(FileSinkSettings(path=sys.argv[1], fsync=sys.argv[2])).deliver(records(1, 2))"
    )
    calls = "trace=fsync,fdatasync,write,mkdir"
    command = ["strace", "-f", "-y", "-s", "20", "-e", calls, sys.executable, "-c", program, str(path), fsync]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if "PTRACE" in done.stderr:
        pytest.skip("tracing is not permitted")
    lines = [line.split("] ", 1)[-1] for line in done.stderr.splitlines() if str(path.parent.parent) in line]
    return [f"{line.partition('(')[0]} {line.partition('<')[2].partition('>')[0]}".strip() for line in lines]


@pytest.mark.slow
def test_with_fsync_record_file_and_directories_are_synced_before_it_counts_as_delivered(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "t.jsonl"
    write = f"write {path}"
    assert traced(path, "record") == [
        "mkdir",
        f"fsync {tmp_path}",
        f"fsync {path.parent}",
        write,
        write,
        f"fdatasync {path}",
    ]


@pytest.mark.slow
def test_with_fsync_never_nothing_is_synced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.jsonl"
    assert traced(path, "never") == ["mkdir", f"write {path}", f"write {path}"]


@pytest.mark.slow
def test_a_line_torn_at_any_byte_is_moved_away_and_the_file_continues_with_complete_lines(tmp_path: Path) -> None:
    lines = [encode(record(number)) + b"\n" for number in (1, 2)]
    whole = b"".join(lines)
    for length in range(len(whole) + 1):
        path = tmp_path / f"{length}.jsonl"
        path.write_bytes(whole[:length])
        with_newline = length in (len(lines[0]) - 1, len(whole) - 1)  # a record that lacks its newline only
        kept = whole[: length + 1] if with_newline else whole[: whole.rfind(b"\n", 0, length) + 1]
        file = sink(path)
        file.deliver([record(3)])
        file.close()
        assert path.read_bytes() == kept + encode(record(3)) + b"\n"
        torn = whole[len(kept) : length]
        aside = tmp_path / f"{length}.jsonl.torn"
        assert (aside.read_bytes() if aside.exists() else b"") == (torn + b"\n" if torn else b"")


def test_a_torn_line_is_reported_without_its_words_and_earlier_ones_stay_in_torn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "t.jsonl"
    aside = tmp_path / "t.jsonl.torn"
    for piece in (b'{"id":"1","text":"secret', b"\0" * 100_000):
        path.write_bytes(b"{}\n" + piece)
        sink(path).reopen()
    assert aside.read_bytes() == b'{"id":"1","text":"secret\n' + b"\0" * 100_000 + b"\n"
    assert stat.S_IMODE(aside.stat().st_mode) == 0o640
    assert [line.levelno for line in caplog.records] == [logging.WARNING] * 2
    assert "last 24 bytes" in caplog.text
    assert "secret" not in caplog.text


def test_a_full_disk_is_an_error_that_says_how_many_are_in_the_file_and_leaves_no_torn_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "t.jsonl"
        file = sink(path, "record")
        filler = disk / "filler"
        filler.write_bytes(b"x" * 55_000)
        batch = [record(number, text="word " * 300) for number in range(1, 11)]
        with pytest.raises(SinkError, match="the disk is full") as caught:
            file.deliver(batch)
        done = caught.value.delivered
        assert 0 < done < 10
        assert held(path) == [f"id-{number}" for number in range(1, done + 1)]
        with pytest.raises(SinkError, match="the disk is full") as caught:
            file.deliver(batch[done:])
        assert caught.value.delivered == 0
        filler.unlink()
        file.deliver(batch[done:])
        assert held(path) == [f"id-{number}" for number in range(1, 11)]
        file.close()


def test_a_line_that_the_kernel_writes_in_part_is_completed_and_written_once(tmp_path: Path) -> None:
    first, second = (encode(record(number)) + b"\n" for number in (1, 2))
    path = tmp_path / "t.jsonl"
    for room in range(0, len(second), 7):
        path.unlink(missing_ok=True)
        file = sink(path)
        with largest_file(len(first) + room), pytest.raises(SinkError, match="may not grow") as caught:
            file.deliver(records(1, 3))
        assert caught.value.delivered == 1
        assert path.read_bytes() == first
        file.deliver(records(2, 3))
        assert held(path) == ["id-1", "id-2", "id-3"]
        file.close()


@contextmanager
def append_only(path: Path) -> Iterator[None]:
    """A file that can't be cut: chattr +a, which some people give their logs."""
    if subprocess.run(["chattr", "+a", str(path)], capture_output=True, check=False).returncode:
        pytest.skip("append-only files need root and a file system that has them")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-a", str(path)], check=True)


@pytest.mark.parametrize("then", ["deliver", "reopen"])
@pytest.mark.parametrize("missing", [1, 50])
def test_the_remains_of_a_failed_write_are_truncated_later_if_not_at_once(
    tmp_path: Path, then: str, missing: int
) -> None:
    """Also a line that lacks only its newline: it was not delivered, will be again, and must not stand there twice."""
    path = tmp_path / "t.jsonl"
    file = sink(path)
    file.deliver([record(1)])
    size_bytes = path.stat().st_size
    room = len(encode(record(2)) + b"\n") - missing
    with append_only(path):
        with largest_file(size_bytes + room), pytest.raises(SinkError) as caught:
            file.deliver([record(2)])
        assert caught.value.delivered == 0
        assert path.stat().st_size == size_bytes + room
        with pytest.raises(SinkError, match="not permitted"):
            file.deliver([record(2)])
    if then == "reopen":
        file.reopen()
    file.deliver([record(2)])
    assert held(path) == ["id-1", "id-2"]
    assert not (tmp_path / "t.jsonl.torn").exists()


def test_lines_that_others_appended_to_a_failed_write_are_never_truncated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "t.jsonl"
    file = sink(path)
    file.deliver([record(1)])
    with append_only(path):
        with largest_file(path.stat().st_size + 20), pytest.raises(SinkError):
            file.deliver([record(2)])
        with path.open("ab") as other:
            other.write(b"\n" + encode(record(3)) + b"\n")
    file.deliver([record(2)])
    ids = frozenset({"id-1", "id-2", "id-3"})
    assert find_in_file(path, ReadbackQuery(ids, {})).ids == ids
    assert "somebody else wrote behind it" in caplog.text


def test_a_read_only_disk_is_an_error_until_it_can_be_written_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        file = sink(disk / "t.jsonl")
        remount(disk, "ro")
        with pytest.raises(SinkError, match=r"t\.jsonl: the disk is read-only: remount"):
            file.deliver([record(1)])
        remount(disk, "rw")
        file.deliver([record(1)])
        file.close()
        assert held(disk / "t.jsonl") == ["id-1"]


def test_reopen_follows_logrotate(tmp_path: Path) -> None:
    path, rotated = tmp_path / "t.jsonl", tmp_path / "t.jsonl.1"
    file = sink(path)
    file.deliver([record(1)])
    path.rename(rotated)
    file.reopen()
    file.deliver([record(2)])
    assert (held(rotated), held(path)) == (["id-1"], ["id-2"])


@pytest.mark.parametrize("how", ["renamed", "deleted", "replaced", "directory gone", "copytruncate"])
def test_a_file_that_goes_away_without_a_signal_is_noticed_at_the_next_record(tmp_path: Path, how: str) -> None:
    path = tmp_path / "directory" / "t.jsonl"
    file = sink(path)
    file.deliver([record(1)])
    match how:
        case "renamed":
            path.rename(tmp_path / "elsewhere")
        case "deleted":
            path.unlink()
        case "replaced":
            (tmp_path / "other").touch()
            (tmp_path / "other").rename(path)
        case "directory gone":
            shutil.rmtree(path.parent)
        case "copytruncate":
            os.truncate(path, 0)
    file.deliver([record(2)])
    assert held(path) == ["id-2"]


def test_two_sinks_on_one_file_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"

    def write(first: int) -> None:
        file = sink(path)
        for number in range(first, first + 100):
            file.deliver([record(number, text="word " * 2000)])
            file.reopen()

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held(path)) == sorted(f"id-{number}" for number in range(200))
    assert not (tmp_path / "t.jsonl.torn").exists()


def make_no_lines(path: Path) -> None:
    path.write_bytes(b"x" * 200_000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (os.mkdir, "t: it is a directory: transcripts.file.path must name a file in it"),
        (os.mkfifo, "t: it is a pipe or a device, not a file: remove it, or choose another transcripts.file.path"),
        (make_no_lines, "t: it holds no lines, so no transcripts: choose another transcripts.file.path"),
    ],
)
def test_a_path_that_is_no_file_of_ours_gives_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, says: str
) -> None:
    monkeypatch.setattr(file, "LOOK_BACK_BYTES", 100_000)
    path = tmp_path / "t"
    make(path)
    with pytest.raises(SinkError) as caught:
        sink(path).reopen()
    assert str(caught.value) == f"{tmp_path}/{says}"
    assert caught.value.delivered == 0


def test_a_path_through_a_file_gives_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="a part of the path is a file"):
        sink(tmp_path / "file" / "t.jsonl").reopen()


def test_a_directory_without_permission_gives_one_clear_line(tmp_path: Path) -> None:
    if os.geteuid():
        directory = tmp_path / "closed"
        directory.mkdir(mode=0o500)
    else:
        directory = Path("/proc")  # where not even root makes files
    with pytest.raises(SinkError) as caught:
        sink(directory / "t.jsonl").reopen()
    assert "\n" not in str(caught.value)
    assert str(directory / "t.jsonl") in str(caught.value)


def test_every_line_decodes_to_the_record_that_was_delivered(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    odd = record(1, text='\0\x1b[2J\u2028\\"', language=None, words=())
    sink(path).deliver([odd])
    assert msgspec.json.decode(path.read_bytes(), type=type(odd)) == odd
