"""The disk that a virtual machine boots from: Debian's own kernel, and edged as a service. Made once, and kept.

The system is that of `tests.systemd.root`. A container's kernel is the host's, so here one comes with it; a small first
root file system loads what its disk needs.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.systemd import root
from tests.systemd.machine import Machine as Container

GUEST = Path(__file__).parent / "guest"
CACHE = root.REPOSITORY / ".cache" / "vm"

PROGRAMS = ("qemu-system-x86_64", "setpriv", "mke2fs", "modprobe", "depmod")

FIRST = ("virtio_pci", "virtio_blk", "crc32c", "ext4")
"""Modules that are loaded before there is a disk."""

LATER = ("virtio_net", "virtio_console", "af_packet", "evdev", "button", "snd-aloop")
"""Modules that the disk has: network, ports, the power button, and the kernel's loop-back card as a microphone."""

SIZE_MB = 1000
"""The disk, sparse: half of it is free."""

MASKED = (
    *("getty@tty1.service", "serial-getty@ttyS0.service", "e2scrub_reap.service", "e2scrub_all.timer"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "logrotate.timer"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "ldconfig.service"),
    *("systemd-networkd-wait-online.service", "systemd-network-generator.service", "systemd-resolved.service"),
    *(f"modprobe@{module}.service" for module in ("efi_pstore", "loop", "fuse", "drm", "dm_mod")),
    *("dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "proc-sys-fs-binfmt_misc.automount"),
)
"""Services that cost time at each boot of an emulated processor, and that nothing here needs."""


class Disk(NamedTuple):
    """Files for qemu; the image is copied, never written."""

    kernel: Path
    initrd: Path
    image: Path


def needed() -> str | None:
    """Return what is missing on this machine for virtual machines, in a line; None if nothing is."""
    if reason := root.needed():
        return reason
    if missing := [each for each in PROGRAMS if shutil.which(each) is None]:
        return f"not installed: {', '.join(missing)}"
    return None if os.uname().machine == "x86_64" else "the kernel that is fetched is for x86-64"


def disk() -> Disk:
    """Return the disk; make it first if it is missing, or if edged has changed since."""
    suite = root.SUITES[sys.version_info[:2]]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        lower = root.root()
        rules = _hash([Path(__file__), CACHE.parent / "roots" / f"{suite}.stamp", GUEST / "init"])
        system = _once(CACHE / f"{suite}-kernel", rules, lambda new: _fetch_kernel(suite, lower, new))
        sources = (*_files("edged"), *_files("systemd"), *_files("tests/vm/guest"), root.REPOSITORY / "pyproject.toml")
        image = _once(CACHE / f"{suite}-image", rules + _hash(sources), lambda new: _make_image(lower, system, new))
    return Disk(system / "vmlinuz", system / "initrd", image / "disk.img")


def _files(directory: str) -> list[Path]:
    found = (root.REPOSITORY / directory).rglob("*")
    return sorted(file for file in found if file.is_file() and file.suffix != ".pyc")


def _hash(files: Iterable[Path]) -> str:
    made = hashlib.sha256()
    for file in files:
        made.update(str(file.relative_to(root.REPOSITORY)).encode() + b"\0" + file.read_bytes())
    return made.hexdigest()


def _once(directory: Path, rules: str, make: Callable[[Path], None]) -> Path:
    """A directory that `make` fills, made anew if it was made by other rules."""
    stamp = directory / "rules"
    if not stamp.exists() or stamp.read_text() != rules:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        make(directory)
        stamp.write_text(rules)
    return directory


def _fetch_kernel(suite: str, lower: Path, new: Path) -> None:
    """Debian's, unpacked only: the kernel, those of its modules that are used, and the first root file system."""
    packages = new / "packages"
    root.call(
        *("unshare", "-m", "--propagation", "private"),
        *("mmdebstrap", "--quiet", "--variant=extract", "--mode=root", "--include=linux-image-amd64,busybox-static"),
        *(suite, str(packages), str(lower / "etc/apt/sources.list")),
    )
    (kernel,) = (packages / "boot").glob("vmlinuz-*")
    (everything,) = packages.glob("lib/modules/*")  # in Debian 13 lib is usr/lib
    _choose_modules(everything, new)
    _make_initrd(next(packages.glob("*/busybox")), new)
    kernel.rename(new / "vmlinuz")
    shutil.rmtree(packages)


def _choose_modules(everything: Path, new: Path) -> None:
    """`modules`: as in a root directory. `order`: files of what comes first."""
    version, base = everything.name, everything.parents[2]
    root.call("depmod", "-b", str(base), version)
    (new / "order").write_text("".join(f"{file}\n" for file in _with_needed(base, version, FIRST)))
    target = new / "modules" / "lib" / "modules" / version
    target.mkdir(parents=True)
    for file in everything.glob("modules.*"):
        shutil.copy(file, target)
    for file in _with_needed(base, version, FIRST + LATER):
        copy = target / file.relative_to(everything)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    root.call("depmod", "-b", str(new / "modules"), version)


def _with_needed(base: Path, version: str, modules: Iterable[str]) -> list[Path]:
    """Their files, each after those that it needs."""
    lines: list[str] = []
    for module in modules:
        shown = root.call("modprobe", "-d", str(base), "-S", version, "--show-depends", module)
        lines += [line.split()[1] for line in shown.splitlines() if line.startswith("insmod ")]
    return [Path(line) for line in dict.fromkeys(lines)]


def _make_initrd(busybox: Path, new: Path) -> None:
    first = new / "first"
    for directory in ("bin", "modules", "disk", "proc", "dev"):
        (first / directory).mkdir(parents=True)
    shutil.copy(busybox, first / "bin")
    shutil.copy(GUEST / "init", first)
    (first / "init").chmod(0o755)
    files = [Path(line) for line in (new / "order").read_text().splitlines()]
    for file in files:
        shutil.copy(file, first / "modules")
    (first / "modules" / "order").write_text("".join(f"{file.name}\n" for file in files))
    names = "\n".join(str(each.relative_to(first)) for each in sorted(first.rglob("*")))
    with (new / "initrd").open("wb") as archive:
        subprocess.run(
            [str(busybox), "cpio", "-o", "-H", "newc"],
            input=names.encode(),
            stdout=archive,
            cwd=first,
            check=True,
            stderr=subprocess.DEVNULL,
        )
    shutil.rmtree(first)


def _make_image(lower: Path, system: Path, new: Path) -> None:
    """The root directory, with the modules, edged as its service, and the host's hands."""
    with tempfile.TemporaryDirectory(prefix="edged-disk-") as temporary:
        container = Container(lower, Path(temporary) / "layer")
        try:
            _furnish(container, system, Path(temporary))
            image = new / "disk.img"
            root.call("truncate", "-s", f"{SIZE_MB}M", str(image))
            root.call("mke2fs", "-q", "-t", "ext4", "-d", str(container.root), str(image))
        finally:
            container.power_cut()


def _furnish(container: Container, system: Path, directory: Path) -> None:
    root.install(container.root, root.wheel(directory))
    shutil.copytree(system / "modules", container.root, dirs_exist_ok=True)
    for name in ("agent.py", "room.py"):
        shutil.copy(GUEST / name, container.root / "srv")
    shutil.copy(GUEST / "agent.service", container.root / "etc/systemd/system")
    shutil.copy(GUEST / "wired.network", container.root / "etc/systemd/network")
    container.write("/etc/hostname", "edged-vm\n")
    container.run("/opt/edged/bin/edged", "service", "install")
    container.run("systemctl", "enable", "edged", "agent", "systemd-networkd")
    container.run("systemctl", "mask", *MASKED)
    container.run("systemctl", "set-default", "multi-user.target")
