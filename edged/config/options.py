"""Descriptions of the options, taken from settings.py: section, permitted values, default and help text. Pure.

Error messages, the sample configuration, the manual and `edged check` all use this, so that they can't disagree.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from edged.config.settings import Section, Settings, Text

WIDTH = 100
"""Widest line of the sample configuration, in columns."""

FOR_THE_SERVICE: Final = {"transcripts.sinks": ["file", "journal"]}
"""Options set in the service's first configuration: on Raspberry Pi OS the journal is in memory, a file survives."""


class Option(NamedTuple):
    """One key of the configuration file."""

    section: str
    """Name of the section as in TOML, e.g. `transcripts.file`."""
    key: str
    type: Any
    default: Any
    """Default value; `None` if the option may be left out and has no value then."""

    @property
    def name(self) -> str:
        """Full name, `section.key`, as `--set` takes it."""
        return f"{self.section}.{self.key}"

    @property
    def text(self) -> str:
        """Help text of the option."""
        return next(each.description for each in _bare(self.type)[1] if each.description)

    @property
    def example(self) -> Any:
        """Default value or, where there is none, an example."""
        return self.default or next((each.examples[0] for each in _bare(self.type)[1] if each.examples), self.default)

    @property
    def is_table(self) -> bool:
        """Whether the option is a table with keys of the user's own, as `[deepgram.options]` is."""
        return isinstance(self.default, dict)


def sections(of: type[Section] = Settings, name: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yield (name, class) of each section that has options, in the order of the file."""
    if name:
        yield name, of
    for field in msgspec.structs.fields(of):
        if is_section(field.type):
            yield from sections(field.type, f"{name}.{field.name}" if name else field.name)


def is_section(kind: Any) -> bool:
    """Return whether a type is a section of the file rather than a value."""
    return isinstance(kind, type) and issubclass(kind, Section)


def options(of: type[Section] | None = None, name: str = "") -> list[Option]:
    """Return the options of one section, or of all sections, in the order of the file."""
    if of is None:
        return [option for section, kind in sections() for option in options(kind, section)]
    fields = [field for field in msgspec.structs.fields(of) if not is_section(field.type)]
    default = of()
    return [Option(name, field.name, field.type, getattr(default, field.name)) for field in fields]


def allowed(kind: Any) -> str:
    """Describe the permitted values of a type: `a whole number from 1 to 32`, `"alsa" or "wav"`."""
    kind, meta = _bare(kind)
    arguments = get_args(kind)
    if kind is bool:
        return "true or false"
    if kind is int:
        return "a whole number" + _bounds(meta)
    if kind is float:
        return "a number" + _bounds(meta)
    if kind is str:
        return "text in quotes" + (", not empty" if any(each.min_length for each in meta) else "")
    origin = get_origin(kind)
    if origin is Literal:
        return _either([toml(value) for value in arguments])
    if origin is list:
        return f"a list [...] of {allowed(arguments[0])}"
    if origin is dict:
        return f"a table; each value {allowed(arguments[1])}"
    if origin in (Union, UnionType):
        if number_or_false(kind):
            return f"{allowed(arguments[0])}, or false"
        return _either([allowed(each) for each in arguments if each is not NoneType])
    raise TypeError(f"settings.py uses a type that options.py has no words for: {kind}")


def number_or_false(kind: Any) -> bool:
    """Return whether a type is a number or `false`, so that `true` must be rejected."""
    return [_bare(each)[0] for each in get_args(_bare(kind)[0])] == [int, bool]


def values_of_table(kind: Any) -> Any:
    """Return the type of the values in a table with keys of the user's own; `None` for any other type."""
    kind = _bare(kind)[0]
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _bare(kind: Any) -> tuple[Any, list[msgspec.Meta]]:
    if get_origin(kind) is not Annotated:
        return kind, []
    inner, *meta = get_args(kind)
    return inner, [each for each in meta if isinstance(each, msgspec.Meta)]


def _bounds(meta: list[msgspec.Meta]) -> str:
    return next(
        (f" from {each.ge:.10g} to {each.le:.10g}" for each in meta if each.ge is not None and each.le is not None), ""
    )


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def toml(value: Any) -> str:
    """Return a value in TOML, on one line and without control characters."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            pairs = ", ".join(f"{toml_key(key)} = {toml(each)}" for key, each in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case _:
            return str(value)


def toml_key(key: str) -> str:
    """Return a key in TOML: bare where that is permitted, else in quotes."""
    bare = key.isascii() and key.replace("-", "_").isidentifier()
    return key if bare else toml(key)


def sample(given: Mapping[str, Any] | None = None) -> str:
    """Return a sample configuration (`config/edged.toml`): every option with its help, commented out at its default.

    Options that are `given` (`section.key` to a value) are set to that value.
    """
    given = given or {}
    lines = [
        *_comment(
            "Configuration of edged, with every option. Each option is commented out and shows its default, or an "
            "example if it has none: remove the # and change the value. `edged check` shows the settings in effect "
            "and reports errors. Never put the API key into this file: see api_key_file."
        ),
        "",
        *_comment("`edged check --sample` prints this file with the options of the installed version."),
    ]
    for name, kind in sections():
        lines += ["", "", *_comment(kind.__doc__ or ""), f"[{name}]"]
        own = options(kind, name)
        for option in sorted(
            own, key=lambda option: option.is_table
        ):  # TOML: a table ends the keys of the one before it
            example = "No default; example:" if option.default is None else ""
            lines += ["", *_comment(option.text), *_comment(f"{limits(option)} {example}".strip())]
            if option.is_table:
                lines += [f"[{option.name}]", *(f"#{toml_key(k)} = {toml(v)}" for k, v in option.example.items())]
            else:
                mark = "" if option.name in given else "#"
                lines.append(f"{mark}{option.key} = {toml(given.get(option.name, option.example))}")
    return "\n".join(lines) + "\n"


def limits(option: Option) -> str:
    """Return the line that describes the permitted values; empty where the type alone says all."""
    is_obvious = (
        option.is_table or isinstance(option.default, bool) or _bare(option.type)[0] in (str, Text, Text | None)
    )
    return "" if is_obvious else f"Allowed: {allowed(option.type)}."


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )
