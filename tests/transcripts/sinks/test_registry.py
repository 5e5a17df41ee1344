"""Every sink that the settings allow is registered, and declares by itself how edged treats it."""

from pathlib import Path
from typing import Literal, get_args, get_type_hints

import pytest

from edged.config.options import is_section
from edged.config.settings import FileSinkSettings, Settings, TranscriptsSettings
from edged.config.validation import used_paths
from edged.transcripts.reconciliation import SinkContents
from edged.transcripts.sinks.file import FileSink
from edged.transcripts.sinks.registry import (
    SINKS,
    make_sinks,
    required_sinks,
    shows_interims,
    sinks_on_stdout,
    sinks_that_accept_before_storing,
    storage_warnings,
)
from tests.transcripts.queries import by_id
from tests.transcripts.some import record

SinkName = Literal["journal", "file", "console"]


def names() -> list[SinkName]:
    """Return the names that `transcripts.sinks` allows."""
    (names,) = get_args(get_type_hints(TranscriptsSettings)["sinks"])
    return list(get_args(names))


def test_the_settings_allow_exactly_the_registered_sinks() -> None:
    assert set(names()) == set(SINKS)


@pytest.mark.parametrize("name", names())
def test_each_sink_is_made_from_the_settings_without_opening_anything(name: SinkName, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    settings = TranscriptsSettings(sinks=[name], file=FileSinkSettings(path=str(path)))
    assert {made: type(sink) for made, sink in make_sinks(settings).items()} == {name: SINKS[name]}
    assert not path.exists()


@pytest.mark.parametrize("name", names())
def test_the_options_of_a_sink_are_a_section_of_its_own_name(name: SinkName) -> None:
    """So a path among them is checked without further code."""
    own = get_type_hints(TranscriptsSettings).get(name)
    assert own is None or is_section(own)
    paths = [section for section, _, _ in used_paths(Settings(transcripts=TranscriptsSettings(sinks=[name])))]
    assert (f"transcripts.{name}" in paths) is (own is not None and "path" in get_type_hints(own))


def test_the_console_holds_no_record_back_and_the_journal_may_lose_what_it_accepted() -> None:
    assert required_sinks(names()) == ["journal", "file"]
    assert sinks_that_accept_before_storing(names()) == ["journal"]
    assert sinks_on_stdout(names()) == ["console"]
    assert shows_interims(["console", "file"])
    assert not shows_interims(["file", "journal"])


def test_sinks_that_keep_records_can_be_read_back(tmp_path: Path) -> None:
    settings = TranscriptsSettings(file=FileSinkSettings(path=str(tmp_path / "t.jsonl")))
    FileSink(settings.file).deliver([record(1)])
    readbacks = {name: sink.readback(settings) for name, sink in SINKS.items()}
    assert {name for name, readback in readbacks.items() if readback} == {"file", "journal"}
    assert readbacks["file"]
    assert readbacks["file"](by_id(1)) == SinkContents(by_id(1).ids, ())


@pytest.mark.parametrize(
    ("sinks", "warned"),
    [
        (["journal"], True),
        (["journal", "console"], True),
        (["journal", "file"], False),
        (["console"], False),
        ([], False),
    ],
)
def test_a_start_warns_only_where_no_required_sink_stores_what_it_accepts(
    sinks: list[SinkName], warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edged.transcripts.sinks.journal.journal_cautions", lambda namespace: [f"journal {namespace}"])
    warnings = storage_warnings(TranscriptsSettings(sinks=sinks), {"LOG_NAMESPACE": "edged"})
    assert warnings == (["journal edged"] if warned else [])
