"""`edged service install` and `uninstall`: the systemd service, for an edged that came by pip."""

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
"""What is put in place, and where."""

COMMAND = "usr/local/bin/edged"
"""A link to the program: in everybody's path, and in the one that sudo has."""

PACKAGED = ("usr/lib/systemd/system/edged.service", "lib/systemd/system/edged.service")
"""Where a distribution's package has its unit."""

HIDDEN = ("home", "root", "run/user", "tmp", "var/tmp")
"""What the service can't see: ProtectHome= and PrivateTmp= in the unit."""

FIXED_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")
"""What needs no quoting in a unit file."""

ENVIRONMENT = "/opt/edged"
"""Where an environment for the service is to be made."""

EXTRA = "[silero]" if sys.maxsize > 1 << 32 else ""
"""What pip is to bring beside edged: the second opinion, which 32-bit machines can't have."""

USER = "edged"
"""The service's user, and his group; as in the units."""

READERS = "adm"
"""The group that may read transcripts; as in the units."""

DESCRIPTION = f"""\
install: puts edged.service and edged@.service in place, to run this very edged, makes its user, and the sample
  configuration if there is none. What an edged in a terminal has left in /etc/edged and /var/log/edged it lets the
  service use, and says so. Nothing is started. It refuses an edged in a home directory, which the service can't
  see, and prints the commands for one in {ENVIRONMENT}.

uninstall: stops the services and takes away what install has put in place. The configuration, the key, transcripts and
  speech that is not yet transcribed stay; it says where.

Both need root and systemd. The Debian package does all of this by itself.
"""

EPILOG = """\
exit status: 0 done; 64 not root, or usage; 78 something stands in the way (the line says what)

examples:
  sudo "$(command -v edged)" service install
  sudo edged service uninstall
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "service",
        help="put the systemd service in place, or take it away",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("install", "uninstall"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit status. Raises UsageError, or ConfigurationError for what stands in the way."""
    if arguments.action == "install" and (reason := packaged(Path("/"))):
        raise ConfigurationError(reason)
    if os.geteuid():
        raise UsageError(f"this needs root: sudo {sys.executable} -m edged service {arguments.action}")
    if arguments.action == "uninstall":
        return _uninstall(Path("/"))
    me = Installation.this()
    if reason := me.unseen():
        say(reason)
        print("\n".join(me.way_out()))
        return ExitStatus.CONFIGURATION
    return _install(Path("/"), me)


class Installation(NamedTuple):
    """Where an edged is: what of it the service must be able to see."""

    program: Path
    """What `ExecStart=` runs."""
    needs: tuple[Path, ...]
    """The places of its interpreter, libraries and code."""
    checkout: Path | None = None
    """Where its source is, if it runs from there."""

    @classmethod
    def this(cls) -> "Installation":
        """The edged that is running."""
        code = Path(edged.__file__).resolve().parent
        needs = (Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.base_prefix).resolve(), code)
        source = code.parent if (code.parent / "pyproject.toml").exists() else None
        return cls(Path(sysconfig.get_path("scripts"), "edged"), needs, source)

    def unseen(self) -> str | None:
        """Why the service could not run it, in a line; None if it can."""
        for place in (self.program, *self.needs):
            hidden = next((each for each in HIDDEN if place.is_relative_to(f"/{each}")), None)
            if hidden:
                return f"{place} is below /{hidden}, where the service can't see it; make an edged for it with:"
            if not FIXED_PATH.fullmatch(str(place)):
                return f"{place} has characters that a unit file can't take as they are; make an edged for it with:"
        if not os.access(self.program, os.X_OK):
            return f"{self.program} is not there, so there is nothing to start; make an edged for the service with:"
        return None

    def way_out(self) -> list[str]:
        """Commands that make one which the service can see."""
        what = f"{self.checkout}{EXTRA}" if self.checkout else f"edged{EXTRA}=={edged.__version__}"
        return [
            f"  sudo python3 -m venv {ENVIRONMENT}",
            f"  sudo {ENVIRONMENT}/bin/pip install '{what}'",
            f"  sudo {ENVIRONMENT}/bin/edged service install",
        ]


def templates() -> Path:
    """The directory with the files of `FILES`: in a wheel's data, or beside the code in a checkout."""
    installed = Path(sysconfig.get_path("data"), "share/edged/systemd")
    return installed if installed.is_dir() else Path(edged.__file__).parents[1] / "systemd"


def made_for(program: Path, text: str) -> str:
    """A file of `FILES` for an edged at `program`, marked as ours. The manual pages are the package's."""
    text = re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE)
    return f"{OURS}\n{text.replace('ExecStart=/usr/bin/edged ', f'ExecStart={program} ')}"


def packaged(root: Path) -> str | None:
    """A line if a distribution's package has brought the service already."""
    unit = next((root / each for each in PACKAGED if (root / each).exists()), None)
    return None if unit is None else f"the package edged is installed ({unit}), and brings its service along"


def in_the_way(root: Path) -> list[str]:
    """A line for each file that is not ours; `root` is `/`."""
    problems = list(filter(None, [packaged(root)]))
    for place in FILES.values():
        if (file := root / place).exists() and not is_ours(file):
            problems.append(f"{file} is not by `edged service install`: move it away")
    return problems


def runs(root: Path) -> bool:
    """Whether systemd runs, as sd_booted(3) finds out; in an image that is being made it doesn't, and needn't."""
    return (root / "run/systemd/system").is_dir()


