"""Instructions that the pure chain takes for a second of audio, counted by callgrind: the same on every run.

They depend on the interpreter's build, and a little on the C library's; so what was recorded says which ones it is of.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("instructions.json")

BASE = (20, 20, 200)
"""Seconds of speech, of silence, rounds of the reference loop: what all runs have in common, to be subtracted."""
MORE = 40
"""Extra seconds of the longer run."""
ROUNDS = 4000
"""Extra iterations of the longer run."""


class Instructions(NamedTuple):
    """Instructions in user space, in thousands."""

    speech_k: float
    """Instructions per second of speech."""
    silence_k: float
    """Instructions per second of a quiet room."""
    reference_k: float
    """Instructions per thousand iterations of the reference loop."""


def build() -> str:
    """Return what the counts depend on most."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.python_compiler()}, {platform.machine()}"


def count() -> Instructions:
    """Four runs under callgrind, a quarter of a minute each. Raises FileNotFoundError without valgrind."""
    speech, silence, rounds = BASE
    base = _total(speech, silence, rounds)
    return Instructions(
        (_total(speech + MORE, silence, rounds) - base) / MORE / 1000,
        (_total(speech, silence + MORE, rounds) - base) / MORE / 1000,
        (_total(speech, silence, rounds + ROUNDS) - base) / ROUNDS,
    )


def recorded() -> tuple[str, Instructions]:
    """The build and the numbers that are checked in."""
    held = json.loads(RECORDED.read_text())
    return held.pop("build"), Instructions(**held)


def record(counted: Instructions) -> None:
    """Check in new numbers."""
    numbers = {name: round(value, 1) for name, value in counted._asdict().items()}
    RECORDED.write_text(json.dumps({"build": build(), **numbers}, indent=1) + "\n")


def _total(*work: int) -> int:
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sys.executable,
        "-m",
        "bench.cost.chain",
    ]
    command += [str(each) for each in work]
    # Without a fixed seed the order of sets, and with it the work, is another one each time.
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or not found:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ran.stderr[-2000:]}")
    return int(found[1])
