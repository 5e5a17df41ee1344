"""`edged check`: all that is wrong at once; else the settings that hold, where each comes from, and what to look at."""

import argparse
import os
import sys
from typing import Any

from edged.cli.common import add_configuration
from edged.cli.machine_checks import look
from edged.cli.messages import say
from edged.config.api_key import ApiKey, may_be_named
from edged.config.loader import LoadedSettings, read
from edged.config.options import options, sample, sections, toml, toml_key
from edged.model.errors import ConfigurationError, ExitStatus
from edged.model.urls import without_secrets

DESCRIPTION = """\
Look at the settings, and at what they meet on this machine: files, certificates, the source of audio, the spool's
directories, the journal.
If something is wrong, all of it is listed, a line each, with what is allowed instead. If nothing is, the settings that
hold are printed, as TOML, with the origin of each; of the API key only whether there is one. Nothing is changed or
connected; the microphone is opened for a moment, to see what it can do.
"""
EPILOG = """\
exit status: 0 all is well, perhaps with warnings; 64 usage; 78 something is wrong.
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
    parser.add_argument("--sample", action="store_true", help="print a configuration file with every option, and stop")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Raises ConfigurationError with every problem there is."""
    if arguments.sample:
        sys.stdout.write(sample())
        return ExitStatus.OK
    loaded = read(arguments.config, arguments.set)
    around = look(loaded.settings, os.environ, ignore=loaded.refused)
    for warning in [*loaded.warnings, *around.warnings]:
        say(f"warning: {warning}")
    if problems := [*loaded.problems, *around.problems]:
        raise ConfigurationError(*problems)
    print("\n".join(effective(loaded, around.key)))
    return ExitStatus.OK


def effective(loaded: LoadedSettings, key: ApiKey | None) -> list[str]:
    """Lines of TOML that mean these settings, each with its origin, and whether there is a key."""
    lines = [f"# API key: {f'there is one, from {key.origin}' if key else 'none'}"]
    for name, kind in sections():
        lines += ["", f"[{name}]"]
        values = loaded.settings
        for part in name.split("."):
            values = getattr(values, part)
        own = options(kind, name)
        for option in sorted(own, key=lambda each: each.is_table):
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
