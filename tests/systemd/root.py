"""A root directory of the Debian whose Python is ours, with a virtual environment in /opt/edged: made once, and kept.

Nothing is ever written into it: a `Machine` lays its own layer over it.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache" / "roots"

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""By the Python they come with: what is built outside must run inside."""

PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "kmod", "dbus"),
    *("python3", "python3-venv", "ca-certificates"),
    *("libasound2-plugins", "libasound2-data", "logrotate"),
)

EXCLUDED = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "locale")]


def needed() -> str | None:
    """What is missing on this machine for roots and machines, in a line; None if nothing is."""
    if os.geteuid():
        return "a machine of one's own needs root"
    programs = ("mmdebstrap", "systemd-nspawn", "nsenter", "unshare", "gcc")
    if missing := [each for each in programs if shutil.which(each) is None]:
        return f"not installed: {', '.join(missing)}"
    if sys.version_info[:2] not in SUITES:
        return "no Debian comes with this Python"
    return None


def root() -> Path:
    """The root directory, made now if it is missing or made by other rules."""
    suite = SUITES[sys.version_info[:2]]
    directory, stamp = CACHE / suite, CACHE / f"{suite}.stamp"
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = REPOSITORY / "requirements-dev.lock"
    rules = hashlib.sha256(Path(__file__).read_bytes() + lock.read_bytes()).hexdigest()
    with (CACHE / f"{suite}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != rules:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(directory, ignore_errors=True)
            _bootstrap(suite, directory)
            _environment(directory, lock)
            stamp.write_text(rules)
    return directory


def _bootstrap(suite: str, directory: Path) -> None:
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    call(
        # it may leave /proc mounted in there, which would be in the way, and in danger, when the root is made anew
        *("unshare", "-m", "--propagation", "private"),
        *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={','.join(PACKAGES)}"),
        *('--aptopt=Acquire::Languages "none"', *EXCLUDED),
        *(suite, str(directory), f"deb [signed-by={keys}] {_mirror()} {suite} main"),
    )


def _mirror() -> str:
    """This machine's own source of packages."""
    for file in sorted(Path("/etc/apt").rglob("sources.list*/**/*.sources")):
        if found := re.search(r"^URIs:\s*(\S+)", file.read_text(), re.MULTILINE):
            return found[1]
    for file in sorted(Path("/etc/apt").rglob("*.list")):
        if found := re.search(r"^deb\s+(?:\[.*?\]\s+)?(\S+)", file.read_text(), re.MULTILINE):
            return found[1]
    pytest.skip("no source of Debian packages is known to apt here")


def _environment(directory: Path, lock: Path) -> None:
    """What edged needs, at the locked versions: built here, where compilers are, and installed there offline."""
    wheels = directory / "opt" / "wheels"
    project = tomli.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    call(*_pip("wheel", "-w", str(wheels), "-c", str(lock), *project["dependencies"]))
    call("chroot", str(directory), "python3", "-m", "venv", "/opt/edged")
    names = [f"/opt/wheels/{wheel.name}" for wheel in wheels.iterdir()]
    call(*_pip_inside(directory), *names)
    shutil.rmtree(wheels)


def wheel(directory: Path) -> Path:
    """edged itself, as a wheel, from a copy of the working tree: building leaves its traces beside the source."""
    copy = directory / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    for name in ("edged", "systemd"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    call(*_pip("wheel", "-w", str(directory), "--no-deps", "--no-build-isolation", str(copy)))
    (made,) = directory.glob("*.whl")
    return made


def install(root: Path, made: Path) -> None:
    """A wheel into the /opt/edged of a root directory."""
    shutil.copy(made, root / "opt" / made.name)
    call(*_pip_inside(root), "--no-deps", f"/opt/{made.name}")


def _pip(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]


def _pip_inside(root: Path) -> list[str]:
    pip = ["/opt/edged/bin/python", "-m", "pip", "--isolated", "--disable-pip-version-check", "-q", "install"]
    return ["chroot", str(root), *pip, "--no-index"]


def call(*command: str) -> str:
    """Run it; its output if it succeeds, a failed test that shows it if not."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
