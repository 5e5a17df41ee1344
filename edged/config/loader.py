"""Reads the settings: a TOML file, then `--set`. settings.py says which values are permitted.

All errors are reported at once, one line each, with the permitted values and never with a value that may be secret.
"""

import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import tomli

from edged.config.options import (
    allowed,
    is_section,
    number_or_false,
    options,
    sections,
    toml,
    toml_key,
    values_of_table,
)
from edged.config.settings import PRESETS, Section, Settings
from edged.config.validation import Finding, find_cautions, find_contradictions, used_paths
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError, UsageError
from edged.model.files import open_regular_file
from edged.model.urls import may_be_secret, may_hold_secret, without_secrets

DEFAULT_PATH = Path("/etc/edged/edged.toml")
"""File that is read if none is named; it may be absent."""

MAX_FILE_BYTES = 1_000_000
"""Largest configuration file: the sample with every option is a hundredth of it."""


class LoadedSettings(NamedTuple):
    """Settings with their origins, and everything that is wrong with them."""

    settings: Settings
    origins: dict[str, str]
    """Origin of each option (`section.key`): `default`, `name kitchen.toml`, `file edged.toml` or `--set`."""
    warnings: list[str]
    """Settings that work, but probably not as intended; one line each."""
    problems: list[str]
    """Settings that can't be used; one line each."""
    refused: set[str]
    """Options that the problems are about. Those with a value that is not permitted are at their defaults."""


def load(path: Path | None = None, overrides: Sequence[str] = (), content: bytes | None = None) -> LoadedSettings:
    """Read the settings as `read` does. Raises ConfigurationError with all problems if there are any."""
    loaded = read(path, overrides, content)
    if loaded.problems:
        raise ConfigurationError(*loaded.problems)
    return loaded


def read(path: Path | None = None, overrides: Sequence[str] = (), content: bytes | None = None) -> LoadedSettings:
    """Read the configuration file `path`, then the overrides, `section.key=value` each.

    Without a `path` the file is `DEFAULT_PATH`, if it exists. `content` replaces the contents of the file.

    Raises UsageError for an override that is not `section.key=value`, and ConfigurationError for a file that can't be
    read: nothing can be said about its settings then. Everything else is returned as a problem.
    """
    named = [_parse_override(text) for text in overrides]
    builder = _SettingsBuilder()
    file = path or DEFAULT_PATH
    table = _read_table(file, absent_is_fine=path is None) if content is None else _parse_toml(file, content)
    builder.add_table(Settings, "", _instance_defaults(file), _ValueSource(f"name {file.name}", str(file)))
    builder.add_table(Settings, "", table, _ValueSource(f"file {file.name}", str(file)))
    for keys, text in named:
        value = _parse_value(text)
        for key in reversed(keys):
            value = {key: value}
        builder.add_table(Settings, "", value, _ValueSource("--set", "--set", text))
    settings = builder.build()
    found = [*find_contradictions(settings, ignore=builder.refused), *_find_unencodable_paths(settings)]
    problems = [*builder.problems, *(builder.prefix(finding) + finding.text for finding in found)]
    refused = builder.refused.union(*(finding.options for finding in found))
    return LoadedSettings(settings, builder.origins, find_cautions(settings), problems, refused)


def _find_unencodable_paths(settings: Settings) -> Iterator[Finding]:
    """Find paths that can't be passed to the kernel, because the locale's encoding lacks their characters."""
    for section, key, value in used_paths(settings):
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            text = f"[{section}] {key} can't be expressed in this locale's encoding ({sys.getfilesystemencoding()})"
            yield Finding((f"{section}.{key}",), f"{text}: set LANG=C.UTF-8, or choose a name of ASCII characters")


def _instance_defaults(file: Path) -> dict[str, Any]:
    """Return the default directories of the instance `edged@NAME`, which reads NAME.toml beside the usual file."""
    if file.absolute().parent != DEFAULT_PATH.parent or file.name == DEFAULT_PATH.name:
        return {}
    own = f"edged-{file.stem}"
    return {
        "spool": {"directory": f"/var/lib/{own}", "runtime_directory": f"/run/{own}"},
        "transcripts": {"file": {"path": f"/var/log/{own}/transcripts.jsonl"}},
    }


class _ValueSource(NamedTuple):
    """Source of a value."""

    origin: str
    where: str
    """Name of the source at the beginning of a problem's line."""
    text: str | None = None
    """Value in `--set` before it was parsed as TOML."""


