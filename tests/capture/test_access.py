"""Cards whose nodes this process may not open or can't see, and a system without /proc."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edged.capture import cards
from edged.capture.alsa_errors import explain
from edged.model.message_ids import MessageId

DEVICE = "plughw:CARD=Device"
ABSENT = OSError("No such device [plughw:CARD=Device]")
"""Error of libasound, which finds a card by its id only if it may open the control node."""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the control node of the only card. Its directory exists, the node does not."""
    monkeypatch.setattr(cards, "SYSFS", tmp_path / "sys")
    monkeypatch.setattr(cards, "NODES", tmp_path / "snd")
    (tmp_path / "sys" / "card1").mkdir(parents=True)
    (tmp_path / "sys" / "card1" / "id").write_text("Device\n")
    (tmp_path / "sys" / "pcmC1D0c").mkdir()
    (tmp_path / "snd").mkdir()
    return tmp_path / "snd" / "controlC1"


def test_a_container_without_the_nodes_gets_the_option_that_passes_them(node: Path) -> None:
    error = explain(ABSENT, DEVICE)
    assert f"the kernel has it, but {node} is missing here; a container needs `--device {node.parent}`" in str(error)
    assert error.message_id is MessageId.MICROPHONE_FORBIDDEN
    assert str(explain(OSError("No such file or directory [default]"), "default", ["cannot find card '0'"])).endswith(
        f"`--device {node.parent}`"
    )


def test_a_machine_without_any_sound_node_gets_that_as_the_cause(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SYSFS", node)
    node.parent.rmdir()
    assert f"is not there, nor is {node.parent}: no sound driver is loaded" in str(explain(ABSENT, DEVICE))


@pytest.mark.parametrize(
    ("mode", "group", "cure"),
    [
        (0o660, "audio", "add it to the group `audio`"),
        (0o660, "video", "add it to the group `video`"),
        (0o660, 54_321, "add it to the group 54321 (a container needs `--group-add 54321`)"),
        (0o600, "audio", "allows only its owner"),
    ],
)
def test_a_user_outside_the_group_of_the_node_gets_the_name_of_the_group(
    node: Path, mode: int, group: str | int, cure: str
) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    node.touch()
    node.chmod(mode)
    shutil.chown(node, "root", group)
    for directory in node.parents[1:-2]:  # below /tmp
        directory.chmod(0o755)
    code = f"""
import os
from pathlib import Path
from edged.capture import cards
from edged.capture.alsa_errors import explain
os.setgroups([])
os.setresuid(65534, 65534, 65534)
cards.SYSFS, cards.NODES = Path({str(node.parents[1] / "sys")!r}), Path({str(node.parent)!r})
print(explain(OSError("No such device"), {DEVICE!r}))
print(explain(OSError("Permission denied"), {DEVICE!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        assert line.startswith(f"{DEVICE} may not be opened by this user: ")
        assert cure in line


def test_a_device_rule_is_the_cause_where_the_modes_allow_access(node: Path) -> None:
    node.touch()
    error = explain(OSError("Operation not permitted [hw:1]"), "hw:1")
    assert f"a device rule denies access to {node}" in str(error)


@pytest.mark.parametrize("command", ["devices", "check --config /dev/null --set capture.device=hw:1"])
def test_devices_and_check_work_without_proc(command: str) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root can take /proc away")
    script = f"umount -l /proc && exec {sys.executable} -m edged {command}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
