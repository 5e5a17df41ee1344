"""The command line as data, read from its parsers: what manual pages and completion are made from. Pure."""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

METAVARS = {"FILE": "file", "FILE.wav": "file", "DIR": "directory", "SECTION.KEY=VALUE": "setting"}
"""Kinds of values by their names in `--help`; all others are text."""


class Argument(NamedTuple):
    """An option, or what stands alone (no flags)."""

    flags: tuple[str, ...]
    metavar: str
    """The name of its value; empty if it takes none."""
    choices: tuple[str, ...]
    text: str

    @property
    def takes(self) -> str:
        """`nothing`, `choice`, `file`, `directory`, `setting` or `text`."""
        if self.choices:
            return "choice"
        return METAVARS.get(self.metavar, "text") if self.metavar else "nothing"


class Command(NamedTuple):
    """`edged` itself, or a command."""

    words: tuple[str, ...]
    """`spool status`; empty for edged itself."""
    summary: str
    usage: str
    description: str
    epilog: str
    arguments: tuple[Argument, ...]
    commands: tuple["Command", ...]

    def all(self) -> Iterator["Command"]:
        """Return the command and those below it."""
        yield self
        for command in self.commands:
            yield from command.all()


def outline(parser: argparse.ArgumentParser, summary: str = "", words: tuple[str, ...] = ()) -> Command:
    """Return what a parser accepts. `summary` is its line in the help of the one above."""
    arguments: list[Argument] = []
    commands: list[Command] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {each.dest: each.help or "" for each in action._choices_actions}
            commands += [outline(each, texts.get(name, ""), (*words, name)) for name, each in action.choices.items()]
        else:
            arguments.append(_argument(action))
    usage = " ".join(parser.format_usage().removeprefix("usage:").split())
    return Command(
        words, summary, usage, parser.description or "", parser.epilog or "", tuple(arguments), tuple(commands)
    )


def _argument(action: argparse.Action) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    valueless = action.nargs == 0
    return Argument(
        tuple(action.option_strings), "" if valueless else metavar, choices, (action.help or "") % vars(action)
    )
