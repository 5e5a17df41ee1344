"""Through the real libasound: the virtual microphone plays the recording into its room, heard or not."""

import asyncio
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from edged.recognizer.perturbations import Perturbations
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script
from edged.testkit.virtual_microphone import VirtualMicrophone
from tests.end_to_end.stage import Run, Stage, speech, until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
C_SOURCE = ROOT / "script" / "virtual_microphone.c"


def plugin(directory: Path) -> Path:
    """The compiled plug-in: script/setup's if it is up to date, else one of our own."""
    made = ROOT / ".cache" / "libasound_module_pcm_edged.so"
    if made.exists() and made.stat().st_mtime >= C_SOURCE.stat().st_mtime:
        return made
    if shutil.which("gcc") is None or not Path("/usr/include/alsa/asoundlib.h").exists():
        pytest.skip("no gcc or no libasound2-dev: the virtual microphone can't be compiled")
    made = directory / made.name
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-DPIC", "-o", made, C_SOURCE, "-lasound"], check=True)
    return made


async def listen(stage: Stage, script: Script, server: InstrumentedServer) -> tuple[VirtualMicrophone, Run]:
    """A daemon at a microphone in whose room the recording has just begun."""
    audio = stage.directory / "room.raw"
    audio.write_bytes(script.pcm)
    microphone = VirtualMicrophone(stage.directory, plugin(stage.directory), audio)
    settings = {"capture.source": "alsa", "capture.device": microphone.name}
    return microphone, await stage.daemon(server.url, script, settings, microphone.environment)


async def test_from_a_microphone_to_the_file(stage: Stage) -> None:
    """Every word, at its time, until somebody stops it."""
    script = speech()
    server = await stage.recogniser(script, perturbations=Perturbations.all(jitter_ms=0))
    _, run = await listen(stage, script, server)
    await until(lambda: len(run.words) == len(script.texts), "all words")
    run.signal(signal.SIGTERM)
    assert await run.ends() == 0
    run.check_words()
    run.check_records(server.connection_logs)
    run.check_times()
    assert {record.device for record in run.records} == {"virtual"}


async def test_unplugged_and_plugged_in_again(stage: Stage) -> None:
    """Said once, and over when it is back; what is said then is transcribed, at its right time across the hole."""
    script = speech(count=2, silence_s=15)
    server = await stage.recogniser(script)
    microphone, run = await listen(stage, script, server)
    await until(lambda: len(run.words) == 5, "the first sentence")
    microphone.unplug()
    await run.says("WARNING microphone:")
    await asyncio.sleep(1)
    microphone.replug()
    await run.says("microphone: works again")
    await until(lambda: len(run.words) == len(script.texts), "the second sentence")
    run.signal(signal.SIGTERM)
    assert await run.ends() == 0
    run.check_words()
    run.check_times()
    assert run.log.count("WARNING microphone:") == 1
    assert run.summary["holes"] == 1
    assert len(server.connection_logs) == 1, "the connection was held"


async def test_a_microphone_that_is_not_there_yet(stage: Stage) -> None:
    """The key is checked, the run begins, and it hears what is said once it is there."""
    script = speech(count=1, lead_s=6)
    server = await stage.recogniser(script)
    audio = stage.directory / "room.raw"
    audio.write_bytes(script.pcm)
    microphone = VirtualMicrophone(stage.directory, plugin(stage.directory), audio)
    microphone.unplug()
    settings = {"capture.source": "alsa", "capture.device": microphone.name}
    run = await stage.daemon(server.url, script, settings, microphone.environment, begun="WARNING microphone:")
    await until(
        lambda: server.connection_logs and server.connection_logs[0].closed_at_s is not None, "the check of the key"
    )
    assert server.connection_logs[0].close_code == 1000
    microphone.replug()
    await until(lambda: len(run.words) == len(script.texts), "all words")
    run.signal(signal.SIGTERM)
    assert await run.ends() == 0
    run.check_words()
    assert len(server.connection_logs) == 2
