"""A real daemon that hears a virtual microphone, and may die and be started as often as one likes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from edged.model.record import Record, decode
from edged.testkit.script import Script
from edged.testkit.virtual_microphone import VirtualMicrophone
from tests.end_to_end.stage import KEY, Setting
from tests.kills.ear import Ear, Verdict, expected, judge

ROOT = Path(__file__).parents[2]
C_SOURCE = ROOT / "script" / "virtual_microphone.c"
PLUGIN = ROOT / ".cache" / "libasound_module_pcm_edged.so"

PERIOD_MS = 100
"""The period of users' microphones."""

LOOK_S = 0.02
"""Interval at which the microphone's account is read: five times a period."""

LATELY = 50
"""Looks, a second or so, of which the latest counts when a process is killed: others were as late as we."""

AFTER_S = 1.0
"""Longer than the last word asked for can be on its way to the gate, on a busy machine too."""

QUIET_S = 45.0
"""Silence after which no more words come: longer than any wait of the daemon's."""


class Cannot(Exception):
    """The machine cannot run these tests; the message says why."""


@cache
def plugin() -> Path:
    """The virtual microphone's plug-in: script/setup's, or one compiled for now. Raises Cannot."""
    if PLUGIN.exists() and PLUGIN.stat().st_mtime >= C_SOURCE.stat().st_mtime:
        return PLUGIN
    made = Path(mkdtemp(prefix="edged-plugin-")) / PLUGIN.name
    command = ["gcc", "-O2", "-shared", "-fPIC", "-DPIC", "-o", str(made), str(C_SOURCE), "-lasound"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Cannot("the virtual microphone can't be compiled: gcc and libasound2-dev are needed") from error
    return made


class Instance:
    """One daemon after the other, all with the same microphone, spool and files."""

    def __init__(self, directory: Path, script: Script, url: str, settings: Mapping[str, Setting]) -> None:
        self.directory = directory
        self.script = script
        self.transcripts = directory / "out" / "transcripts.jsonl"
        raw = directory / "speech.raw"
        raw.write_bytes(script.pcm)
        self.microphone = VirtualMicrophone(directory, plugin(), raw)
        self.ear = Ear()
        self.program: Sequence[str] = ("edged",)
        """The module that is run, and arguments that come before the daemon's own."""
        self.starts = 0
        self.stopping = False
        """SIGTERM was sent to the present process."""
        self._hushed = False
        self._late_s: deque[float] = deque(maxlen=LATELY)
        self._process: asyncio.subprocess.Process | None = None
        self._looking: asyncio.Task[None] | None = None
        self._wall_offset_s = time.time() - time.monotonic()
        (directory / "edged.toml").write_text("")
        self.settings: dict[str, Setting] = {
            "capture.device": self.microphone.name,
            "capture.period_ms": PERIOD_MS,
            "deepgram.url": url,
            "reconnect.initial_s": 0.2,
            "reconnect.max_s": 1,
            "reconnect.refused_s": 1,
            # Its words are composed sounds, which a detector that was trained on voices may rightly refuse; what is
            # tested here is what becomes of all that a gate has let through.
            "gate.second_opinion": "none",
            "transcripts.sinks": ["file"],
            "transcripts.file.path": str(self.transcripts),
            "spool.directory": str(directory / "spool"),
            "spool.runtime_directory": str(directory / "runtime"),
            "daemon.log_level": "debug",
            **settings,
        }

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill()
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self.look()
            asked_s = time.monotonic()
            await asyncio.sleep(LOOK_S)
            self._late_s.append(time.monotonic() - asked_s - LOOK_S)

    def _died(self) -> None:
        """A process that was killed loses two periods, and what it was late by."""
        self.look()
        if self.process.returncode == -signal.SIGKILL and not self._hushed:
            self.ear.killed(round(max(self._late_s, default=0.0) * self.script.rate))

    def look(self) -> None:
        """Read the microphone's account; a half-written one is read again the next time."""
        if self._hushed:
            return
        try:
            played = self.microphone.playback_state
        except ValueError:
            return
        if played:
            self.ear.observe(played)

    async def hush(self) -> None:
        """Enough was said: what was heard is what was heard up to now, and soon nobody speaks any more."""
        self.look()
        self._hushed = True
        await asyncio.sleep(AFTER_S)
        self.microphone.mute()

    # -- the process --------------------------------------------------------------------------------------------------

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The present one, or the last."""
        assert self._process, "never started"
        return self._process

    @property
    def running(self) -> bool:
        """Whether there is one."""
        return self._process is not None and self._process.returncode is None

    async def start(self, program: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        """One more, of another `program` if that is given."""
        assert not self.running, "two at a time"
        self.starts += 1
        self.stopping = False
        command = [
            sys.executable,
            "-m",
            *(program or self.program),
            "run",
            "--config",
            str(self.directory / "edged.toml"),
        ]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={json.dumps(value)}"]
        clean = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        extra = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "DEEPGRAM_API_KEY": KEY}
        with (self.directory / f"log{self.starts:03}").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**clean, **extra, **self.microphone.environment, **(environment or {})},
                cwd=self.directory,
            )

    async def says(self, text: str, within_s: float = 60.0) -> None:
        """Wait for a text in the present process's log."""
        await self.until(lambda: text in self.log or not self.running, f"{text!r} in the log", within_s)
        assert text in self.log, f"ended without saying {text!r}:\n{self.last}"

    async def until(self, condition: Callable[[], object], what: str, within_s: float = 60.0) -> None:
        """Wait; fails if it does not come true."""
        limit_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < limit_s, f"{what} did not come within {within_s:g} s:\n{self.last}"
            await asyncio.sleep(0.03)

    async def kill(self) -> None:
        """SIGKILL, if there is one."""
        if self.running:
            self.process.kill()
            await self.process.wait()
            self._died()

    async def stop(self, within_s: float = 60.0) -> int:
        """SIGTERM; returns the status."""
        self.stopping = True
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within_s)

    async def ended(self, within_s: float = 60.0) -> int:
        """Wait for its end."""
        try:
            status = await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            raise AssertionError(f"it still runs after {within_s:g} s:\n{self.last}") from None
        self._died()
        return status

    # -- what came of it ----------------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """Return the log of the present or last process."""
        return (self.directory / f"log{self.starts:03}").read_text(errors="backslashreplace")

    @property
    def last(self) -> str:
        """The end of it, for people."""
        return f"{self.directory}, start {self.starts}:\n" + "\n".join(self.log.splitlines()[-30:])

    @property
    def logs(self) -> list[str]:
        """Return the logs of all processes so far."""
        return [path.read_text(errors="backslashreplace") for path in sorted(self.directory.glob("log*"))]

    @property
    def records(self) -> list[Record]:
        """Return the records that the file sink wrote so far. Raises for a line that is no record."""
        if not self.transcripts.exists():
            return []
        return [decode(line) for line in self.transcripts.read_bytes().splitlines()]

    @property
    def at(self) -> int:
        """Return the position of the room, in samples; 0 before the first capture."""
        played = self.microphone.playback_state
        return round((time.monotonic() - played.started_s) * self.script.rate) if played else 0

    @property
    def left_s(self) -> float:
        """Return the seconds until the last of the recording has sounded."""
        return (len(self.script.pcm) // 2 - self.at) / self.script.rate

    @property
    def heard(self) -> int:
        """Words, so far."""
        return len(expected(self.script, self.ear.heard))

    @property
    def missing(self) -> int:
        """Words that were heard and are not written yet."""
        got = {word.word for record in self.records for word in record.words}
        return sum(word.text not in got for word in expected(self.script, self.ear.heard))

    async def settled(self, quiet_s: float = QUIET_S) -> None:
        """Wait until every word that was heard is written, or none has come for `quiet_s`."""
        missing, since_s = self.missing, time.monotonic()
        while missing and time.monotonic() < since_s + quiet_s and self.running:
            await asyncio.sleep(0.3)
            if (now := self.missing) != missing:
                missing, since_s = now, time.monotonic()

    def verdict(self, wrong_s: Collection[float] = (0.0,)) -> Verdict:
        """Return the verdict on everything up to now. The daemon's clock may have been wrong by any of these."""
        played = self.microphone.playback_state
        room_s = played.started_s + self._wall_offset_s if played else 0.0
        return judge(self.script, self.ear.heard, self.records, room_s=room_s, wrong_s=wrong_s)

    def faults_in_logs(self) -> list[str]:
        """Return each kind of text that no log may contain: a traceback, a spoken word, the key, raw bytes."""
        found = []
        for number, log in enumerate(self.logs, 1):
            low = log.lower()
            found += [f"start {number}: a traceback"] if "Traceback" in log else []
            found += [f"start {number}: the key"] if KEY in log else []
            found += [f"start {number}: bytes"] if "\\x" in log else []
            found += [f"start {number}: the word {word}" for word in self.script.texts if word in low]
        return found
