"""`edged service`: what is refused, what is put in place, what is taken away. On a real systemd: tests/systemd."""

import grp
import os
import pwd
import re
import sys
from pathlib import Path

import pytest

import edged
from edged.cli import service
from edged.cli.main import main
from edged.cli.service import (
    COMMAND,
    EXTRA,
    FILES,
    HIDDEN,
    OURS,
    PACKAGED,
    Installation,
    find_obstacles,
    is_ours,
    render,
    templates,
)
from edged.config.loader import read
from edged.model.errors import ConfigurationError

PROGRAM = Path("/opt/edged/bin/edged")
HERE = Path("/usr/bin/env")
"""A program that is there."""


def at(program: str, *needs: str) -> Installation:
    return Installation(Path(program), tuple(Path(each) for each in needs))


@pytest.mark.parametrize(
    "installation",
    [
        *(at(f"/{hidden}/venv/bin/edged") for hidden in HIDDEN),
        at(str(HERE), "/opt/edged/bin/python", "/home/pi/.pyenv/versions/3.13/bin/python3.13"),
    ],
)
def test_what_the_service_cannot_see_is_refused(installation: Installation) -> None:
    """The program, its interpreter, or what that is a link to."""
    reason = installation.obstacle()
    assert reason
    assert "which the service can't see" in reason


def test_what_is_not_there_or_needs_quoting_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in (at("/opt/nowhere/bin/edged").obstacle() or "")
    assert "characters" in (at("/opt/my edged/bin/edged").obstacle() or "")
    assert at(str(HERE), "/usr/bin/python3", "/usr/lib/python3.13").obstacle() is None


def test_a_directory_that_only_begins_like_a_hidden_one_is_seen() -> None:
    assert "can't see" not in (at("/homes/bin/edged").obstacle() or "")


def test_the_way_out_is_three_commands_for_an_environment_in_opt() -> None:
    from_source = at("/home/x")._replace(checkout=Path("/home/pi/edged"))
    assert from_source.instructions() == [
        "  sudo python3 -m venv /opt/edged",
        f"  sudo /opt/edged/bin/pip install '/home/pi/edged{EXTRA}'",
        "  sudo /opt/edged/bin/edged service install",
    ]
    assert f"install 'edged{EXTRA}=={edged.__version__}'" in at("/home/x").instructions()[1]


@pytest.mark.skipif(sys.maxsize <= 1 << 32, reason="32-bit machines can't have it")
def test_the_way_out_brings_the_second_opinion() -> None:
    assert EXTRA == "[silero]"


def test_this_installation_names_this_interpreter_and_this_code() -> None:
    this = Installation.this()
    assert this.program.name == "edged"
    assert Path(edged.__file__).resolve().parent in this.needs


@pytest.mark.parametrize("unit", ["edged.service", "edged@.service"])
def test_a_unit_runs_the_edged_that_put_it_there(unit: str) -> None:
    """And is otherwise the packaged one, marked as ours, without the manual pages that only the package brings."""
    original = (templates() / unit).read_text()
    made = render(PROGRAM, original)
    assert made.startswith(f"{OURS}\n")
    assert re.findall(r"(?m)^ExecStart=(\S+)", made) == [str(PROGRAM)]
    assert "man:" in original
    without = re.sub(r"(?m)^Documentation=.*\n", "", original)
    assert made.replace(f"{OURS}\n", "").replace(str(PROGRAM), "/usr/bin/edged") == without


