"""Reading the settings: a TOML file, then `--set`; settings.py says what they may be.

All that is wrong is reported at once, a line each, with what is allowed instead and never with what may be a secret.
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
"""Read when no file is named; it may be absent."""

MOST_BYTES = 1_000_000
"""The sample with every option has a hundredth of it: whatever is larger is not a configuration."""


class LoadedSettings(NamedTuple):
    """Settings, and how they came to be."""

    settings: Settings
    origins: dict[str, str]
    """For each option (`section.key`): `default`, `name kitchen.toml`, `file edged.toml` or `--set`."""
    warnings: list[str]
    """What works, but hardly as meant; one line each."""
    problems: list[str]
    """What can't be used; one line each."""
    refused: set[str]
    """The options concerned. Those with a value that is not allowed are at their defaults."""


def load(path: Path | None = None, overrides: Sequence[str] = (), content: bytes | None = None) -> LoadedSettings:
    """Settings without problems, as `read` gives them. Raises ConfigurationError with every problem there is."""
    loaded = read(path, overrides, content)
    if loaded.problems:
        raise ConfigurationError(*loaded.problems)
    return loaded


def read(path: Path | None = None, overrides: Sequence[str] = (), content: bytes | None = None) -> LoadedSettings:
    """Read `path` (`None`: the default place, if there is a file) and then `section.key=value` overrides. With
    `content`, that is read in place of what the file holds.

    Raises UsageError for an override that is not `section.key=value`, and ConfigurationError for a file that can't be
    read: what the defaults would be wrong about then was never asked. Everything else comes back as a problem.
    """
    named = [_override(text) for text in overrides]
    reading = _Reading()
    file = path or DEFAULT_PATH
    table = _table(file, absent_is_fine=path is None) if content is None else _parsed(file, content)
    reading.take(Settings, "", _places_of_instance(file), _Given(f"name {file.name}", str(file)))
    reading.take(Settings, "", table, _Given(f"file {file.name}", str(file)))
    for keys, text in named:
        value = _value(text)
        for key in reversed(keys):
            value = {key: value}
        reading.take(Settings, "", value, _Given("--set", "--set", text))
    settings = reading.settings()
    found = [*find_contradictions(settings, ignore=reading.refused), *_foreign_paths(settings)]
    problems = [*reading.problems, *(reading.where(finding) + finding.text for finding in found)]
    refused = reading.refused.union(*(finding.options for finding in found))
    return LoadedSettings(settings, reading.origins, find_cautions(settings), problems, refused)


def _foreign_paths(settings: Settings) -> Iterator[Finding]:
    """Paths that can't be passed to the kernel: the encoding of file names is the locale's."""
    for section, key, value in used_paths(settings):
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            text = f"[{section}] {key} can't be expressed in this locale's encoding ({sys.getfilesystemencoding()})"
            yield Finding((f"{section}.{key}",), f"{text}: set LANG=C.UTF-8, or choose a name of ASCII characters")


def _places_of_instance(file: Path) -> dict[str, Any]:
    """Where `edged@NAME`, which reads NAME.toml beside the usual file, has its spool and its transcripts by default."""
    if file.absolute().parent != DEFAULT_PATH.parent or file.name == DEFAULT_PATH.name:
        return {}
    own = f"edged-{file.stem}"
    return {
        "spool": {"directory": f"/var/lib/{own}", "runtime_directory": f"/run/{own}"},
        "transcripts": {"file": {"path": f"/var/log/{own}/transcripts.jsonl"}},
    }


class _Given(NamedTuple):
    """Where a value comes from."""

    origin: str
    where: str
    """For the line of a problem."""
    text: str | None = None
    """As `--set` had it, before TOML read it."""


