"""Checks whether journald's settings and permissions weaken the promises of the journal sink on this machine.

The checks change nothing, and read a few small files: `edged check` and `edged run` make them at each start.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edged.service.mounts import MOUNTS, file_system
from edged.transcripts.journal_readback import may_read_journal

CONFIGURATION_DIRECTORIES: Final = ("etc", "run", "usr/local/lib", "usr/lib")
"""Directories of journald.conf and its drop-ins below the root; earlier ones take precedence (journald.conf(5))."""

MIN_BURST_MESSAGES: Final = 500
"""Messages that journald must accept at once: after a crash edged may send the records of an hour, some 400 for speech
without a pause. By default journald accepts 10,000 in 30 s, and more if the disk has much space."""


def journal_cautions(root: Path = Path("/"), namespace: str | None = None, mounts: Path = MOUNTS) -> Iterator[str]:
    """Yield a line for each promise that does not hold. `namespace`: the service's own journal (`LogNamespace=`)."""
    if not (root / "run/systemd/journal/socket").exists():
        yield "[transcripts] sinks has journal, but no journald runs here: records would wait in memory"
        return
    name = f"journald@{namespace}" if namespace else "journald"
    settings = journald_settings(root, name)
    storage = settings.get("Storage", "persistent" if namespace else "auto").lower()
    if storage == "none":
        yield "[transcripts] sinks has journal, but journald stores nothing (Storage=none): use the file sink too"
        return
    if storage == "volatile" or (storage == "auto" and not (root / "var/log/journal").is_dir()):
        yield (
            "[transcripts] sinks has journal, which is kept in memory only on this machine and gone after a reboot: "
            f"use the file sink too, or write Storage=persistent under [Journal] into {drop_in(name)}"
        )
    elif (on := file_system(root / "var/log/journal", mounts)) and on.in_memory:
        yield (
            f"[transcripts] sinks has journal, which is in memory on this machine ({on.kind}), even if a program such "
            "as log2ram copies it now and then: use the file sink too, on a disk"
        )
    if (burst := burst_limit(settings)) is not None and burst < MIN_BURST_MESSAGES:
        yield (
            f"[transcripts] sinks has journal, but journald takes no more than {burst} messages at once "
            "(RateLimitBurst) and drops what is beyond, as records after a crash may be: use the file sink too, unless "
            "LogRateLimitIntervalSec=0 is set for edged, as its own units do"
        )
    if not may_read_journal(namespace):
        reason, advice = ("which this user can't read back", ", or see journal-read.conf")
        if namespace:
            reason, advice = ("of a namespace, which edged does not read back", "")
        yield (
            f"[transcripts] sinks has journal, {reason}: after a crash a record may be in it twice, and what journald "
            f"lost is not written again; use the file sink too{advice}"
        )


def drop_in(name: str) -> str:
    """Return a drop-in that takes precedence over the main file and Raspberry Pi OS's 40-rpi-volatile-storage.conf."""
    return f"/etc/systemd/{name}.conf.d/50-persistent.conf"


def burst_limit(settings: dict[str, str]) -> int | None:
    """Return how many messages of a service journald accepts per interval; None for no limit, or for the default."""
    burst, interval = settings.get("RateLimitBurst", ""), settings.get("RateLimitIntervalSec", "")
    if not burst.isdecimal() or int(burst) == 0 or re.fullmatch(r"0+\s*[a-z]*", interval):
        return None  # no limit, or the default
    return int(burst)


def journald_settings(root: Path, name: str = "journald") -> dict[str, str]:
    """Read journald's settings from its main file, then from its drop-ins by name: later values override earlier ones.

    Empty values are left out.
    """
    folders = [root / directory / "systemd" for directory in CONFIGURATION_DIRECTORIES]
    main = next((file for folder in folders if (file := folder / f"{name}.conf").is_file()), None)
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):  # a file replaces those of the same name in directories of lower precedence
        drop_ins.update({file.name: file for file in folder.glob(f"{name}.conf.d/*.conf")})
    found: dict[str, str] = {}
    for file in [*([main] if main else []), *(drop_ins[drop_in_name] for drop_in_name in sorted(drop_ins))]:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:  # not readable for this user: its effect stays unknown
            continue
        for line in lines:
            option, is_set, value = line.partition("=")
            if is_set and not line.lstrip().startswith(("#", ";")):
                found[option.strip()] = value.strip()
    return {option: value for option, value in found.items() if value}