def test_what_is_not_ours_is_never_overwritten(tmp_path: Path) -> None:
    for place in FILES.values():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("[Unit]\n")
    assert len(find_obstacles(tmp_path)) == len(FILES)
    for place in FILES.values():
        (tmp_path / place).write_text(render(PROGRAM, "[Unit]\n"))
        assert is_ours(tmp_path / place)
    assert find_obstacles(tmp_path) == []
    package = tmp_path / "usr/lib/systemd/system/edged.service"
    package.parent.mkdir(parents=True)
    package.write_text("[Unit]\n")
    (problem,) = find_obstacles(tmp_path)
    assert "the package edged is installed" in problem


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """systemd's programs, which write down how they were called. This user is the service's."""
    me, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    monkeypatch.setattr(pwd, "getpwnam", {"edged": me}.__getitem__)
    monkeypatch.setattr(grp, "getgrnam", {"adm": group}.__getitem__)
    noted = tmp_path / "calls"
    for name in ("systemctl", "systemd-sysusers", "journalctl"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{noted}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return [str(noted)]


def test_install_and_uninstall_undo_each_other_but_for_what_is_the_users(
    tmp_path: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "machine"
    (root / "run/systemd/system").mkdir(parents=True)
    assert service._install(root, at(str(PROGRAM))) == 0
    assert all(is_ours(root / place) for place in FILES.values())
    configuration = root / "etc/edged/edged.toml"
    assert configuration.read_text().startswith("#")
    assert read(configuration).settings.transcripts.sinks == ["file", "journal"], "as the package's"
    configuration.write_text("# mine\n")
    assert service._install(root, at(str(PROGRAM))) == 0, "once more, as after an update"
    assert configuration.read_text() == "# mine\n"
    said = capsys.readouterr()
    assert "/etc/credstore/deepgram-api-key" in said.out
    assert (said.out.partition(",")[0], said.err) == ("Installed", ""), "there was nothing to hand over"

    assert service._uninstall(root) == 0
    left = [str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()]
    assert left == ["etc/edged/edged.toml"]
    assert "/var/log/edged" in capsys.readouterr().out
    assert service._uninstall(root) == 0
    assert "there is nothing that" in capsys.readouterr().err
    installing = [
        f"systemd-sysusers {root}/etc/sysusers.d/edged.conf",
        "journalctl --update-catalog",
        "systemctl daemon-reload",
    ]
    assert Path(calls[0]).read_text().splitlines() == [
        *installing,
        *installing,
        "systemctl stop edged.service edged@*.service",
        "systemctl disable edged.service edged@.service",
        "journalctl --update-catalog",
        "systemctl daemon-reload",
    ]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Who was made the owner and the group of what, which only root could do."""
    noted: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(
        os, "fchown", lambda fd, user, group: noted.update({os.readlink(f"/proc/self/fd/{fd}"): (user, group)})
    )
    service_user = pwd.struct_passwd(("edged", "x", 990, 991, "", "/", "/"))
    monkeypatch.setattr(pwd, "getpwnam", {"edged": service_user}.__getitem__)
    monkeypatch.setattr(grp, "getgrnam", {"adm": grp.struct_group(("adm", "x", 4, []))}.__getitem__)
    return noted


def modes(*places: Path) -> list[int]:
    return [place.stat().st_mode & 0o7777 for place in places]


def test_what_a_terminal_has_left_becomes_the_services(
    tmp_path: Path, calls: list[str], given: dict[str, tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/install.md has it made: directories for their user alone, and a key that stays his."""
    settings, transcripts = tmp_path / "etc/edged", tmp_path / "var/log/edged"
    for directory in (settings, transcripts):
        directory.mkdir(parents=True)
        directory.chmod(0o750)
    configuration, open_to_all, key = (settings / name for name in ("edged.toml", "hall.toml", "deepgram-api-key"))
    configuration.write_text('[transcripts]\nsinks = ["file", "console"]\n')
    for file, mode in ((configuration, 0o660), (open_to_all, 0o644), (key, 0o600)):
        file.touch()
        file.chmod(mode)
    said, torn, elsewhere = (transcripts / f"transcripts.jsonl{end}" for end in ("", ".torn", ".1"))
    for file in (said, torn):
        file.touch(0o600)
    elsewhere.symlink_to(key)

    assert service._install(tmp_path, at(str(PROGRAM))) == 0
    assert given == {
        **{str(place): (-1, 991) for place in (settings, configuration)},
        **{str(place): (990, 4) for place in (transcripts, said, torn)},
    }
    assert modes(settings, configuration, open_to_all, key) == [0o750, 0o640, 0o644, 0o600]
    assert modes(transcripts, said, torn) == [0o2750, 0o640, 0o640]
    told = capsys.readouterr()
    assert told.out.splitlines()[:2] == [
        f"Readable by the group edged now: {settings}, {configuration}",
        f"Owned by edged now, readable by the group adm: {transcripts}, {said}, {torn}",
    ]
    assert told.err == (
        f"edged: warning: {configuration}: console in sinks writes every transcript into the service's log: remove it\n"
    )


def test_transcripts_of_instances_become_the_services_too(
    tmp_path: Path, calls: list[str], given: dict[str, tuple[int, int]]
) -> None:
    kitchen = tmp_path / "var/log/edged-kitchen"
    kitchen.mkdir(parents=True)
    (kitchen / "transcripts.jsonl").touch(0o600)
    assert service._install(tmp_path, at(str(PROGRAM))) == 0
    assert given[str(kitchen / "transcripts.jsonl")] == given[str(kitchen)] == (990, 4)


def test_the_command_is_linked_to_where_sudo_looks_and_the_link_goes_with_the_service(
    tmp_path: Path, calls: list[str]
) -> None:
    link = tmp_path / COMMAND
    assert service._install(tmp_path, at(str(PROGRAM))) == 0
    assert link.readlink() == PROGRAM
    assert service._uninstall(tmp_path) == 0
    assert not os.path.lexists(link)


def test_a_command_of_the_users_own_is_neither_replaced_nor_removed(tmp_path: Path, calls: list[str]) -> None:
    link = tmp_path / COMMAND
    link.parent.mkdir(parents=True)
    link.symlink_to("/srv/mine/edged")
    assert service._install(tmp_path, at(str(PROGRAM))) == 0
    assert service._uninstall(tmp_path) == 0
    assert link.readlink() == Path("/srv/mine/edged")


def test_what_the_service_can_use_already_is_left_as_it_is(
    tmp_path: Path, calls: list[str], given: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its group is another than the unit's, or all may read it."""
    me = pwd.struct_passwd(("edged", "x", os.getuid(), os.getgid(), "", "/", "/"))
    monkeypatch.setattr(pwd, "getpwnam", {"edged": me}.__getitem__)
    settings, transcripts = tmp_path / "etc/edged", tmp_path / "var/log/edged"
    for directory in (settings, transcripts):
        directory.mkdir(parents=True)
        directory.chmod(0o750)
    (transcripts / "transcripts.jsonl").touch(0o600)
    assert service._install(tmp_path, at(str(PROGRAM))) == 0
    assert given == {}
    assert modes(settings, transcripts / "transcripts.jsonl") == [0o750, 0o600]


def test_settings_that_are_wrong_are_told_and_in_nobodys_way(
    tmp_path: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = tmp_path / "etc/edged/edged.toml"
    configuration.parent.mkdir(parents=True)
    for text, says in (("[gate]\nhangover_ms = 0\n", "hangover_ms"), ("[gate\n", "edged.toml")):
        configuration.write_text(text)
        assert service._install(tmp_path, at(str(PROGRAM))) == 0
        assert re.match(f"edged: warning: .*{says}.*\n", capsys.readouterr().err)


def test_a_user_that_was_not_made_is_one_line(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def getpwnam(name: str) -> None:
        raise KeyError(f"getpwnam(): name not found: {name!r}")

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    with pytest.raises(ConfigurationError, match=r"systemd-sysusers did not create it: .*'edged'"):
        service._install(tmp_path, at(str(PROGRAM)))


def test_install_stops_before_the_first_file_if_one_is_in_the_way(tmp_path: Path, calls: list[str]) -> None:
    other = tmp_path / FILES["edged.logrotate"]
    other.parent.mkdir(parents=True)
    other.write_text("# by hand\n")
    with pytest.raises(ConfigurationError, match="not written by `edged service install`"):
        service._install(tmp_path, at(str(PROGRAM)))
    assert not (tmp_path / FILES["edged.service"]).exists()


def test_a_program_of_systemds_that_fails_is_one_line(tmp_path: Path, calls: list[str]) -> None:
    failing = tmp_path / "bin" / "systemd-sysusers"
    failing.write_text("#!/bin/sh\necho no group audio >&2\nexit 1\n")
    with pytest.raises(ConfigurationError, match=r"systemd-sysusers .*: no group audio"):
        service._install(tmp_path / "machine", at(str(PROGRAM)))


def test_without_root_it_says_how(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["service", "install"]) == 64
    assert re.fullmatch(r"edged: this needs root: sudo .* -m edged service install\n", capsys.readouterr().err)


def test_the_command_refuses_and_prints_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Installation, "this", classmethod(lambda cls: at("/home/pi/venv/bin/edged")))
    assert main(["service", "install"]) == 78
    said = capsys.readouterr()
    assert "/home/pi/venv/bin/edged is below /home" in said.err
    assert said.out.splitlines()[0] == "  sudo python3 -m venv /opt/edged"


def test_with_the_package_there_is_nothing_to_install(tmp_path: Path) -> None:
    """Asked for before root is, which would not help."""
    assert service.find_package(tmp_path) is None
    unit = tmp_path / PACKAGED[0]
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n")
    assert "the package edged is installed" in (service.find_package(tmp_path) or "")
