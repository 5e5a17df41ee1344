"""Two machines for all tests here, one with the wheel and one with the Debian package, and what they talk to."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edged.testkit.compose import compose, sentences
from edged.testkit.script import Script
from edged.testkit.virtual_microphone import SYSTEM_CONFIG, VirtualMicrophone
from tests.capture.conftest import plugin  # noqa: F401  a fixture
from tests.systemd import root
from tests.systemd.machine import MICROPHONE, Machine, Service

KEY = "c0ffee0123456789abcdef0123456789deadbeef"

MICROPHONE_DROP_IN = f"""
[Service]
Environment=ALSA_CONFIG_PATH={SYSTEM_CONFIG}:{MICROPHONE}/virtual.conf
ReadWritePaths={MICROPHONE}
"""
"""The virtual microphone is no device, but files. Nothing else of the sandbox is opened for it."""

ABSENT = {"capture__device": "plughw:CARD=Device", "deepgram__url": "ws://127.0.0.1:9/v1/listen"}
"""No such card, and nobody who listens there."""


def three() -> Script:
    """Make a recording of three sentences."""
    return compose(sentences(3, 6), lead_s=1.0, silence_s=1.5, tail_s=1.0)


@pytest.fixture(scope="session")
def speech() -> Script:
    return three()


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package of the working tree."""
    if reason := root.needed():
        pytest.skip(reason)
    return root.package()


@pytest.fixture(scope="session", params=["wheel", "package"])
def machine(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    plugin: Path,  # noqa: F811
) -> Iterator[Machine]:
    """Booted with edged installed and enabled, but without microphone, network and key."""
    if reason := root.needed():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("machine")
    machine = Machine(root.root() if request.param == "wheel" else root.for_package(), directory / "layer")
    try:
        put_microphone(machine, plugin)
        if request.param == "wheel":
            machine.program, machine.python = "/opt/edged/bin/edged", "/opt/edged/bin/python"
            root.install(machine.root, root.wheel(directory))
            machine.run(machine.program, "service", "install")
        else:
            install_package(machine, request.getfixturevalue("package"))
        Service(machine).configure(**ABSENT)
        machine.run("systemctl", "enable", "edged")
        machine.boot()
        yield machine
    finally:
        machine.power_cut()


def put_microphone(machine: Machine, plugin: Path) -> None:  # noqa: F811
    """The virtual one's driver."""
    directory = machine.root / MICROPHONE[1:]
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    shutil.copy(plugin, directory)
    (directory / "virtual.conf").touch()  # ALSA's configuration names it, whether the test has a microphone or not


def install_package(machine: Machine, package: Path) -> str:
    """Install the package as the README says, without questions; return the output of apt."""
    shutil.copy(package, machine.root / "srv")
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends")
    return machine.run(*apt, f"/srv/{package.name}")


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """edged.service, stopped and without a past."""
    service = Service(machine)
    service.reset()
    service.drop_in(MICROPHONE_DROP_IN)
    yield service
    service.reset()


@pytest.fixture
def microphone(machine: Machine, plugin: Path, speech: Script) -> VirtualMicrophone:  # noqa: F811
    return microphone_in(machine, plugin, speech)


def microphone_in(machine: Machine, plugin: Path, speech: Script) -> VirtualMicrophone:  # noqa: F811
    """Hears the speech once, from the first capture on; then it is quiet."""
    outside = machine.root / MICROPHONE[1:]
    (outside / "speech.raw").write_bytes(speech.pcm)
    made = VirtualMicrophone(outside, outside / plugin.name, outside / "speech.raw")
    made.config.write_text(made.config.read_text().replace(str(outside), MICROPHONE))
    made.resume()
    return made


class Recogniser:
    """`edged recognizer`, which knows the speech, in a process on the host."""

    def __init__(self, directory: Path, script: Script, *arguments: str) -> None:
        directory.mkdir()
        (directory / "key").write_text(KEY)
        script.save(directory / "speech.wav", directory / "speech.json")
        command = [sys.executable, "-m", "edged", "recognizer", "--engine", "script", "--port", "0"]
        command += ["--script", str(directory / "speech.wav"), "--api-key-file", str(directory / "key"), *arguments]
        self._process = subprocess.Popen(
            command, cwd=root.REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)
        )
        assert self._process.stdout
        self.url = self._process.stdout.readline().decode().strip()
        assert self.url, "the recogniser did not start"

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        assert self._process.stdout
        self._process.stdout.close()


@pytest.fixture
def recogniser(tmp_path: Path, speech: Script) -> Iterator[Recogniser]:
    recogniser = Recogniser(tmp_path / "recogniser", speech)
    yield recogniser
    recogniser.close()


def listening(recogniser: Recogniser, sinks: Sequence[str] = ("journal",)) -> dict[str, str | list[str]]:
    """The settings for the virtual microphone and that recogniser."""
    return {
        "capture__device": "virtual",
        "deepgram__url": recogniser.url,
        "transcripts__sinks": list(sinks),
    }


def put_key(machine: Machine, key: str = KEY) -> None:
    """Put the key in place as the README says."""
    machine.run("install", "-D", "-m", "0600", "/dev/stdin", "/etc/credstore/deepgram-api-key", text=key + "\n")


def words_of(entries: Sequence[dict[str, object]]) -> list[str]:
    """The words of transcripts in the journal."""
    return [word["word"] for entry in entries for word in json.loads(str(entry["EDGED_WORDS"]))]
