"""`edged demo`: with all that it needs, with a microphone and a recogniser of one's own, and with something missing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from edged.cli import demo
from edged.cli.main import main
from edged.daemon.summary import Summary
from edged.demo import recording
from edged.demo.runner import READY_S, DemoResult, Plan
from edged.model.errors import ExitStatus
from edged.testkit.compose import compose
from edged.testkit.faults import Fault, FaultKind
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory
from edged.testkit.virtual_microphone import VirtualMicrophone
from tests.capture.conftest import plugin as plugin  # a fixture
from tests.patience import PATIENCE_S

FIGURES = (
    *("captured_s", "sent_s", "keepalives", "connections", "reconnects", "utterances", "words", "holes"),
    *("evicted_s", "left_s"),
)
"""Of a summary."""
DEMO = (sys.executable, "-m", "edged", "demo")


def left_behind(directory: Path) -> list[str]:
    """The command lines of processes that still have to do with a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended this moment
        if str(directory) in command and process.name != str(os.getpid()):
            found.append(command)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not demo.PLUGIN.exists(), reason="script/setup has not compiled the virtual microphone")
@pytest.mark.skipif(not recording.RECORDINGS.exists(), reason="pocketsphinx-testdata is not installed")
@pytest.mark.skipif(find_spec("pocketsphinx") is None, reason="PocketSphinx is not installed")
def test_the_whole_demo_shows_what_it_promises(tmp_path: Path) -> None:
    """Every sentence gives a transcript though the connection is cut; KeepAlives in the silences; the table."""
    kept = tmp_path / "kept"
    done = subprocess.run(
        [*DEMO, "--keep", kept], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout, "plain, where it is no terminal"
    summary = json.loads((kept / "summary.json").read_text())
    assert (summary["reconnects"], summary["holes"], summary["evicted_s"], summary["left_s"]) == (1, 0, 0, 0)
    records = [json.loads(line) for line in (kept / "transcripts.jsonl").read_text().splitlines()]
    assert [record["replayed"] for record in records].count(True) == 1, "the cut was in mid-sentence"
    lines = done.stdout.splitlines()
    # What was not answered before the cut may still go out in the silence after it, if the machine is slow.
    assert sum("silence: KeepAlive" in line for line in lines) == summary["keepalives"] >= len(recording.SILENCES_S) - 1
    assert sum("the demo has cut the connection in mid-sentence" in line for line in lines) == 1
    for record in records:
        assert any(record["text"] in line for line in lines), "one sees the transcripts appear"
    for label in ("audio captured", "audio sent", "share saved", "KeepAlives", "reconnects", "words"):
        assert sum(label in line for line in lines) >= 1, label
    edged, without = (
        int(line.split()[1 + line.startswith("all")]) for line in lines if line.split()[-1:] and " of 71 = " in line
    )
    assert edged <= without + 3, "PocketSphinx's luck with single words aside, edged costs none"
    assert left_behind(kept) == []


# With a microphone and a recogniser given, nothing of PocketSphinx is needed, and a few seconds are enough.


@asynccontextmanager
async def listening(
    directory: Path, plugin: Path, *options: str, faults: tuple[Fault, ...] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Script]]:
    """`edged demo`, at a microphone that plays a script to a recogniser that knows it."""
    script = compose(["ba be bi bo"], lead_s=2.0, tail_s=1.0)
    (directory / "audio.raw").write_bytes(script.pcm)
    microphone = VirtualMicrophone(directory, plugin, directory / "audio.raw")
    async with InstrumentedServer(ScriptEngineFactory(script), faults=faults) as server:
        demo = await asyncio.create_subprocess_exec(
            *DEMO,
            *("--device", microphone.name, "--url", server.url, "--keep", str(directory / "kept"), *options),
            env={**os.environ, **microphone.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield demo, script
        finally:
            while demo.returncode is None:  # a test that fails leaves no daemon behind, as a kill would
                demo.terminate()
                await asyncio.wait([asyncio.create_task(demo.wait())], timeout=1)
    assert left_behind(directory / "kept") == []


@pytest.mark.slow
def test_with_a_device_and_a_url_it_listens_there_and_sends_there(tmp_path: Path, plugin: Path) -> None:
    async def listen() -> tuple[int | None, str, Script]:
        async with listening(tmp_path, plugin, "--seconds", "6") as (demo, script):
            out, _ = await demo.communicate()
            return demo.returncode, out.decode(), script

    status, out, script = asyncio.run(listen())
    assert status == 0, out
    assert "Not local: the audio is sent to ws://127.0.0.1:" in " ".join(out.split())
    records = [json.loads(line) for line in (tmp_path / "kept" / "transcripts.jsonl").read_text().splitlines()]
    assert [word["word"] for record in records for word in record["words"]] == [word.text for word in script.words]
    assert all(record["text"] in out for record in records)
    assert "reconnects     0" in out
    assert "words          4" in out
    assert "without" not in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_early_with_what_was_said_so_far(tmp_path: Path, plugin: Path, number: signal.Signals) -> None:
    async def interrupt() -> tuple[int | None, str]:
        async with listening(tmp_path, plugin, "--seconds", "600") as (demo, _):
            assert demo.stdout is not None
            out = b""
            while b"Ba be bi bo" not in out:
                out += await demo.stdout.readline()
            demo.send_signal(number)
            return await demo.wait(), (out + await demo.stdout.read()).decode()

    status, out = asyncio.run(asyncio.wait_for(interrupt(), PATIENCE_S))
    assert status == ExitStatus.INTERRUPTED
    assert "words          4" in out


@pytest.mark.slow
def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, plugin: Path) -> None:
    """Though the recogniser answers nothing, and the daemon would wait for that."""

    async def interrupt() -> int | None:
        mute = Fault(FaultKind.BLACK_HOLE)
        async with listening(tmp_path, plugin, "--seconds", "600", faults=(mute,)) as (demo, _):
            assert demo.stdout is not None
            while b"connected" not in await demo.stdout.readline():
                pass
            await asyncio.sleep(2.5)  # somebody has spoken: now there is something to wait for
            demo.send_signal(signal.SIGINT)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(demo.wait()), 1)
            demo.send_signal(signal.SIGINT)
            out = await demo.stdout.read()
            assert b"Traceback" not in out
            return await demo.wait()

    assert asyncio.run(asyncio.wait_for(interrupt(), PATIENCE_S)) == ExitStatus.INTERRUPTED


