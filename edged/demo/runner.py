"""Runs the demo: `edged recognizer` and `edged run` as processes of their own, as anybody would start them."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

import edged
from edged.config.options import toml
from edged.daemon.summary import Summary
from edged.demo import baseline
from edged.demo.narrator import Narrator
from edged.model import record
from edged.model.errors import EdgedError
from edged.model.record import Record
from edged.recognizer.engine import RecognizedWord

READY_S = 30.0
"""Timeout for the recogniser to listen and the microphone to open: a Pi's first import of everything takes seconds."""
STOP_S = 15.0
"""Timeout for `edged run` to end: its own `daemon.stop_s` (10) and then some."""
COMPARE_S = 60.0
"""Additional time for the comparison: on slow machines it has had little of the processor until then."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop the demo: Ctrl-C, `kill`, and closing the terminal."""


class Plan(NamedTuple):
    """Plan of a demo run."""

    directory: Path
    """Existing directory for all files."""
    settings: Mapping[str, Mapping[str, object]]
    """Sections of the configuration, beside where transcripts go."""
    environment: Mapping[str, str]
    """Complete environment of all processes."""
    listen_s: float
    """Time to listen after the microphone has opened."""
    local: bool = True
    """Start a recogniser on this machine."""
    fault: str | None = None
    """Fault for that recogniser to inject."""
    compare: Path | None = None
    """A recording (WAV) for PocketSphinx to recognise as a whole meanwhile."""


class DemoResult(NamedTuple):
    """Result of a demo run."""

    status: int
    """Exit status of `edged run`."""
    interrupted: bool
    summary: Summary | None
    """None if `edged run` did not get as far as writing one."""
    records: list[Record]
    whole: list[RecognizedWord] | None
    """Words of the comparison, or None without one."""


async def play(plan: Plan, say: Callable[[str], None]) -> DemoResult:
    """Play it; `say` gets a line whenever something happens. The first Ctrl-C stops it in order, with what has come.

    Raises EdgedError if it can't be played. No process outlives this call.
    """
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and task:
            task.cancel()
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    stopped = asyncio.create_task(stop.wait())
    try:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(_recognizer(plan)) if plan.local else None
            status = await _run(plan, url, stopped, stack, say)
    finally:
        stopped.cancel()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    return DemoResult(status, stop.is_set(), _summary(plan), _records(plan), _whole(plan))


async def _run(
    plan: Plan, url: str | None, stopped: asyncio.Task[bool], stack: AsyncExitStack, say: Callable[[str], None]
) -> int:
    """`edged run`, for as long as it is to listen, and the comparison beside it. Returns its status."""
    arguments: list[str | Path] = [
        "run",
        "--config",
        _configuration(plan, url),
        "--summary",
        plan.directory / "summary.json",
    ]
    teller, known = Narrator(cutting=plan.fault is not None), asyncio.Event()
    async with _started("edged", arguments, plan.environment, stderr=PIPE) as process:
        reader = asyncio.create_task(_follow(process, plan, teller, known, say))
        opened = asyncio.create_task(known.wait())
        await asyncio.wait([reader, stopped, opened], timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        compare = None
        if teller.listening:
            if plan.compare:
                compare = await stack.enter_async_context(_comparison(plan, plan.compare))
            await asyncio.wait([reader, stopped], timeout=plan.listen_s, return_when=asyncio.FIRST_COMPLETED)
        elif teller.absent:
            say("The demo does not wait for it.")
        elif not reader.done() and not stopped.done():
            say(f"The microphone has not opened within {READY_S:.0f} s.")
        opened.cancel()
        if process.returncode is None:
            process.terminate()
        await asyncio.wait([reader], timeout=STOP_S)
    await reader
    if compare:
        compared = asyncio.create_task(compare.wait())
        await asyncio.wait([compared, stopped], timeout=COMPARE_S, return_when=asyncio.FIRST_COMPLETED)
    return process.returncode or 0


@asynccontextmanager
async def _recognizer(plan: Plan) -> AsyncIterator[str]:
    """`edged recognizer`, on any free port; gives its URL."""
    faults = ["--fault", plan.fault] if plan.fault else []
    arguments = ["recognizer", "--engine", "pocketsphinx", "--port", "0", *faults]
    file = plan.directory / "recognizer.log"
    with file.open("wb") as log:
        async with _started("edged", arguments, plan.environment, stdout=PIPE, stderr=log.fileno()) as process:
            line = b""
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_S):
                    line = await _pipe(process.stdout).readline()
            if not line:
                why = file.read_text(errors="replace").strip().rpartition("\n")[2]
                raise EdgedError(f"the local recogniser does not start: {why or 'it says nothing'}")
            yield line.decode().strip()


@asynccontextmanager
async def _comparison(plan: Plan, recording: Path) -> AsyncIterator[Process]:
    """PocketSphinx on a whole recording; the file is empty until it is done."""
    with (plan.directory / "whole.json").open("wb") as out:
        async with _started("edged.demo.baseline", [recording], plan.environment, stdout=out.fileno()) as process:
            yield process


@asynccontextmanager
async def _started(
    module: str,
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    stdout: int | None = None,
    stderr: int | None = None,
) -> AsyncIterator[Process]:
    """A program of edged's, by the same Python; stopped at the end.

    In a session of its own: Ctrl-C is for the demo, which then stops the others in order.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        stdin=DEVNULL,
        stdout=stdout,
        stderr=stderr,
        # This very edged, wherever Python was started.
        env={**environment, "PYTHONPATH": str(Path(edged.__file__).parents[1])},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has ended this moment
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _follow(
    process: Process, plan: Plan, teller: Narrator, known: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Tell what `edged run` logs, until it has ended; `known`: whether there is a microphone."""
    with (plan.directory / "edged.log").open("wb") as copy:
        async for line in _pipe(process.stderr):
            copy.write(line)
            told = teller.tell(line.decode(errors="replace").rstrip("\n"))
            if told is not None:
                say(told)
            if teller.listening or teller.absent:
                known.set()
    await process.wait()


def _pipe(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise RuntimeError("the process was started without this pipe")
    return stream


def _configuration(plan: Plan, url: str | None) -> Path:
    """The file that `edged run` is given; with --keep it can be looked at, and run again."""
    sections: dict[str, dict[str, object]] = {name: dict(keys) for name, keys in plan.settings.items()}
    if url:
        sections.setdefault("deepgram", {})["url"] = url
    sections["transcripts"] = {"sinks": ["console", "file"]}
    sections["transcripts.file"] = {"path": str(plan.directory / "transcripts.jsonl")}
    sections["spool"] = {key: str(plan.directory / key) for key in ("directory", "runtime_directory")}
    sections["daemon"] = {"log_level": "debug"}  # KeepAlives are logged there
    lines = [
        line
        for name, keys in sections.items()
        for line in ("", f"[{name}]", *(f"{key} = {toml(value)}" for key, value in keys.items()))
    ]
    file = plan.directory / "edged.toml"
    file.write_text("\n".join(["# What the demo ran with.", *lines, ""]), encoding="utf-8")
    return file


def _summary(plan: Plan) -> Summary | None:
    file = plan.directory / "summary.json"
    return msgspec.json.decode(file.read_bytes(), type=Summary) if file.exists() else None


def _records(plan: Plan) -> list[Record]:
    file = plan.directory / "transcripts.jsonl"
    return [record.decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def _whole(plan: Plan) -> list[RecognizedWord] | None:
    file = plan.directory / "whole.json"
    data = file.read_bytes() if file.exists() else b""
    return baseline.decode(data) if data else None
