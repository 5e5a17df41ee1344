"""`edged service install` and `uninstall`: the systemd service of an edged that pip installed."""

import argparse
import grp
import os
import pwd
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import edged
from edged.cli.messages import say
from edged.config.api_key import CREDENTIAL
from edged.config.loader import DEFAULT_PATH, read
from edged.config.options import FOR_THE_SERVICE, sample
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError, ExitStatus, UsageError
from edged.transcripts.sinks.file import FILE_MODE
from edged.transcripts.sinks.registry import sinks_on_stdout

OURS = "# Put here by `edged service install`; `edged service uninstall` takes it away."
"""First line of every file that is put in place: nothing without it is ever overwritten or removed."""

FILES = {
    "edged.service": "etc/systemd/system/edged.service",
    "edged@.service": "etc/systemd/system/edged@.service",
    "edged.sysusers": "etc/sysusers.d/edged.conf",
    "edged.logrotate": "etc/logrotate.d/edged",
    "edged.catalog": "usr/local/lib/systemd/catalog/edged.catalog",
}
"""Files to install, by the name of their template."""

COMMAND = "usr/local/bin/edged"
"""Link to the program, in the search path of every user and of sudo."""

PACKAGED = ("usr/lib/systemd/system/edged.service", "lib/systemd/system/edged.service")
"""Places of the unit that a distribution's package installs."""

HIDDEN = ("home", "root", "run/user", "tmp", "var/tmp")
"""Directories that ProtectHome= and PrivateTmp= in the unit hide from the service."""

FIXED_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")
"""A path that needs no quoting in a unit file."""

ENVIRONMENT = "/opt/edged"
"""Directory of the virtual environment to recommend for the service."""

EXTRA = "[silero]" if sys.maxsize > 1 << 32 else ""
"""Extra for pip to install with edged: the second opinion, which 32-bit machines can't run."""

USER = "edged"
"""User and group of the service, as in the units."""

READERS = "adm"
"""Group that may read transcripts, as in the units."""

DESCRIPTION = f"""\
install: add edged.service and edged@.service, which run this installation of
  edged, create the service's user, and write a sample configuration if there
  is none. Files that edged left in /etc/edged and /var/log/edged when it ran in
  a terminal become accessible to the service; each is listed. Nothing is
  started. An installation in a home directory is refused, as the service can't
  see it; the commands for one in {ENVIRONMENT} are printed instead.

uninstall: stop the services and remove what install added. The configuration,
  the key, transcripts and speech without a transcript stay; their places are
  printed.

Both need root and systemd. The Debian package does all of this by itself.
"""

EPILOG = """\
exit status: 0 done; 64 not root, or the command line is wrong; 78 something
  prevents it (the message says what)

examples:
  sudo "$(command -v edged)" service install
  sudo edged service uninstall
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "service",
        help="install or uninstall the systemd service",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("install", "uninstall"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Install or uninstall. Raises UsageError, or ConfigurationError for what prevents it."""
    if arguments.action == "install" and (reason := find_package(Path("/"))):
        raise ConfigurationError(reason)
    if os.geteuid():
        raise UsageError(f"this needs root: sudo {sys.executable} -m edged service {arguments.action}")
    if arguments.action == "uninstall":
        return _uninstall(Path("/"))
    me = Installation.this()
    if reason := me.obstacle():
        say(reason)
        print("\n".join(me.instructions()))
        return ExitStatus.CONFIGURATION
    return _install(Path("/"), me)


class Installation(NamedTuple):
    """Places of an installation of edged that the service must be able to see."""

    program: Path
    """Program that `ExecStart=` runs."""
    needs: tuple[Path, ...]
    """Paths of its interpreter, libraries and code."""
    checkout: Path | None = None
    """Source directory, if edged runs from one."""

    @classmethod
    def this(cls) -> "Installation":
        """Return the installation that is running."""
        code = Path(edged.__file__).resolve().parent
        needs = (Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.base_prefix).resolve(), code)
        source = code.parent if (code.parent / "pyproject.toml").exists() else None
        return cls(Path(sysconfig.get_path("scripts"), "edged"), needs, source)

    def obstacle(self) -> str | None:
        """Return why the service could not run it, in one line, or None if it can."""
        for place in (self.program, *self.needs):
            hidden = next((each for each in HIDDEN if place.is_relative_to(f"/{each}")), None)
            if hidden:
                return f"{place} is below /{hidden}, which the service can't see; install edged for the service with:"
            if not FIXED_PATH.fullmatch(str(place)):
                return f"{place} has characters that a unit file can't contain; install edged for the service with:"
        if not os.access(self.program, os.X_OK):
            return f"{self.program} does not exist, so there is nothing to start; install edged for the service with:"
        return None

    def instructions(self) -> list[str]:
        """Return the commands that make an installation which the service can see."""
        what = f"{self.checkout}{EXTRA}" if self.checkout else f"edged{EXTRA}=={edged.__version__}"
        return [
            f"  sudo python3 -m venv {ENVIRONMENT}",
            f"  sudo {ENVIRONMENT}/bin/pip install '{what}'",
            f"  sudo {ENVIRONMENT}/bin/edged service install",
        ]