NOWHERE = "ws://127.0.0.1:1/v1/listen"


@pytest.mark.slow
def test_a_microphone_that_the_daemon_refuses_ends_it_with_the_daemons_words_and_status(
    tmp_path: Path, plugin: Path
) -> None:
    (tmp_path / "audio.raw").touch()
    microphone = VirtualMicrophone(tmp_path, plugin, tmp_path / "audio.raw", rate=48_000)
    done = subprocess.run(
        [*DEMO, "--device", microphone.name, "--url", NOWHERE],
        env=os.environ | microphone.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitStatus.CONFIGURATION
    assert f"edged: {microphone.name} can't do 16000 Hz" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_microphone_that_gave_nothing_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def played(plan: Plan, _: object) -> DemoResult:
        return DemoResult(0, False, Summary(run="r", usd_estimated=0.0, **dict.fromkeys(FIGURES, 0)), [], None)

    monkeypatch.setattr(demo, "play", played)
    assert main(["demo", "--device", "plughw:CARD=Absent", "--url", NOWHERE]) == ExitStatus.SPEECH_LEFT
    last = capsys.readouterr().out.rpartition("\n\n")[2]
    assert last.startswith("Nothing was captured: plughw:CARD=Absent delivered no audio.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "foo"], 'url = "foo" has no scheme: did you mean "wss://foo/v1/listen"?'),
        (["--api-key-file", "/absent"], "the key can't be read from file /absent"),
    ],
)
def test_a_recogniser_that_cant_be_used_is_refused_before_anything_is_promised(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--device", "auto", *arguments]) == ExitStatus.CONFIGURATION
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert says in line


# What is missing.


@pytest.mark.slow
def test_a_microphone_that_is_not_there_is_not_waited_for() -> None:
    """Not even for as long as one may take to open."""
    command = [*DEMO, "--device", "plughw:CARD=Nowhere", "--url", NOWHERE]
    begun_s = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert time.monotonic() - begun_s < 0.7 * READY_S
    assert done.returncode == ExitStatus.SPEECH_LEFT
    assert "microphone: plughw:CARD=Nowhere is not there" in done.stdout
    assert "does not wait for it" in done.stdout


@pytest.mark.parametrize(
    ("attribute", "says"),
    [("demo.PLUGIN", "script/setup"), ("recording.RECORDINGS", "apt install pocketsphinx-testdata")],
)
def test_a_missing_part_is_named_with_what_to_install(
    attribute: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        f"edged.cli.{attribute}" if attribute.startswith("demo") else f"edged.demo.{attribute}", tmp_path / "absent"
    )
    assert main(["demo"]) == ExitStatus.CONFIGURATION
    said = capsys.readouterr()
    assert said.out == ""
    assert sum(says in line for line in said.err.splitlines()) == 1


def test_a_missing_pocketsphinx_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    assert main(["demo", "--device", "auto"]) == ExitStatus.CONFIGURATION
    assert f"{sys.executable} -m pip install pocketsphinx" in capsys.readouterr().err


def test_what_to_do_next_is_named_as_it_can_be_called_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, elsewhere = tmp_path / "clone/.venv/bin", tmp_path / "else where"
    scripts.mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(scripts))
    monkeypatch.setenv("PATH", str(elsewhere))
    assert demo.command(tmp_path / "clone") == f"{sys.executable} -m edged", "run from source"
    for directory in (scripts, elsewhere):
        (directory / "edged").touch(mode=0o755)
    assert demo.command(tmp_path / "clone") == ".venv/bin/edged", "another edged on the path is not this one"
    assert demo.command(elsewhere) == str(scripts / "edged")
    monkeypatch.setenv("PATH", str(scripts))
    assert demo.command(tmp_path / "clone") == "edged"
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(elsewhere))
    assert demo.command(tmp_path / "clone") == f"'{elsewhere}/edged'"


@pytest.mark.parametrize(
    "arguments",
    [["--seconds", "5"], ["--device", "auto", "--seconds", "0"], ["--device", "auto", "--seconds", "x"], ["--fast"]],
)
def test_a_command_line_that_cant_be_followed_is_status_64(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *arguments]) == ExitStatus.USAGE
    assert capsys.readouterr().out == ""


def test_it_writes_over_nothing_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("keep this")
    assert main(["demo", "--device", "auto", "--url", "ws://127.0.0.1:1/", "--keep", str(tmp_path)]) == ExitStatus.USAGE
    assert "is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
