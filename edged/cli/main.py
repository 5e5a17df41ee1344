"""The command line: finds the command, and turns what it raises into a line for people and an exit status."""

import argparse
import difflib
import logging
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import NoReturn

from edged import __version__
from edged.cli.early_signals import settle_signals
from edged.cli.messages import say
from edged.model.errors import ConfigurationError, EdgedError, ExitStatus, OutputError
from edged.model.message_ids import MessageId
from edged.service.standard_streams import set_up

COMMANDS = {
    "run": ("edged.cli.run", "capture, transcribe and write records until stopped"),
    "check": ("edged.cli.check", "validate the settings and show the effective ones"),
    "devices": ("edged.cli.devices", "list the microphones and their names for capture.device"),
    "recognizer": ("edged.cli.recognizer", "serve Deepgram's live protocol on this machine"),
    "demo": ("edged.cli.demo", "try edged without a microphone, key or network"),
    "gate": ("edged.cli.gate", "show what the gate would send, or calibrate it to this room"),
    "spool": ("edged.cli.spool", "show, export or delete speech that waits for a transcript"),
    "service": ("edged.cli.service", "install or uninstall the systemd service"),
}
"""Each command: the module that holds it, and its line in `edged --help`. The module is imported when it is used, and
has `add(subparsers)`, which adds a parser that sets `run`: a function of the arguments that gives the exit status."""

EPILOG = """\
commands:
{commands}

`edged COMMAND --help` describes each command.

exit status:
  0    done
  64   the command line is wrong
  70   a bug in edged (with a traceback), or output can't be written
  75   stopped before all captured speech was transcribed
  78   the settings are wrong; restarting does not help
  130  interrupted from the keyboard

files:
  /etc/edged/edged.toml  the settings; without this file the defaults apply

the API key comes from the first of these that exists:
  $CREDENTIALS_DIRECTORY/deepgram-api-key (systemd), the file that deepgram.api_key_file names, $DEEPGRAM_API_KEY

examples:
  edged devices          list the microphones
  edged check --sample   print every option, its default and its meaning
  edged check            list every problem with the settings
  edged run --set 'transcripts.sinks=["console"]'
                         transcribe and show the transcript here
"""


class Parser(argparse.ArgumentParser):
    """argparse, with the exit status that sysexits.h has for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave."""
        self.print_usage(sys.stderr)
        self.exit(ExitStatus.USAGE, f"{self.prog}: {message}\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Name what is none of the choices, with the one that was perhaps meant."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(each) for each in action.choices]
        meant = difflib.get_close_matches(str(value), choices, 1)
        hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"there is no {str(value)!r}: {hint}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status comes back, whatever happens. `argv`: in a process that is not the command's."""
    if argv is None:
        errors = set_up(background=sys.argv[1:2] in (["run"], ["recognizer"]))  # what a microphone or clients wait for
        if errors and sys.argv[1] == "run":
            settle_signals(errors)
    try:
        status = _guarded(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except OutputError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed goes there
        if error.unread:
            return ExitStatus.OK
        say(str(error))
        return error.exit_status
    return status


def _guarded(argv: list[str]) -> int:
    """Run one command. Raises OutputError only."""
    try:
        return _command(argv)
    except OutputError:
        raise
    except EdgedError as error:
        for problem in error.problems if isinstance(error, ConfigurationError) else (str(error),):
            _tell(problem, error.message_id)
        return error.exit_status
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except Exception:  # noqa: BLE001  the last line of defence: nothing else may decide the exit status
        traceback.print_exc()
        say("this is a bug in edged, not in your settings: please report the lines above")
        return ExitStatus.OUR_FAULT


def _tell(problem: str, message_id: MessageId | None) -> None:
    """Report on standard error, or as a service to the journal, which can explain it."""
    from edged.service.log import (
        one_line,
        send_with_message_id,
        stderr_is_journal,
    )  # here, not above: `edged --version` does without

    if (
        message_id is None
        or not stderr_is_journal()
        or not send_with_message_id(one_line(problem), message_id, logging.ERROR)
    ):
        say(problem)


def whole_parser(commands: Collection[str] = COMMANDS.keys()) -> Parser:
    """The parser of the command line; of other commands than those asked for it knows the names only."""
    parser = Parser(
        prog="edged",
        description="Always-on transcription: a microphone in, a transcript log out.",
        epilog=EPILOG.format(commands="\n".join(f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    subparsers = parser.add_subparsers(
        metavar="COMMAND", help="one of the commands below", dest="command", required=True
    )
    for name, (module, _) in COMMANDS.items():
        if name in commands:
            import_module(module).add(subparsers)
        else:
            subparsers.add_parser(name)  # so that it is one of the choices
    return parser


def _command(argv: list[str]) -> int:
    parser = whole_parser([argument for argument in argv if not argument.startswith("-")][:1])
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as leaving:  # argparse's way out, for --help too; always with a number
        return int(leaving.code or ExitStatus.OK)
    return int(arguments.run(arguments))
