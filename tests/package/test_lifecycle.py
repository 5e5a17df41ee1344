"""The Debian package on a clean Debian 13 with a real systemd, from the installation to the purge.

The tests follow each other on one machine, as one life of a package does.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.testkit.script import Script
from edged.testkit.virtual_microphone import VirtualMicrophone
from edged.transcripts.journal_entry import MESSAGE_ID
from tests.capture.conftest import plugin  # noqa: F401  a fixture
from tests.systemd import root
from tests.systemd.conftest import (  # noqa: F401  package is a fixture
    KEY,
    MICROPHONE_DROP_IN,
    Recogniser,
    microphone_in,
    package,
    put_microphone,
    three,
    words_of,
)
from tests.systemd.machine import Machine, Service

pytestmark = pytest.mark.slow

TRANSCRIPTS = f"MESSAGE_ID={MESSAGE_ID}"

INSTALL = (
    "sudo apt install --no-install-recommends ./edged_*.deb",
    "sudo install -D -m 0600 /dev/stdin /etc/credstore/deepgram-api-key",
    "edged devices",
    "sudo systemctl enable --now edged",
    "systemctl status edged",
)
"""The commands of the README, as they stand there; each is given what people type: a `y`, or the key."""

MEETING_LIBRARIES = (
    *("tests/stream/test_connection.py", "tests/stream/test_refusals.py", "tests/recognizer/test_server.py"),
    *("tests/stream/test_dialer.py", "tests/stream/test_through_proxy.py", "tests/stream/test_connect_errors.py"),
    *(
        "tests/capture/test_alsa.py",
        "tests/gate/test_detectors.py",
        "tests/config/test_loader.py",
        "tests/config/test_settings.py",
    ),
)
"""websockets as client and as server; alsaaudio; webrtcvad; tomli and msgspec."""

READ = (
    "sudo tail /var/log/edged/transcripts.jsonl",
    f"sudo journalctl --no-pager {TRANSCRIPTS}",
)


@pytest.fixture(scope="module")
def url() -> str:
    """Return the address at which the recogniser listens, once it runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"ws://127.0.0.1:{free.getsockname()[1]}/v1/listen"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, plugin: Path, package: Path) -> Iterator[Machine]:  # noqa: F811
    """Clean and booted, with the package lying in /srv and a virtual microphone."""
    machine = Machine(root.for_package(), tmp_path_factory.mktemp("machine") / "layer")
    try:
        put_microphone(machine, plugin)
        (machine.root / "srv" / package.name).write_bytes(package.read_bytes())
        machine.boot()
        yield machine
    finally:
        machine.power_cut()


@pytest.fixture(scope="module")
def speech() -> Script:
    return three()


@pytest.fixture(scope="module")
def microphone(machine: Machine, plugin: Path, speech: Script) -> VirtualMicrophone:  # noqa: F811
    return microphone_in(machine, plugin, speech)


@pytest.fixture
def service(machine: Machine, url: str) -> Service:
    """With the settings that the package brings, but for the microphone and the server."""
    service = Service(machine)
    run = f"/usr/bin/edged run --set deepgram.url={url} --set capture.device=virtual"
    service.drop_in(f"{MICROPHONE_DROP_IN}\nExecStart=\nExecStart={run}\n")
    service.mark()
    return service


def recogniser(directory: Path, speech: Script, url: str) -> Recogniser:
    return Recogniser(directory / "recogniser", speech, "--port", url.split(":")[2].split("/")[0])


