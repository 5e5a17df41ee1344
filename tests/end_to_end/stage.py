"""Real daemons on a stage: `python -m edged run` as a process, recognisers on real sockets, and what came of it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from edged.model.record import Record, decode
from edged.testkit.compose import compose, sentences
from edged.testkit.connection_log import ConnectionLog
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory
from tests.patience import PATIENCE_S

KEY = "c0ffee0123456789abcdef0123456789deadbeef"
"""An API key; it must show up nowhere but on the wire."""

STARTING = asyncio.Semaphore(2)
"""Daemons that start at a time: importing takes a processor for half a second, and there are two."""

Setting = str | int | float | bool | Sequence[str]


@cache
def speech(count: int = 3, words_each: int = 5, silence_s: float = 2.5, lead_s: float = 1.0) -> Script:
    """Sentences with silence between them; the same recording for the same arguments."""
    return compose(sentences(count, words_each), lead_s=lead_s, silence_s=silence_s, tail_s=1.0)


async def until(condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait for something that other processes bring about; fails if it does not come."""
    limit_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < limit_s, f"{what} did not come within {within_s:g} s"
        await asyncio.sleep(0.03)


class Run:
    """One daemon: its process, its files and its log, which is at debug level so that it holds every line there is."""

    def __init__(self, directory: Path, script: Script) -> None:
        self.directory = directory
        self.script = script
        self.transcripts = directory / "transcripts.jsonl"
        self.begun_s = time.time()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The daemon's process, while it runs."""
        assert self._process, "the daemon was not started"
        return self._process

    async def start(
        self,
        program: Sequence[str],
        settings: Mapping[str, Setting],
        environment: Mapping[str, str],
        output: int | None,
        begun: str,
    ) -> None:
        """Start it, and wait until its log says that it has `begun` (or it ended)."""
        (self.directory / "edged.toml").write_text("")
        command = [*program, "run", "--config", str(self.directory / "edged.toml")]
        command += ["--summary", str(self.directory / "summary.json")]
        for name, value in settings.items():
            command += ["--set", f"{name}={json.dumps(value)}"]
        clean = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        async with STARTING:
            self.begun_s = time.time()
            with (self.directory / "log").open("wb") as log, (self.directory / "output").open("wb") as out:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out if output is None else output,
                    stderr=log,
                    env={**clean, "PYTHONWARNINGS": "error", **environment},
                    cwd=self.directory,
                )
            await until(lambda: begun in self.log or self.process.returncode is not None, "the start")

    @property
    def begun_playing_s(self) -> float:
        """When its recording began to play, by the log: `time.time()`."""
        (line,) = [line for line in self.log.splitlines() if " capturing " in line][:1]
        return datetime.fromisoformat(line[:23]).timestamp()

    # -- what happens to it -------------------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        with suppress(ProcessLookupError):
            # Not `send_signal`: that looks for the status, and so takes it from the loop, which then reports 255.
            os.kill(self.process.pid, number)

    async def says(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait for a text in its log."""
        await until(lambda: text in self.log or self.process.returncode is not None, f"{text!r} in the log", within_s)
        assert text in self.log, f"ended without saying {text!r}:\n{self.last}"

    async def ends(self, within_s: float = PATIENCE_S, *, traceback: bool = False) -> int:
        """Wait for its end; returns the status, when its log has been found to keep secrets."""
        try:
            status = await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            raise AssertionError(f"it still runs after {within_s:g} s:\n{self.last}") from None
        self.check_log()
        assert ("Traceback" in self.log) is traceback, self.last
        return status

    async def kill(self) -> None:
        """The stage is cleared."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    # -- what came of it ----------------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """Standard error so far."""
        file = self.directory / "log"
        return file.read_text() if file.exists() else ""

    @property
    def last(self) -> str:
        """The end of the log, for a test that fails."""
        return "\n".join(self.log.splitlines()[-40:])

    @property
    def output(self) -> str:
        """Standard output so far, unless it was led elsewhere."""
        return (self.directory / "output").read_text()

    @property
    def summary(self) -> dict[str, Any]:
        """Return the text that `--summary` wrote."""
        read: dict[str, Any] = json.loads((self.directory / "summary.json").read_bytes())
        return read

    @property
    def records(self) -> list[Record]:
        """Return the records that the file sink wrote so far. Raises for a line that is no record."""
        if not self.transcripts.exists():
            return []
        return [decode(line) for line in self.transcripts.read_bytes().splitlines()]

    @property
    def words(self) -> list[str]:
        """The words of all records, in the order of writing."""
        return [word.word for record in self.records for word in record.words]

    # -- rules --------------------------------------------------------------------------------------------------------

    def check_log(self) -> None:
        """Never transcripts, audio or keys in the log, nor keys anywhere."""
        log = self.log
        said = [word for word in {*self.script.texts} if word in log.lower()]
        assert not said, f"words in the log: {said}\n{self.last}"
        assert KEY not in log + self.output, "the key was shown"
        assert "\\x" not in log, f"bytes in the log:\n{self.last}"

    def check_words(self) -> None:
        """No word lost, none doubled, all in order."""
        expected, got = Counter(self.script.texts), Counter(self.words)
        assert not expected - got, f"lost: {[*(expected - got)]}\n{self.last}"
        assert not got - expected, f"doubled: {[*(got - expected)]}\n{self.last}"
        in_order = [word.word for record in sorted(self.records, key=lambda r: r.from_) for word in record.words]
        assert in_order == list(self.script.texts)

    def check_records(self, accounts: Sequence[ConnectionLog]) -> None:
        """Each record is whole and agrees with itself; no two share an id or a sample."""
        records = self.records
        assert len({record.id for record in records}) == len(records)
        assert len({record.run for record in records}) == 1
        ranges = sorted((record.from_, record.to) for record in records)
        for (_, end), (start, _) in pairwise(ranges):
            assert start >= end, f"records share samples: {ranges}"
        for record in records:
            assert 0 <= record.from_ < record.to
            assert record.text == " ".join(word.text for word in record.words)
            assert 0 <= record.confidence <= 1
            assert record.delayed_s >= 0
            assert record.clock in ("synchronized", "unsynchronized", "unknown")
            assert record.request_id in {account.request_id for account in accounts}
            assert record.words[0].start == 0
            length_s = wall_s(record.end) - wall_s(record.start)
            assert abs(max(word.end for word in record.words) - length_s) < 0.0021, "the end is the last word's end"
            assert all(word.end >= word.start >= 0 for word in record.words)

    def check_positions(self, *, within_s: float = 0.05) -> None:
        """Each word lies in its record's samples. (The capture's first sample is the recording's.)"""
        said, slack = {word.text: word for word in self.script.words}, round(within_s * self.script.rate)
        for record in self.records:
            for word in record.words:
                true = said[word.word]
                assert record.from_ - slack <= true.start < true.end <= record.to + slack, f"not there: {word.word}"

    def check_times(self, *, within_s: float = 0.05, ends: bool = False) -> None:
        """Each word's wall time (`ends`: its end's too) is where the recording has it."""
        rate, said = self.script.rate, {word.text: word for word in self.script.words}
        begins = []
        for record in self.records:
            for word in record.words:
                begins.append(wall_s(record.start) + word.start - said[word.word].start / rate)
                if ends:
                    begins.append(wall_s(record.start) + word.end - said[word.word].end / rate)
        apart_s = max(begins) - min(begins)
        assert apart_s <= within_s, f"by their words' times the recording began at times {apart_s:.3f} s apart"
        assert self.begun_s < min(begins), "it began to play before its process did"

    def check_first(self, accounts: Sequence[ConnectionLog]) -> None:
        """The first 100 ms of the recording were over, by the words' times, when they reached the server."""
        first, word = self.records[0], self.records[0].words[0]
        true_s = next(w.start for w in self.script.words if w.text == word.word) / self.script.rate
        arrived_s = accounts[0].arrivals[0].at_s - time.monotonic() + time.time()
        assert wall_s(first.start) - true_s + 0.1 < arrived_s + 0.05


class Stage:
    """The stage of one test: a directory, recognisers and daemons, all removed at its end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = AsyncExitStack()
        self._runs = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def recogniser(self, script: Script, **options: Any) -> InstrumentedServer:
        """A server that knows the recording; `options` are those of Server."""
        return await self._stack.enter_async_context(InstrumentedServer(ScriptEngineFactory(script), **options))

    async def daemon(
        self,
        url: str,
        script: Script,
        settings: Mapping[str, Setting] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        program: Sequence[str] = (sys.executable, "-m", "edged"),
        output: int | None = None,
        begun: str = "capturing",
    ) -> Run:
        """A daemon that hears the recording, writes to a file, and connects again without much waiting."""
        self._runs += 1
        directory = self.directory / f"run{self._runs}"
        directory.mkdir()
        script.save(directory / "speech.wav", directory / "speech.json")
        run = Run(directory, script)
        self._stack.push_async_callback(run.kill)
        usual: dict[str, Setting] = {
            "capture.source": "wav",
            "capture.path": str(directory / "speech.wav"),
            "capture.end_wait_s": 40,
            "deepgram.url": url,
            "reconnect.initial_s": 0.2,
            "reconnect.max_s": 1,
            "reconnect.refused_s": 1,
            "transcripts.sinks": ["file"],
            "spool.directory": str(run.directory / "spool"),
            "spool.runtime_directory": str(run.directory / "runtime"),
            "transcripts.file.path": str(run.transcripts),
            "daemon.log_level": "debug",
        }
        await run.start(program, {**usual, **(settings or {})}, environment or {}, output, begun)
        return run


def wall_s(timestamp: str) -> float:
    """A record's time, as seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()
