"""What people name as a file is opened without waiting, or refused with a reason."""

import os
from pathlib import Path

import pytest

from edged.files import open_file


def test_files_and_the_empty_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    for path, text in ((tmp_path / "link", b"text"), (Path("/dev/null"), b"")):
        with open_file(path) as file:
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
def test_what_is_no_file_is_refused_at_once(name: str, why: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=why) as raised:
        open_file(tmp_path / name)
    assert raised.value.strerror == why
    assert str(raised.value.filename) == str(tmp_path / name)
    assert os.listdir("/proc/self/fd") == before, "nothing stays open"
