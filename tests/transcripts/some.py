"""Records for tests, and disks that fill up."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edged.model.record import Record, RecordWord


def record(number: int = 0, **changes: Any) -> Record:
    """A record whose id and text tell its number."""
    values: dict[str, Any] = {
        "id": f"id-{number}",
        "start": "2026-11-20T09:15:02.120Z",
        "end": "2026-11-20T09:15:04.480Z",
        "text": f"Turn light {number} off.",
        "confidence": 0.98,
        "channel": 0,
        "words": (RecordWord(word="turn", text="Turn", start=0.0, end=0.21, confidence=0.99),),
        "language": "en",
        "model": "nova-3",
        "request_id": "c0ffee",
        "replayed": False,
        "delayed_s": 0.4,
        "clock": "synchronized",
        "device": "plughw:CARD=Device",
        "host": "kiosk-7",
        "run": "run-1",
        "from_": 412_800,
        "to": 451_200,
    }
    return Record(**values | changes)


def records(first: int, last: int) -> list[Record]:
    """Return the records with the numbers `first` to `last`, both included."""
    return [record(number) for number in range(first, last + 1)]


@contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[Path]:
    """A real file system of this size."""
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=755", "tmpfs", str(at)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def remount(at: Path, how: str) -> None:
    """`ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(at)], check=True)
