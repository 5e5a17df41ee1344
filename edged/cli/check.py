"""`edged check`: list every problem at once, or print the effective settings with their origins."""

import argparse
import os
import sys
from typing import Any

from edged.cli.common import add_configuration
from edged.cli.machine_checks import check_machine
from edged.cli.messages import say
from edged.config.api_key import ApiKey, may_be_named
from edged.config.loader import LoadedSettings, read
from edged.config.options import options, sample, sections, toml, toml_key
from edged.model.errors import ConfigurationError, ExitStatus
from edged.model.urls import without_secrets

DESCRIPTION = """\
Validate the settings, and check what they need on this machine: files,
certificates, the audio source, the spool directories and the journal.

If there are problems, all of them are listed, one per line, with the allowed
values. Otherwise the effective settings are printed as TOML with the origin of
each; of the API key only whether there is one. Nothing is changed, and no
connection is opened. The microphone is opened briefly to see what it supports.
"""
EPILOG = """\
exit status: 0 no problems, perhaps warnings; 64 the command line is wrong;
  78 problems were found.
A microphone that is absent or busy is a warning: edged waits for it.

examples:
  edged check --config kiosk.toml
  edged check --set deepgram.model=nova-2
  edged check --sample > edged.toml
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "check",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_configuration(parser)
    parser.add_argument("--sample", action="store_true", help="print a configuration file with every option and exit")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the effective settings. Raises ConfigurationError with every problem that was found."""
    if arguments.sample:
        sys.stdout.write(sample())
        return ExitStatus.OK
    loaded = read(arguments.config, arguments.set)
    machine = check_machine(loaded.settings, os.environ, ignore=loaded.refused)
    for warning in [*loaded.warnings, *machine.warnings]:
        say(f"warning: {warning}")
    if problems := [*loaded.problems, *machine.problems]:
        raise ConfigurationError(*problems)
    print("\n".join(effective(loaded, machine.key)))
    return ExitStatus.OK


def effective(loaded: LoadedSettings, key: ApiKey | None) -> list[str]:
    """Return the settings as lines of TOML, each with its origin, and whether there is a key."""
    lines = [f"# API key: {f'there is one, from {key.origin}' if key else 'none'}"]
    for name, kind in sections():
        lines += ["", f"[{name}]"]
        values = loaded.settings
        for part in name.split("."):
            values = getattr(values, part)
        for option in sorted(options(kind, name), key=lambda option: option.is_table):
            value = getattr(values, option.key)
            if option.is_table:
                lines += ["", f"[{option.name}]"]
                lines += [_line(k, v, loaded.origins[f"{option.name}.{k}"]) for k, v in value.items()]
            elif value is None:
                lines.append(f"# {option.key}: none")
            else:
                hidden = option.name == "deepgram.api_key_file" and not may_be_named(value)
                shown = without_secrets(value) if option.name == "deepgram.url" else value
                lines.append(_line(option.key, "(not shown)" if hidden else shown, loaded.origins[option.name]))
    return lines


def _line(key: str, value: Any, origin: str) -> str:
    return f"{f'{toml_key(key)} = {toml(value)}':<48}  # {origin}"