class _Reading:
    """What has been read so far, and what was wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.refused: set[str] = set()
        self.origins = {option.name: "default" for option in options()}
        self._values: dict[str, Any] = {}
        self._wheres: dict[str, str] = {}
        """For each option that was given, where that was."""

    def take(self, kind: type[Section], name: str, table: Any, given: _Given) -> None:
        """Take a table of the section `kind`, key by key."""
        if not isinstance(table, dict):
            self.problems.append(f"{given.where}: {name} is a section: write [{name}], and its keys below it")
            return
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key, value in table.items():
            path = f"{name}.{key}" if name else key
            if key not in fields:
                self.problems.append(f"{given.where}: {_unknown(kind, name, key)}")
            elif is_section(fields[key]):
                self.take(fields[key], path, value, given)
            elif (each := values_of_table(fields[key])) and isinstance(value, dict):
                own = self._values.setdefault(path, {})
                self.origins[path] = given.origin
                for own_key, own_value in value.items():
                    self._take_value(own, own_key, path, own_key, own_value, each, given)
            else:
                self._take_value(self._values, path, name, key, value, fields[key], given)

    def _take_value(
        self, into: dict[str, Any], at: str, section: str, key: str, value: Any, kind: Any, given: _Given
    ) -> None:
        path = f"{section}.{key}"
        try:
            into[at] = _converted(value, kind, given.text)
            self.origins[path], self._wheres[path] = given.origin, given.where
        except msgspec.ValidationError:
            self.refused.add(path)
            self.problems.append(
                f"{given.where}: [{section}] {toml_key(key)}{_shown(path, value)} must be {_must(kind, value)}"
            )

    def where(self, finding: Finding) -> str:
        """In front of its line: what gave its options, or those of them that are not at their defaults."""
        wheres = {self._wheres[option] for option in finding.options if option in self._wheres}
        return f"{' and '.join(sorted(wheres, reverse=True))}: " if wheres else ""  # the file before --set

    def settings(self) -> Settings:
        """The settings; what was refused stays at its default."""
        if self._values.get("deepgram.interim_results") is False and "deepgram.utterance_end_ms" not in self._values:
            # Its default needs interim results: who turns those off need not know of it.
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


def _converted(value: Any, kind: Any, text: str | None) -> Any:
    """The value as the option wants it. What came from `--set` is also tried as the text it was."""
    if value is True and number_or_false(kind):
        return msgspec.convert(value, int)  # refused, as settings.py says
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        if text is None or isinstance(value, str | dict):
            raise
        return msgspec.convert(text, kind)


def _shown(path: str, value: Any) -> str:
    """` = value`, if it may be shown; any may be the key itself, put there by mistake."""
    if path == "deepgram.api_key_file" or f"{path}.".startswith("deepgram.options.") or may_hold_secret(str(value)):
        return ""
    text = toml(without_secrets(value) if path == "deepgram.url" and isinstance(value, str) else value)
    return f" = {text}" if len(text) <= MOST_SHOWN else f" = {text[:MOST_SHOWN]}..."


MOST_SHOWN = 80
"""Characters of a wrong value: enough to find it, and the line stays a line."""


def _must(kind: Any, value: Any) -> str:
    """What is allowed, and which of it was perhaps meant."""
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


def _unknown(kind: type[Section], section: str, key: str) -> str:
    """An unknown section or key. Its value is not shown, as it may be a secret; nor is a name that looks like one."""
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


def _override(text: str) -> tuple[list[str], str]:
    """`section.key=value` as its keys and the value's text."""
    name, equals, value = text.partition("=")
    if any("\ud800" <= character <= "\udfff" for character in text):  # how Python keeps a byte that is no UTF-8
        raise UsageError(f"--set {name.encode(errors='replace').decode()}: not UTF-8 text")
    keys = [key.strip() for key in name.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        shown = "" if may_hold_secret(name) else f"; not {toml(name)}"
        raise UsageError(f"--set needs section.key=value, such as capture.rate=16000{shown}")
    return keys, value.strip()


def _value(text: str) -> Any:
    """What the text means to TOML, if it means anything there; else the text."""
    try:
        table = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if list(table) == ["value"] else text


def _table(file: Path, *, absent_is_fine: bool) -> dict[str, Any]:
    try:
        with open_regular_file(file) as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        if absent_is_fine:
            return {}
        raise ConfigurationError(f"{file}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{file} is a directory, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigurationError(f"{file} can't be read: {with_cure(error)}") from None
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"{file} is larger than {MOST_BYTES} bytes: that is no configuration")
    return _parsed(file, data)


def _parsed(file: Path, data: bytes) -> dict[str, Any]:
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
        raise ConfigurationError(f"{file}, {_plain(str(error), text)}") from None


PLAIN = (
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
"""What tomli says, and the same for people."""


def _plain(message: str, text: str) -> str:
    """Line, column and what is wrong there, without the text that stands there: it may be a secret."""
    words = next((plain for theirs, plain in PLAIN if message.startswith(theirs)), message.partition(" (at ")[0])
    if place := re.search(r"at line (\d+), column (\d+)", message):
        return f"line {place[1]}, column {place[2]}: {words}"
    if "end of document" in message:
        return f"line {text.count(chr(10)) + 1}, column {len(text.rpartition(chr(10))[2]) + 1}: {words}"
    return words
