"""The sample configuration, and how values are written, agree with settings.py and with TOML."""

import re
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from edged.config.loader import load
from edged.config.options import WIDTH, allowed, number_or_false, options, sample, toml, toml_key
from edged.config.settings import Settings

SAMPLE = Path(__file__).parents[2] / "config" / "edged.toml"


def uncommented() -> str:
    """The sample as somebody would have it who takes away every #: text has a space behind it, options have none."""
    return re.sub(r"^#(?! )", "", sample(), flags=re.MULTILINE)


def test_the_sample_file_is_what_the_code_generates() -> None:
    assert SAMPLE.read_text() == sample(), "run: edged check --sample > config/edged.toml"


def test_the_sample_as_it_is_changes_nothing() -> None:
    loaded = load(SAMPLE)
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"} | {loaded.origins["deepgram.options"]}


def test_the_uncommented_sample_has_every_option_at_its_default(tmp_path: Path) -> None:
    """Options without a default have an example there: all others load as they are without the file."""
    file = tmp_path / "edged.toml"
    file.write_text(uncommented())
    loaded = load(file)
    for option in options():
        value = loaded.settings
        for name in option.name.split("."):
            value = getattr(value, name)
        expected = option.example if option.default is None or option.is_table else option.default
        assert value == expected, option.name
        assert loaded.origins[option.name] == "file edged.toml"


def test_each_option_can_be_uncommented_alone(tmp_path: Path) -> None:
    file = tmp_path / "edged.toml"
    lines = sample().splitlines()
    for i, line in enumerate(lines):
        if line.startswith("#") and not line.startswith("# "):
            file.write_text("\n".join([*lines[:i], line[1:], *lines[i + 1 :]]))
            load(file)


def test_each_option_is_right_below_its_help_text() -> None:
    text = " ".join(line.lstrip("# ") for line in sample().splitlines())
    for option in options():
        start = text.index(option.text)
        assert option.key in text[start + len(option.text) :][:250], option.name


def test_the_sample_fits_a_terminal() -> None:
    assert max(map(len, sample().splitlines())) <= WIDTH


VALUES = st.recursive(
    st.text() | st.integers(-(2**60), 2**60) | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), VALUES, max_size=3))
def test_a_written_value_reads_back_the_same(table: dict[str, object]) -> None:
    text = "".join(f"{toml_key(key)} = {toml(value)}\n" for key, value in table.items())
    assert repr(tomli.loads(text)) == repr(table)  # repr: nan is not equal to itself
    assert all(c.isprintable() or c == "\n" for c in text if c.isascii())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("capture.source", '"alsa" or "wav"'),
        ("capture.rate", "8000, 16000, 32000 or 48000"),
        ("capture.channels", "a whole number from 1 to 32"),
        ("capture.volume", "a whole number from 0 to 100"),
        ("capture.path", "text in quotes, not empty"),
        ("gate.enabled", "true or false"),
        ("gate.onset_ratio", "a number from 0.1 to 1"),
        ("deepgram.utterance_end_ms", "a whole number from 1000 to 5000, or false"),
        ("transcripts.max_pending", "a whole number from 10 to 1000000"),
        ("transcripts.sinks", 'a list [...] of "journal", "file" or "console"'),
    ],
)
def test_permitted_values_are_described_in_words(name: str, words: str) -> None:
    assert allowed(next(option.type for option in options() if option.name == name)) == words


def test_only_numbers_that_can_be_false_are_recognised_as_such() -> None:
    assert [option.name for option in options() if number_or_false(option.type)] == [
        "deepgram.endpointing_ms",
        "deepgram.utterance_end_ms",
    ]