class _SettingsBuilder:
    """Collects values from all sources, checks each, and makes the settings."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.refused: set[str] = set()
        self.origins = {option.name: "default" for option in options()}
        self._values: dict[str, Any] = {}
        self._wheres: dict[str, str] = {}
        """Source of each option that was set."""

    def add_table(self, kind: type[Section], name: str, table: Any, source: _ValueSource) -> None:
        """Add the values of a table of the section `kind`."""
        if not isinstance(table, dict):
            self.problems.append(f"{source.where}: {name} is a section: write [{name}], and its keys below it")
            return
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key, value in table.items():
            path = f"{name}.{key}" if name else key
            if key not in fields:
                self.problems.append(f"{source.where}: {_describe_unknown(kind, name, key)}")
            elif is_section(fields[key]):
                self.add_table(fields[key], path, value, source)
            elif (each := values_of_table(fields[key])) and isinstance(value, dict):
                own = self._values.setdefault(path, {})
                self.origins[path] = source.origin
                for own_key, own_value in value.items():
                    self._add_value(own, own_key, path, own_key, own_value, each, source)
            else:
                self._add_value(self._values, path, name, key, value, fields[key], source)

    def _add_value(
        self, into: dict[str, Any], at: str, section: str, key: str, value: Any, kind: Any, source: _ValueSource
    ) -> None:
        path = f"{section}.{key}"
        try:
            into[at] = _convert(value, kind, source.text)
            self.origins[path], self._wheres[path] = source.origin, source.where
        except msgspec.ValidationError:
            self.refused.add(path)
            self.problems.append(
                f"{source.where}: [{section}] {toml_key(key)}{_shown_value(path, value)} must be "
                f"{_describe_allowed(kind, value)}"
            )

    def prefix(self, finding: Finding) -> str:
        """Return the beginning of a finding's line: the sources of its options that are not at their defaults."""
        wheres = {self._wheres[option] for option in finding.options if option in self._wheres}
        return f"{' and '.join(sorted(wheres, reverse=True))}: " if wheres else ""  # the file before --set

    def build(self) -> Settings:
        """Make the settings; rejected values stay at their defaults."""
        if self._values.get("deepgram.interim_results") is False and "deepgram.utterance_end_ms" not in self._values:
            # Its default needs interim results: a user who turns those off need not know about it.
            self._values["deepgram.utterance_end_ms"] = False
            self.origins["deepgram.utterance_end_ms"] = "default without interim_results"
        if preset := self._values.get("gate.preset"):
            for path, value in ((f"gate.{key}", value) for key, value in PRESETS[preset].items()):
                if path not in self._values and path not in self.refused:
                    self._values[path], self.origins[path] = value, f'preset "{preset}"'
        return cast(Settings, self._section(Settings, ""))

    def _section(self, kind: type[Section], name: str) -> Section:
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            path = f"{name}.{field.name}" if name else field.name
            if is_section(field.type):
                values[field.name] = self._section(field.type, path)
            elif path in self._values:
                values[field.name] = self._values[path]
        return kind(**values)


def _convert(value: Any, kind: Any, text: str | None) -> Any:
    """Convert a value to the option's type. A value from `--set` is also tried as plain text."""
    if value is True and number_or_false(kind):
        return msgspec.convert(value, int)  # rejected, as settings.py says
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        if text is None or isinstance(value, str | dict):
            raise
        return msgspec.convert(text, kind)


def _shown_value(path: str, value: Any) -> str:
    """Return ` = value` if the value may be shown: any value may be the API key, put there by mistake."""
    if path == "deepgram.api_key_file" or f"{path}.".startswith("deepgram.options.") or may_hold_secret(str(value)):
        return ""
    text = toml(without_secrets(value) if path == "deepgram.url" and isinstance(value, str) else value)
    return f" = {text}" if len(text) <= MOST_SHOWN else f" = {text[:MOST_SHOWN]}..."


MOST_SHOWN = 80
"""Most characters of a wrong value that are shown: enough to find it in the file."""


def _describe_allowed(kind: Any, value: Any) -> str:
    """Describe the permitted values, and suggest the one that was probably intended."""
    words = allowed(kind)
    choices = re.findall(r'"([^"]+)"', words)
    meant = [difflib.get_close_matches(each, choices, 1) for each in _strings(value)]
    if not meant or not all(meant):
        return words
    close = [each[0] for each in meant]
    return f"{words} (did you mean {toml(close if words.startswith('a list') else close[0])}?)"


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(each, str) for each in values) else []


def _describe_unknown(kind: type[Section], section: str, key: str) -> str:
    """Describe an unknown section or key, without its value, and without a name that looks like a secret."""
    name = "..." if may_hold_secret(key) else toml_key(key)
    shown = f"[{section}] {name}" if section else f"[{name}]"
    if may_be_secret(key):
        return f"{shown} is no option: the key itself never stands in the settings; use deepgram.api_key_file"
    own = [field.name for field in msgspec.structs.fields(kind)]
    elsewhere = [f"[{option.section}]" for option in options() if option.key == key]
    similar = difflib.get_close_matches(key.lower(), [option.key for option in options()], 1, cutoff=0.75)
    if elsewhere:
        hint = f"it belongs to {' or '.join(elsewhere)}"
    elif close := difflib.get_close_matches(key.lower(), own, 1):
        hint = f"did you mean {close[0]}?" if section else f"did you mean [{close[0]}]?"
    elif similar:
        hint = f"did you mean {' or '.join(option.name for option in options() if option.key == similar[0])}?"
    elif section:
        hint = f"there are {', '.join(own)}"
    else:
        hint = f"there are {', '.join(f'[{name}]' for name, _ in sections())}"
    return f"{shown} is no {'option' if section else 'section'}: {hint}"


def _parse_override(text: str) -> tuple[list[str], str]:
    """`section.key=value` as its keys and the value's text."""
    name, equals, value = text.partition("=")
    if any("\ud800" <= character <= "\udfff" for character in text):  # how Python keeps a byte that is no UTF-8
        raise UsageError(f"--set {name.encode(errors='replace').decode()}: not UTF-8 text")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        shown = "" if may_hold_secret(name) else f"; not {toml(name)}"
        raise UsageError(f"--set needs section.key=value, such as capture.rate=16000{shown}")
    return keys, value.strip()


def _parse_value(text: str) -> Any:
    """Parse a value of `--set` as TOML; return the text itself if it is not TOML."""
    try:
        table = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if list(table) == ["value"] else text


def _read_table(file: Path, *, absent_is_fine: bool) -> dict[str, Any]:
    try:
        with open_regular_file(file) as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if absent_is_fine:
            return {}
        raise ConfigurationError(f"{file}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{file} is a directory, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigurationError(f"{file} can't be read: {with_cure(error)}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{file} is larger than {MAX_FILE_BYTES} bytes: that is no configuration")
    return _parse_toml(file, data)


def _parse_toml(file: Path, data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig")  # Windows editors put a mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{file}, line {line}: not UTF-8 text") from None
    try:
        return tomli.loads(text)
    except RecursionError:
        raise ConfigurationError(f"{file}: brackets are nested too deeply") from None
    except ValueError as error:  # tomli's own error is one; a number of too many digits is another
        raise ConfigurationError(f"{file}, {_explain_syntax_error(str(error), text)}") from None


SYNTAX_ERRORS = (
    ("Invalid value (at end", "the file ends where a value or a closing ] is missing"),
    ("Invalid value", "the value is not TOML: text needs quotes, true and false are lower case"),
    ("Invalid statement", "neither a [section] nor a key = value"),
    ("Exceeds the limit", "a number has too many digits"),
    ("Unclosed inline table", "a table {...} is not closed"),
    ("Duplicate inline table key", "a key stands twice in a table {...}"),
    ("Expected '='", "a key needs = and a value"),
    ("Expected newline", "something follows the value that does not belong there (text needs quotes)"),
    ("Cannot overwrite a value", "this key was already set above"),
    ("Cannot declare", "this section was already begun above"),
    ("Cannot mutate", "this section was already begun above"),
    ("Illegal character", "a quoted text must end on the line it begins on, without control characters"),
    ("Unterminated string", "a quoted text is not ended"),
    ("Unclosed array", "a list [...] is not closed"),
    ("Expected ']' at the end", "a [section] line lacks its ]"),
    (
        "Invalid initial character for a key",
        "a key must not be empty, and needs quotes unless it is letters, digits, _ and -",
    ),
    ("Unescaped '\\'", "a \\ in a quoted text must be doubled, or the text be in single quotes"),
)
"""Beginnings of tomli's messages, with the same for people."""


def _explain_syntax_error(message: str, text: str) -> str:
    """Return line, column and error, without the text in that place, which may be secret."""
    words = next(
        (plain for beginning, plain in SYNTAX_ERRORS if message.startswith(beginning)), message.partition(" (at ")[0]
    )
    if place := re.search(r"at line (\d+), column (\d+)", message):
        return f"line {place[1]}, column {place[2]}: {words}"
    if "end of document" in message:
        return f"line {text.count(chr(10)) + 1}, column {len(text.rpartition(chr(10))[2]) + 1}: {words}"
    return words
