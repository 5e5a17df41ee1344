"""Runs the demo: `edged recognizer` and `edged run` as processes of their own, as anybody would start them."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

import edged
from edged.audio import BYTES_PER_SAMPLE
from edged.demo.room import RATE
from edged.demo.teller import Teller
from edged.errors import EdgedError
from edged.options import toml
from edged.recognizer.engine import HeardWord
from edged.recognizer.pocketsphinx import PocketsphinxEngines
from edged.summary import Summary
from edged.transcripts import record
from edged.transcripts.record import Record

READY_S = 30.0
"""For the recogniser to listen, and for a microphone to open: a Pi's first import of everything takes seconds."""
STOP_S = 15.0
"""For `edged run` to end: its own `daemon.stop_s` (10) and then some."""
COMPARE_S = 120.0
"""For the comparison, which takes about as long as listening on the slowest machines."""


class Plan(NamedTuple):
    """What is to be played."""

    directory: Path
    """Everything that is written goes there; it exists."""
    settings: Mapping[str, Mapping[str, object]]
    """Sections of the configuration, beside where transcripts go."""
    environment: Mapping[str, str]
    """Of `edged run`, over this process's own."""
    listen_s: float
    """Stop so long after the microphone has opened."""
    fault: str | None = None
    """For the local recogniser to bring about."""
    local: bool = True
    """Start a recogniser on this machine."""
    compare: bytes | None = None
    """Let PocketSphinx recognise this recording as a whole meanwhile (s16le mono, `RATE`)."""


class Played(NamedTuple):
    """What came of it."""

    status: int
    """Of `edged run`."""
    interrupted: bool
    summary: Summary | None
    records: list[Record]
    whole: tuple[HeardWord, ...] | None


async def play(plan: Plan, say: Callable[[str], None]) -> Played:
    """Play it; `say` gets a line whenever something happens. The first Ctrl-C stops it in order, with what has come.

    Raises EdgedError if it can't be played. No process outlives this call.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    task = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and task:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    try:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(_recognizer(plan)) if plan.local else None
            status, whole = await _run(plan, url, stop, say)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
    return Played(status, stop.is_set(), _summary(plan), _records(plan), whole)


async def _run(
    plan: Plan, url: str | None, stop: asyncio.Event, say: Callable[[str], None]
) -> tuple[int, tuple[HeardWord, ...] | None]:
    """`edged run`, for as long as it is to listen. Returns its status, and what it is compared with."""
    arguments = [
        *("run", "--config", str(_configuration(plan, url))),
        *("--summary", str(plan.directory / "summary.json")),
    ]
    teller = Teller(cutting=plan.fault is not None)
    compare: asyncio.Task[tuple[HeardWord, ...]] | None = None
    async with _started(arguments, plan.environment, stderr=PIPE) as process:
        reader = asyncio.create_task(_follow(process, plan.directory / "edged.log", teller, say))
        await _until(lambda: teller.listening or reader.done() or stop.is_set(), READY_S)
        if teller.listening:
            if plan.compare is not None:
                compare = asyncio.create_task(_recognised(plan.compare))
            await _until(lambda: reader.done() or stop.is_set(), plan.listen_s)
        elif not reader.done() and not stop.is_set():
            say(f"The microphone did not open within {READY_S:.0f} s.")
        if process.returncode is None:
            process.terminate()
        await _until(reader.done, STOP_S)
    await reader
    status = process.returncode or 0
    if compare is None:
        return status, None
    await _until(lambda: compare.done() or stop.is_set(), COMPARE_S)
    if compare.done():
        return status, compare.result()
    compare.cancel()
    return status, None


async def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Looked at ten times a second: nothing here is in a hurry."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.1)


@asynccontextmanager
async def _recognizer(plan: Plan) -> AsyncIterator[str]:
    """`edged recognizer`, on any free port; gives its URL."""
    faults = ["--fault", plan.fault] if plan.fault else []
    arguments = ["recognizer", "--engine", "pocketsphinx", "--port", "0", *faults]
    with (plan.directory / "recognizer.log").open("wb") as log:
        async with _started(arguments, {}, stdout=PIPE, stderr=log.fileno()) as process:
            assert process.stdout is not None  # it is a pipe
            line = b""
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_S):
                    line = await process.stdout.readline()
            if not line:
                why = (plan.directory / "recognizer.log").read_text(errors="replace").strip().rpartition("\n")[2]
                raise EdgedError(f"the local recogniser does not start: {why or 'it says nothing'}")
            yield line.decode().strip()


@asynccontextmanager
async def _started(
    arguments: list[str], environment: Mapping[str, str], *, stdout: int | None = None, stderr: int
) -> AsyncIterator[Process]:
    """A command of edged's, by the same Python; stopped at the end.

    In a session of its own: Ctrl-C is for the demo, which then stops the others in order.
    """
    here = str(Path(edged.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "edged", *arguments),
        stdin=DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **environment, "PYTHONPATH": here},  # this very edged, wherever Python was started
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


async def _follow(process: Process, log: Path, teller: Teller, say: Callable[[str], None]) -> None:
    """Tell what `edged run` logs, until it has ended."""
    assert process.stderr is not None  # it is a pipe
    with log.open("wb") as copy:
        async for line in process.stderr:
            copy.write(line)
            told = teller.tell(line.decode(errors="replace").rstrip("\n"))
            if told is not None:
                say(told)
    await process.wait()


async def _recognised(pcm: bytes) -> tuple[HeardWord, ...]:
    """What PocketSphinx makes of a whole recording: `transcribe`, in pieces, so that it can be given up."""
    engine = await asyncio.to_thread(PocketsphinxEngines().open, RATE)
    piece = RATE * BYTES_PER_SAMPLE
    for at in range(0, len(pcm), piece):
        await asyncio.to_thread(engine.feed, pcm[at : at + piece])
    return (await asyncio.to_thread(engine.flush)).words


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
    """None if `edged run` did not get as far as writing one."""
    file = plan.directory / "summary.json"
    return msgspec.json.decode(file.read_bytes(), type=Summary) if file.exists() else None


def _records(plan: Plan) -> list[Record]:
    file = plan.directory / "transcripts.jsonl"
    return [record.decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []
