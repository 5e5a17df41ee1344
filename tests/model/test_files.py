"""Files that people name are opened without waiting, or rejected with a reason."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.model.files import UnsafeFileError, open_private, open_regular_file, why_not_private

NOBODY = 65534


def test_regular_files_and_dev_null_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    for path, text in ((tmp_path / "link", b"text"), (Path("/dev/null"), b"")):
        with open_regular_file(path) as file:
            assert file.read() == text
            assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pipe", "it is a pipe or a device, not a file"),
        ("/dev/zero", "it is a pipe or a device, not a file"),
        (".", "Is a directory"),
        ("absent", "No such file or directory"),
    ],
)
def test_a_path_that_is_no_regular_file_is_rejected_at_once(name: str, why: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=why) as raised:
        open_regular_file(tmp_path / name)
    assert raised.value.strerror == why
    assert str(raised.value.filename) == str(tmp_path / name)
    assert os.listdir("/proc/self/fd") == before, "nothing stays open"


# -- files that others may have prepared ------------------------------------------------------------------------------


def as_link(path: Path) -> None:
    path.symlink_to("other")


def with_second_name(path: Path) -> None:
    path.hardlink_to(path.with_name("other"))


def of_another_user(path: Path) -> None:
    if os.geteuid():
        pytest.skip("a file of another user needs root")
    path.touch()
    os.chown(path, NOBODY, NOBODY)


def as_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("a device needs root")


PREPARED = pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "it is a pipe or a device, not a file"),
        (as_device, "it is a pipe or a device, not a file"),
        (as_link, "it is a symbolic link"),
        (with_second_name, r"it has a second name \(a hard link\)"),
        (of_another_user, r"it belongs to another user \(nobody\)"),
    ],
)


@PREPARED
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_CREAT])
def test_a_private_file_that_another_user_prepared_is_rejected_at_once(
    make: Callable[[Path], None], why: str, flags: int, tmp_path: Path
) -> None:
    other, path = tmp_path / "other", tmp_path / "file"
    other.write_bytes(b"theirs")
    make(path)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(UnsafeFileError, match=why):
        open_private(path, flags)
    found = why_not_private(path)
    assert found is not None
    assert re.fullmatch(why, found)
    assert os.listdir("/proc/self/fd") == before, "nothing stays open"
    assert other.read_bytes() == b"theirs"


def test_a_private_file_is_made_and_kept_private(tmp_path: Path) -> None:
    """One of our own that anybody may read is no longer."""
    path = tmp_path / "file"
    assert why_not_private(path) is None
    for _ in range(2):
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert why_not_private(path) is None
        path.chmod(0o666)
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "absent", os.O_RDONLY)