def newer(of: Path, directory: Path) -> Path:
    """The same package as a later version, with other settings than the one that is installed brought."""
    unpacked = directory / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", str(of), str(unpacked)], check=True)
    control, settings = unpacked / "DEBIAN/control", unpacked / "etc/edged/edged.toml"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 9:"))
    settings.write_text(settings.read_text() + "# news\n")
    made = directory / "edged_newer.deb"
    build = ["dpkg-deb", "--build", "--root-owner-group", str(unpacked), str(made)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return made


def test_the_commands_of_the_readme_give_transcripts(
    machine: Machine, service: Service, microphone: VirtualMicrophone, speech: Script, url: str, tmp_path: Path
) -> None:
    """The machine has no compiler. Nothing listens until the commands say so."""
    assert machine.call("sh", "-c", "command -v gcc cc python3 edged").returncode != 0
    server = recogniser(tmp_path, speech, url)
    try:
        for command in INSTALL:
            said = machine.run("sh", "-c", f"cd /srv && {command}", text="y\n" if "apt" in command else f"{KEY}\n")
            if "apt" in command:
                assert machine.try_("systemctl", "is-active", "edged") == "inactive"
                assert machine.try_("systemctl", "is-enabled", "edged") == "disabled"
        assert "Active: active (running)" in said
        machine.until(lambda: words_of(service.entries(TRANSCRIPTS)) == list(speech.texts), "all words")
    finally:
        server.close()
    assert "a second opinion (silero)" in machine.run("journalctl", "--unit", "edged", "--no-pager")
    in_file, in_journal = (machine.run("sh", "-c", command) for command in READ)
    texts = [json.loads(line)["text"] for line in in_file.splitlines()]
    assert all(text in in_journal for text in texts)
    assert next(word for text in texts for word in text.lower().split()).strip(".,") == speech.texts[0]


def test_the_commands_are_those_of_the_readme() -> None:
    chapter = (
        (root.REPOSITORY / "README.md").read_text().partition("## Install on a Raspberry Pi")[2].partition("## ")[0]
    )
    commands = [line for block in chapter.split("```sh\n")[1:] for line in block.partition("```")[0].splitlines()]
    assert commands == [*INSTALL, *READ]


def test_what_is_installed_beside_the_program(machine: Machine) -> None:
    assert machine.run("edged", "--version").startswith("edged ")
    refused = machine.call("edged", "service", "install")
    assert (refused.returncode, "the package edged is installed" in refused.stderr) == (78, True)
    assert "Subject: There is no API key" in machine.run("journalctl", "--dump-catalog")
    machine.run("test", "-e", "/usr/share/man/man1/edged.1.gz", "-a", "-e", "/usr/share/man/man5/edged.toml.5.gz")


def test_what_meets_the_libraries_works_with_debians_versions(machine: Machine) -> None:
    """The tests of the files that import them, run on what is installed."""
    tree = machine.root / "srv/tree"
    for name in ("tests", "config", "script"):
        shutil.copytree(root.REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".cache/libasound_module_pcm_edged.so"):
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(root.REPOSITORY / name, tree / name)
    machine.run(
        "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", *root.FOR_TESTS
    )
    test = (
        f"EDGED_NO_SKIPS=1 {machine.python} -m pytest -p no:cacheprovider -m 'not slow' {' '.join(MEETING_LIBRARIES)}"
    )
    said = machine.run("sh", "-c", f"cd /srv/tree && {test}")
    assert "100%" in said
    shutil.rmtree(tree)


def test_an_upgrade_in_mid_outage_keeps_speech_and_settings(
    machine: Machine,
    service: Service,
    microphone: VirtualMicrophone,
    speech: Script,
    url: str,
    package: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The service is started again by it; what was said before is transcribed by the new version."""
    machine.run("systemctl", "stop", "edged")
    machine.run("sh", "-c", "rm -f /srv/microphone/*.state; echo '# mine' >>/etc/edged/edged.toml")
    microphone.resume()
    service.start()
    heard = len(speech.pcm) / 2 / speech.rate
    machine.until(
        lambda: (played := microphone.playback_state) and played.delivered >= len(speech.pcm) // 2,
        "the end",
        heard + 20,
    )
    service.shows("backlog")
    (machine.root / "srv/newer.deb").write_bytes(newer(package, tmp_path).read_bytes())
    keep = ("-o", "Dpkg::Options::=--force-confold")
    machine.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", *keep, "/srv/newer.deb")
    assert machine.run("dpkg-query", "-W", "-f=${Version}", "edged").startswith("9:")
    assert machine.run("tail", "-n", "1", "/etc/edged/edged.toml") == "# mine"
    assert machine.run("systemctl", "is-active", "edged") == "active"
    service.says("of an earlier run wait to be transcribed")
    server = recogniser(tmp_path, speech, url)
    try:
        machine.until(lambda: sorted(words_of(service.entries(TRANSCRIPTS))) == sorted(speech.texts), "all words", 60)
    finally:
        server.close()


def test_a_purge_leaves_nothing_but_what_is_the_administrators(machine: Machine, service: Service) -> None:
    """Administrators know of the key and the drop-in that they made; the purge mentions the key."""
    machine.write("/etc/edged/kitchen.toml", 'capture.device = "plughw:CARD=Device"\n')
    machine.run("systemctl", "enable", "--now", "edged@kitchen")
    said = machine.run("apt-get", "purge", "-y", "edged")
    assert "/etc/credstore/deepgram-api-key was not put there by this package" in said
    assert machine.try_("systemctl", "list-units", "--no-legend", "edged*") == ""
    places = "/etc /usr /var/lib /var/log /var/cache /run"
    left = machine.run(
        "sh", "-c", f"find {places} -xdev -name '*edged*' -not -path /run/systemd/propagate/*"
    ).splitlines()
    assert left == ["/etc/systemd/system/edged.service.d"]
    assert machine.run("sh", "-c", "getent passwd edged; getent group edged edged-control; true") == ""
