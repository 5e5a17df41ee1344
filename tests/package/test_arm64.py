"""edged on 64-bit ARM, which a Raspberry Pi is: Debian's own arm64 packages, by qemu's emulation of the processor.

Building the package there takes a quarter of an hour (`script/package --arch arm64`); what is compiled in it comes from
PyPI here.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd import root

BINFMT = Path("/proc/sys/fs/binfmt_misc")
RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")

INSIDE = """
set -e
root=$1 layer=$2 repository=$3
ip link set lo up
mount -t tmpfs tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
cd "$layer/root"
mount -t proc proc proc
cp -r "$repository/edged" usr/lib/edged/
cp "$repository/debian/tests/selftest" tmp/
install "$repository/debian/edged.py" usr/bin/edged
exec chroot . /usr/bin/python3 -B /tmp/selftest
"""


def missing() -> str | None:
    """Return what is missing, in a line."""
    if os.geteuid():
        return "a root directory of one's own needs root"
    if absent := [
        each for each in ("mmdebstrap", "unshare", "ip", "qemu-aarch64-static") if shutil.which(each) is None
    ]:
        return f"not installed: {', '.join(absent)}"
    return None


def can_run_arm64() -> None:
    """Let the kernel start such programs, as systemd-binfmt does where that runs."""
    if platform.machine() == "aarch64" or (BINFMT / "qemu-aarch64").exists():
        return
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_text(RULE.read_text())


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=missing() or "nothing")
def test_it_transcribes_every_word_of_a_recording(tmp_path: Path) -> None:
    """The package's own self-test: gate with its second opinion, connection, spool, and what is written."""
    can_run_arm64()
    alone = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    done = subprocess.run(
        [*alone, "sh", "-c", INSIDE, "sh", root.for_arm(), tmp_path, root.REPOSITORY],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 10 words" in done.stdout
    assert "a second opinion (silero)" in done.stderr