def templates() -> Path:
    """Return the directory with the templates: in a wheel's data, or beside the code in a checkout."""
    installed = Path(sysconfig.get_path("data"), "share/edged/systemd")
    return installed if installed.is_dir() else Path(edged.__file__).parents[1] / "systemd"


def render(program: Path, text: str) -> str:
    """Return a template for `program`, marked as ours and without the package's manual pages."""
    text = re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE)
    return f"{OURS}\n{text.replace('ExecStart=/usr/bin/edged ', f'ExecStart={program} ')}"


def find_package(root: Path) -> str | None:
    """Return a message if a distribution's package has installed the service already."""
    unit = next((root / each for each in PACKAGED if (root / each).exists()), None)
    return None if unit is None else f"the package edged is installed ({unit}) and has its own service"


def find_obstacles(root: Path) -> list[str]:
    """Return a message for each file in the way that is not ours; `root` is `/`."""
    problems = list(filter(None, [find_package(root)]))
    for place in FILES.values():
        if (file := root / place).exists() and not is_ours(file):
            problems.append(f"{file} was not written by `edged service install`: move it away")
    return problems


def systemd_runs(root: Path) -> bool:
    """Whether systemd runs, as sd_booted(3) decides it. While an image is being built it does not, and need not."""
    return (root / "run/systemd/system").is_dir()


def is_ours(file: Path) -> bool:
    """Whether `install` wrote the file."""
    with file.open(errors="replace") as stream:
        return stream.readline().rstrip("\n") == OURS


def _install(root: Path, me: Installation) -> int:
    if problems := find_obstacles(root):
        raise ConfigurationError(*problems)
    try:
        for name, place in FILES.items():
            _write(root / place, render(me.program, (templates() / name).read_text()))
        configuration = root / DEFAULT_PATH.relative_to("/")
        if not configuration.exists():
            _write(configuration, sample(FOR_THE_SERVICE))
        if not os.path.lexists(root / COMMAND):
            (root / COMMAND).parent.mkdir(parents=True, exist_ok=True)
            (root / COMMAND).symlink_to(me.program)
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {with_cure(error)}") from None
    _run_systemd("systemd-sysusers", str(root / FILES["edged.sysusers"]))
    for line in _grant_access(root):
        print(line)
    for line in _configuration_problems(configuration):
        say(f"warning: {line}")
    _run_systemd("journalctl", "--update-catalog")
    if systemd_runs(root):
        _run_systemd("systemctl", "daemon-reload")
    store = f"/etc/credstore/{CREDENTIAL}"
    print(
        f"Installed, but not started. Next:\n"
        f"  sudo install -D -m 0600 FILE-WITH-THE-KEY {store}\n"
        f"  {me.program} devices            # with several microphones, set capture.device in {DEFAULT_PATH}\n"
        f"  sudo systemctl enable --now edged\n"
        f"  systemctl status edged\n"
        f"For another microphone: /etc/edged/NAME.toml and sudo systemctl enable --now edged@NAME"
    )
    return ExitStatus.OK


def _grant_access(root: Path) -> list[str]:
    """Give the service what edged left behind in a terminal, and return a line for each change. systemd hands over the
    spool. Raises ConfigurationError.
    """
    try:
        user, readers = pwd.getpwnam(USER), grp.getgrnam(READERS).gr_gid
    except KeyError as error:
        raise ConfigurationError(f"systemd-sysusers did not create it: {error.args[0]}") from None
    settings = _changed(root / "etc/edged", "*.toml", lambda fd: _let_read(fd, user.pw_gid))
    transcripts = [
        each
        for directory in sorted((root / "var/log").glob("edged*"))  # instances' too
        for each in _changed(directory, "*.jsonl*", lambda fd: _give(fd, user.pw_uid, readers))
    ]
    lines = {
        f"Readable by the group {USER} now: ": settings,
        f"Owned by {USER} now, readable by the group {READERS}: ": transcripts,
    }
    return [what + ", ".join(map(str, places)) for what, places in lines.items() if places]