def is_ours(file: Path) -> bool:
    """Whether `install` put it there."""
    with file.open(errors="replace") as stream:
        return stream.readline().rstrip("\n") == OURS


def _install(root: Path, me: Installation) -> int:
    if problems := in_the_way(root):
        raise ConfigurationError(*problems)
    try:
        for name, place in FILES.items():
            _write(root / place, made_for(me.program, (templates() / name).read_text()))
        configuration = root / DEFAULT_PATH.relative_to("/")
        if not configuration.exists():
            _write(configuration, sample(FOR_THE_SERVICE))
        if not os.path.lexists(root / COMMAND):
            (root / COMMAND).parent.mkdir(parents=True, exist_ok=True)
            (root / COMMAND).symlink_to(me.program)
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {with_cure(error)}") from None
    _call("systemd-sysusers", str(root / FILES["edged.sysusers"]))
    for line in _hand_over(root):
        print(line)
    for line in _unfit(configuration):
        say(f"warning: {line}")
    _call("journalctl", "--update-catalog")
    if runs(root):
        _call("systemctl", "daemon-reload")
    store = f"/etc/credstore/{CREDENTIAL}"
    print(
        f"In place, and not yet started. Now:\n"
        f"  sudo install -D -m 0600 FILE-WITH-THE-KEY {store}\n"
        f"  {me.program} devices            # and, if it is not the only microphone, capture.device in {DEFAULT_PATH}\n"
        f"  sudo systemctl enable --now edged\n"
        f"  systemctl status edged\n"
        f"Other microphones: /etc/edged/NAME.toml and sudo systemctl enable --now edged@NAME"
    )
    return ExitStatus.OK


def _hand_over(root: Path) -> list[str]:
    """Let the service use what an edged in a terminal has left; a line for what that took. systemd gives it the spool.

    Raises ConfigurationError.
    """
    try:
        user, readers = pwd.getpwnam(USER), grp.getgrnam(READERS).gr_gid
    except KeyError as error:
        raise ConfigurationError(f"systemd-sysusers has not made it: {error.args[0]}") from None
    settings = _changed(root / "etc/edged", "*.toml", lambda fd: _let_read(fd, user.pw_gid))
    transcripts = [
        each
        for directory in sorted((root / "var/log").glob("edged*"))  # instances' too
        for each in _changed(directory, "*.jsonl*", lambda fd: _give(fd, user.pw_uid, readers))
    ]
    lines = {
        f"The group {USER} may read now: ": settings,
        f"Belongs to {USER} now, for the group {READERS} to read: ": transcripts,
    }
    return [what + ", ".join(map(str, places)) for what, places in lines.items() if places]


def _changed(directory: Path, pattern: str, change: Callable[[int], bool]) -> list[Path]:
    """Change a directory, and what it has of a kind; what that took anything for.

    Links are left out: whoever may write there is not root. Raises ConfigurationError.
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


def _unfit(configuration: Path) -> list[str]:
    """Lines about what keeps the service from starting with this configuration, or is not for it."""
    try:
        loaded = read(configuration)
    except ConfigurationError as error:
        return list(error.problems)
    lines = loaded.problems
    on_stdout = sinks_on_stdout(loaded.settings.transcripts.sinks)
    return lines + [
        f"{configuration}: {sink} in sinks puts all that is said into the service's log: take it out"
        for sink in on_stdout
    ]


def _uninstall(root: Path) -> int:
    ours = [name for name, place in FILES.items() if (root / place).exists() and is_ours(root / place)]
    command = root / COMMAND
    linked = command.is_symlink() and _starts(root / FILES["edged.service"], command.readlink())
    units = [name for name in ours if name.endswith(".service")]
    if not ours:
        say("there is nothing here by `edged service install`")
        return ExitStatus.OK
    if units and runs(root):
        _call("systemctl", "stop", *(unit.replace("@", "@*") for unit in units))
    if units:
        _call("systemctl", "disable", *units)
    try:
        for name in ours:
            (root / FILES[name]).unlink()
        if linked:
            command.unlink()
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {with_cure(error)}") from None
    if "edged.catalog" in ours:
        _call("journalctl", "--update-catalog")
    if runs(root):
        _call("systemctl", "daemon-reload")
    print(
        "Taken away. What stays, and how to delete it:\n"
        "  sudo rm -r /var/log/edged*                        # transcripts\n"
        "  sudo rm -r /var/lib/edged* /run/edged*            # speech that is not yet transcribed\n"
        f"  sudo rm -r /etc/edged /etc/credstore/{CREDENTIAL}  # configuration and key\n"
        "  sudo userdel edged"
    )
    return ExitStatus.OK


def _starts(unit: Path, program: Path) -> bool:
    """Whether a unit of ours starts this program."""
    return unit.exists() and is_ours(unit) and f"\nExecStart={program} " in unit.read_text()


def _write(file: Path, text: str) -> None:
    """Whole or not at all, readable by all: there is nothing secret in it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(file)


def _call(*command: str) -> None:
    """Run a program of systemd's. Raises ConfigurationError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigurationError(f"{command[0]} is not there: this machine does not run systemd") from None
    if done.returncode:
        raise ConfigurationError(f"{' '.join(command)}: {_last_line(done.stderr.splitlines())}")


def _last_line(lines: Sequence[str]) -> str:
    return lines[-1] if lines else "failed, without a word"
