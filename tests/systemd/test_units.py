"""Promises of the files in systemd/, as far as they can be checked without booting."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"

REASONLESS = ("Description=", "Documentation=", "Type=", "ExecStart=", "WantedBy=", "User=", "Group=")
"""Lines that need no reason."""


def directives(unit: str) -> list[str]:
    """Return the unit's lines, without comments and with continued lines joined."""
    text = (UNITS / unit).read_text().replace("\\\n", "")
    return [re.sub(r" +", " ", line) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_instance_unit_is_the_unit_with_places_of_its_own() -> None:
    """All else is the same, line by line."""

    def single(line: str) -> str:
        line = line.replace("-%i", "").replace(" (%i)", "")
        return line if not line.startswith("ExecStart=") else "ExecStart=/usr/bin/edged run"

    assert [single(line) for line in directives("edged@.service")] == directives("edged.service")


def test_every_line_has_its_reason() -> None:
    """A comment above it, or above the block that it is part of."""
    explained = False
    for line in (UNITS / "edged.service").read_text().splitlines():
        if not line or line.startswith("["):
            explained = False
        elif line.startswith("#"):
            explained = True
        elif not line.startswith(REASONLESS):
            assert explained, line


@pytest.mark.parametrize("unit", ["edged.service", "edged@.service"])
def test_the_sandbox_scores_what_was_asked_for(unit: str) -> None:
    """1.2 at most, by systemd's own measure. (`--threshold` is in tenths.)"""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=12", str(UNITS / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


@pytest.mark.parametrize("unit", ["edged.service", "edged@.service"])
def test_systemd_understands_every_line(unit: str, tmp_path: Path) -> None:
    """Exceptions are two directives that systemd has from 254 on, and manual pages that are not installed."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    copy = tmp_path / unit.replace("@", "@kitchen")
    text = (UNITS / unit).read_text().replace("\\\n", "")
    copy.write_text(re.sub("(?m)^ExecStart=.*", "ExecStart=/bin/true", text))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if unit.partition(".")[0].rstrip("@") in line]
    assert [line for line in complaints if "RestartSteps" not in line and "RestartMaxDelaySec" not in line] == []