def _changed(directory: Path, pattern: str, change: Callable[[int], bool]) -> list[Path]:
    """Apply `change` to a directory and its files that match `pattern`; return the paths that it changed.

    Symbolic links are skipped, as others than root may write there. Raises ConfigurationError.
    """
    changed = []
    for place in (directory, *sorted(directory.glob(pattern))):
        if not place.exists() or place.is_symlink():
            continue
        try:
            fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if change(fd):
                    changed.append(place)
            finally:
                os.close(fd)
        except OSError as error:
            raise ConfigurationError(f"{place} can't be given to the service: {with_cure(error)}") from None
    return changed


def _let_read(fd: int, group: int) -> bool:
    """Let a group read a file or list a directory; returns False if it can."""
    found = os.fstat(fd)
    wanted = 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
    has = found.st_mode >> 3 if found.st_gid == group else found.st_mode
    if has & wanted == wanted:
        return False
    os.fchown(fd, -1, group)
    os.fchmod(fd, stat.S_IMODE(found.st_mode) & ~0o070 | wanted << 3)
    return True


def _give(fd: int, user: int, group: int) -> bool:
    """Give transcripts, or their directory, to the service, as its unit makes them; returns False if it has them."""
    found = os.fstat(fd)
    if found.st_uid == user:
        return False
    os.fchown(fd, user, group)
    os.fchmod(fd, 0o2750 if stat.S_ISDIR(found.st_mode) else FILE_MODE)
    return True


def _configuration_problems(configuration: Path) -> list[str]:
    """Return messages about what prevents the service from starting, or does not suit it."""
    try:
        loaded = read(configuration)
    except ConfigurationError as error:
        return list(error.problems)
    lines = loaded.problems
    on_stdout = sinks_on_stdout(loaded.settings.transcripts.sinks)
    return lines + [
        f"{configuration}: {sink} in sinks writes every transcript into the service's log: remove it"
        for sink in on_stdout
    ]


def _uninstall(root: Path) -> int:
    ours = [name for name, place in FILES.items() if (root / place).exists() and is_ours(root / place)]
    command = root / COMMAND
    linked = command.is_symlink() and _starts(root / FILES["edged.service"], command.readlink())
    units = [name for name in ours if name.endswith(".service")]
    if not ours:
        say("there is nothing that `edged service install` has put here")
        return ExitStatus.OK
    if units and systemd_runs(root):
        _run_systemd("systemctl", "stop", *(unit.replace("@", "@*") for unit in units))
    if units:
        _run_systemd("systemctl", "disable", *units)
    try:
        for name in ours:
            (root / FILES[name]).unlink()
        if linked:
            command.unlink()
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {with_cure(error)}") from None
    if "edged.catalog" in ours:
        _run_systemd("journalctl", "--update-catalog")
    if systemd_runs(root):
        _run_systemd("systemctl", "daemon-reload")
    print(
        "Uninstalled. What remains, and how to delete it:\n"
        "  sudo rm -r /var/log/edged*                        # transcripts\n"
        "  sudo rm -r /var/lib/edged* /run/edged*            # speech without a transcript\n"
        f"  sudo rm -r /etc/edged /etc/credstore/{CREDENTIAL}  # configuration and key\n"
        "  sudo userdel edged"
    )
    return ExitStatus.OK


def _starts(unit: Path, program: Path) -> bool:
    """Whether a unit of ours starts this program."""
    return unit.exists() and is_ours(unit) and f"\nExecStart={program} " in unit.read_text()


def _write(file: Path, text: str) -> None:
    """Write a file atomically, readable by all: it holds no secret."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(file)


def _run_systemd(*command: str) -> None:
    """Run one of systemd's programs. Raises ConfigurationError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigurationError(f"{command[0]} is missing: this machine does not run systemd") from None
    if done.returncode:
        raise ConfigurationError(f"{' '.join(command)}: {_last_line(done.stderr.splitlines())}")


def _last_line(lines: Sequence[str]) -> str:
    return lines[-1] if lines else "failed without a message"
