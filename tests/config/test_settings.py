"""Every option can be written in TOML, has a help text, and has a valid default."""

import re

import msgspec
import pytest

from edged.config.options import Option, allowed, options, toml
from edged.config.settings import Settings

ALL = options()


def test_the_defaults_satisfy_their_own_types_and_bounds() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.name)
def test_every_option_is_explained_and_says_what_it_allows(option: Option) -> None:
    assert len(option.text) >= 7
    assert option.text == option.text.strip()
    assert "\n" not in option.text
    assert allowed(option.type)


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.name)
def test_an_option_without_a_default_has_an_example_that_its_type_takes(option: Option) -> None:
    if option.default is None or option.is_table:
        assert option.example
    assert option.example is None or msgspec.convert(option.example, option.type) == option.example


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.name)
def test_numbers_have_bounds_on_both_sides_and_the_bounds_hold(option: Option) -> None:
    words = allowed(option.type)
    if "number" not in words or option.is_table:
        return
    bounds = re.search(r"number from (\S+) to ([^\s,]+)", words)
    assert bounds, f"{option.name} has no bounds"
    least, most = (float(bound) for bound in bounds.groups())
    whole = "whole" in words
    for inside in (least, most):
        msgspec.convert(int(inside) if whole else inside, option.type)
    for outside in (least - 1, most + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(int(outside) if whole else outside, option.type)


UNITS = {"milliseconds": "_ms", "seconds": "_s", "hours": "_h", "megabytes": "_mb"}


@pytest.mark.parametrize(("unit", "suffix"), UNITS.items())
def test_a_unit_in_the_help_text_stands_in_the_name_too(unit: str, suffix: str) -> None:
    names = [option.name for option in ALL if re.search(rf"\b{unit}\b", option.text)]
    assert names
    assert [name for name in names if not name.endswith(suffix)] == []


@pytest.mark.parametrize(("unit", "suffix"), UNITS.items())
def test_a_unit_in_the_name_stands_in_the_help_text_too(unit: str, suffix: str) -> None:
    assert [option.name for option in ALL if option.key.endswith(suffix) and unit not in option.text] == []


def test_names_that_others_rely_on() -> None:
    """Sections and keys of the main issue: renaming one breaks somebody's kiosk."""
    relied_on = {
        "capture": "source device path end_wait_s rate channels channel period_ms buffer_ms",
        "gate": "enabled aggressiveness frame_ms pre_roll_ms hangover_ms",
        "deepgram": "url model language finalize keepalive_s prime_s stall_s inflight_s idle_close_s replay_rate",
        "reconnect": "initial_s max_s refused_s",
        "replay": "max_s",
        "spool": "directory runtime_directory",
        "transcripts": "sinks",
        "transcripts.file": "path",
    }
    names = {option.name for option in ALL}
    assert {f"{section}.{key}" for section, keys in relied_on.items() for key in keys.split()} <= names


def test_every_value_can_be_written_as_toml() -> None:
    for option in ALL:
        assert "None" not in toml(option.example)
