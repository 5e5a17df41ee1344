"""The wheel and the source distribution, for those whom no Debian package serves. In a service: tests/systemd."""

import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

import edged
from tests.systemd import root

pytestmark = pytest.mark.slow

UNITS = sorted(file.name for file in (root.REPOSITORY / "systemd").iterdir())

BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-c", BUILD_SDIST, str(directory)]
    subprocess.run(build, cwd=root.source(directory), check=True, capture_output=True)
    (made,) = directory.glob("*.tar.gz")
    return made


def test_the_source_distribution_has_what_the_wheel_is_made_of_and_not_the_tests(sdist: Path) -> None:
    assert sdist.name == f"edged-{edged.__version__}.tar.gz"
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "edged/__init__.py", "edged/py.typed"} <= names
    assert {f"systemd/{name}" for name in UNITS} <= names
    assert not any(name.startswith("tests") for name in names)


def test_a_wheel_of_it_installs_with_command_and_units(sdist: Path, tmp_path: Path) -> None:
    """Into an environment of its own, where what it depends on is lent from the one that runs this."""
    made = root.wheel(tmp_path, sdist)
    environment = tmp_path / "environment"
    for command in (
        ("-m", "venv", "--without-pip", str(environment)),
        ("-m", "pip", "-q", "--python", str(environment / "bin/python"), "install", "--no-deps", str(made)),
    ):
        subprocess.run([sys.executable, *command], check=True)
    (site,) = environment.glob("lib/python3.*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))

    def run(*command: str) -> str:
        return subprocess.run(
            [str(environment / "bin" / command[0]), *command[1:]],
            check=True,
            text=True,
            capture_output=True,
            cwd=tmp_path,
        ).stdout

    assert run("edged", "--version") == f"edged {edged.__version__}\n"
    assert run("edged", "check", "--sample") == (root.REPOSITORY / "config/edged.toml").read_text()
    assert sorted(file.name for file in (environment / "share/edged/systemd").iterdir()) == UNITS
    looked = "from edged.cli import service; print(service.templates(), service.Installation.this().program)"
    assert run("python", "-c", looked).split() == [
        str(environment / "share/edged/systemd"),
        str(environment / "bin/edged"),
    ]
