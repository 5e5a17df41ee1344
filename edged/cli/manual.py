"""The manual pages edged(1) and edged.toml(5), from the texts of `--help` and of the settings. Pure."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from edged.cli.outline import Argument, Command
from edged.config.options import limits, options, sections, toml, toml_key

ITEM = re.compile(r"( +)(\S.*?)(?:  +(\S.*))?")
"""An indented line: `  TERM  what it is`, or only one of the two."""


class Item(NamedTuple):
    """A paragraph, or, if it has a term, something explained."""

    text: str
    term: str = ""
    indent: int = 0

    @property
    def is_heading(self) -> bool:
        """`files:` on a line of its own."""
        return not self.term and self.text.endswith(":")


def command_page(edged: Command, version: str) -> str:
    """Return the manual page edged(1)."""
    lines = _head("edged", 1, version, edged.description)
    lines += [".SH SYNOPSIS", ".B edged", escape(edged.usage.removeprefix("edged "))]
    lines += [".SH OPTIONS", *_arguments(edged.arguments), *body(edged.epilog, ".SH")]
    lines.append(".SH COMMANDS IN DETAIL")
    for command in edged.all():
        if command.words and not command.commands:
            lines += [f".SS {escape(command.usage)}", *body(command.description), *_arguments(command.arguments)]
            lines += body(command.epilog)
        elif command.words:
            lines += [f".SS {escape(command.usage)}", *body(command.description), *body(command.epilog)]
    return _page([*lines, ".SH SEE ALSO", ".BR edged.toml (5),", ".BR systemd\\-creds (1),", ".BR journalctl (1)"])


def settings_page(version: str) -> str:
    """Return the manual page edged.toml(5)."""
    lines = _head("edged.toml", 5, version, "settings of edged, the always-on transcription daemon.")
    lines += [".SH DESCRIPTION"]
    lines += body(
        "The settings are in /etc/edged/edged.toml, or in the file that --config names; without one the defaults hold. "
        "The file is TOML: sections, and one option a line. `--set SECTION.KEY=VALUE` comes over it. A wrong name or "
        "value is an error, never ignored; `edged check` lists all of them. Settings are read at the start only.\n\n"
        "Below, each option stands with its default."
    )
    for name, kind in sections():
        lines += [f".SH [{escape(name)}]", *body(kind.__doc__ or "")]
        for option in sorted(options(kind, name), key=lambda each: each.is_table):
            shown = f"[{option.name}]" if option.is_table else f"{toml_key(option.key)} = {toml(option.example)}"
            values = option.example.items() if option.is_table else ()
            lines += [".TP", f".B {escape(shown)}", escape(_sentence(option.text))]
            lines += [escape(limits(option))] if limits(option) else []
            lines += ["It has no default: this is an example."] if option.default is None else []
            lines += [f".br\n{escape(f'{toml_key(key)} = {toml(value)}')}" for key, value in values]
    return _page([*lines, ".SH SEE ALSO", ".BR edged (1)"])


def body(text: str, heading: str = "") -> list[str]:
    """A text of `--help` in roff; `heading` is the macro for lines such as `files:`, if they begin sections."""
    lines: list[str] = []
    for item in _items(text):
        if item.term:
            lines += [".TP", f".B {escape(item.term)}", *([escape(item.text)] if item.text else [])]
        elif item.is_heading and heading:
            lines.append(f"{heading} {escape(item.text[:-1].upper())}")
        else:
            lines += [".PP", escape(item.text)]
    return lines


def escape(text: str) -> str:
    """Text that roff takes for nothing else."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _items(text: str) -> Iterator[Item]:
    """Lines that belong together are joined: a paragraph's, and what is indented below a term or a paragraph."""
    open_: Item | None = None
    for line in text.splitlines():
        match = ITEM.fullmatch(line)
        if not line.strip():
            begins: Item | None = None
        elif match and open_ and _goes_on(open_, match):
            open_ = open_._replace(text=f"{open_.text} {line.strip()}".strip())
            continue
        elif match:
            begins = Item(match[3] or "", match[2], len(match[1]))
        elif open_ and not open_.term and not open_.is_heading:
            open_ = open_._replace(text=f"{open_.text} {line}")
            continue
        else:
            begins = Item(line)
        if open_:
            yield open_
        open_ = begins
    if open_:
        yield open_


def _goes_on(item: Item, line: re.Match[str]) -> bool:
    """Whether an indented line belongs to what stands above it."""
    if item.term:
        return len(line[1]) > item.indent
    return not item.is_heading and not line[3]


def _arguments(arguments: tuple[Argument, ...]) -> Iterator[str]:
    for argument in arguments:
        if argument.flags == ("-h", "--help"):
            continue
        value = "{" + ",".join(argument.choices) + "}" if argument.choices else argument.metavar
        yield from (".TP", f".B {escape(' '.join(filter(None, (', '.join(argument.flags), value))))}")
        yield escape(_sentence(argument.text) or "See above.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." * (text[-1:].isalnum() or text.endswith((")", "`")))


def _head(name: str, section: int, version: str, what: str) -> list[str]:
    title = f'.TH {escape(name.upper())} {section} "" "edged {version}" "edged"'
    what = what[:1].lower() + what[1:].rstrip(".")
    return [title, ".SH NAME", f"{escape(name)} \\- {escape(what)}"]


def _page(lines: list[str]) -> str:
    return "\n".join(['.\\" Made by script/documents: a change here is lost.', *lines]) + "\n"
