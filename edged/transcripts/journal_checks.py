"""What the journal sink can't promise on this machine: by journald's own settings, and by who may read the journal.

Changes nothing, and costs a few small files: `edged check` and `edged run` look at each start.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edged.service.mounts import MOUNTS, file_system
from edged.transcripts.journal_readback import may_read_journal

FOLDERS: Final = ("etc", "run", "usr/local/lib", "usr/lib")
"""Where journald.conf and its drop-ins may be, below the root; the first counts most (journald.conf(5))."""

LEAST_BURST: Final = 500
"""Messages that journald must take at once: after a crash it may be given the records of an hour, of speech without a
pause some 400. By default it takes 10,000 in 30 s, and more with much room on the disk."""


def journal_cautions(root: Path = Path("/"), namespace: str | None = None, mounts: Path = MOUNTS) -> Iterator[str]:
    """A line for each promise that does not hold; `namespace`: of the service's own journal (`LogNamespace=`)."""
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
    if (burst := most_at_once(settings)) is not None and burst < LEAST_BURST:
        yield (
            f"[transcripts] sinks has journal, but journald takes no more than {burst} messages at once "
            "(RateLimitBurst) and drops what is beyond, as records after a crash may be: use the file sink too, unless "
            "LogRateLimitIntervalSec=0 is set for edged, as its own units do"
        )
    if not may_read_journal(namespace):
        why, way = ("which this user can't read back", ", or see journal-read.conf")
        if namespace:
            why, way = ("of a namespace, which edged does not read back", "")
        yield (
            f"[transcripts] sinks has journal, {why}: after a crash a record may be in it twice, and what journald "
            f"lost is not written again; use the file sink too{way}"
        )


def drop_in(name: str) -> str:
    """Where a setting counts: after Raspberry Pi OS's own 40-rpi-volatile-storage.conf, and more than the main file."""
    return f"/etc/systemd/{name}.conf.d/50-persistent.conf"


def most_at_once(settings: dict[str, str]) -> int | None:
    """How many messages of one service journald takes in an interval; None: any number."""
    burst, interval = settings.get("RateLimitBurst", ""), settings.get("RateLimitIntervalSec", "")
    if not burst.isdecimal() or int(burst) == 0 or re.fullmatch(r"0+\s*[a-z]*", interval):
        return None  # no limit, or the default
    return int(burst)


def journald_settings(root: Path, name: str = "journald") -> dict[str, str]:
    """What is written in its main file, then in each drop-in, by name; the last counts. Empty is not written."""
    folders = [root / each / "systemd" for each in FOLDERS]
    main = next((file for each in folders if (file := each / f"{name}.conf").is_file()), None)
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):  # the same name in a folder that counts more takes its place
        drop_ins.update({each.name: each for each in folder.glob(f"{name}.conf.d/*.conf")})
    found: dict[str, str] = {}
    for file in [*([main] if main else []), *(drop_ins[each] for each in sorted(drop_ins))]:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:  # not for us to read: what journald makes of it stays unknown
            continue
        for line in lines:
            option, is_set, value = line.partition("=")
            if is_set and not line.lstrip().startswith(("#", ";")):
                found[option.strip()] = value.strip()
    return {option: value for option, value in found.items() if value}
