"""`edged gate --calibrate`, on the virtual microphone, and what it writes."""

from pathlib import Path

import pytest

from edged.capture import cards
from edged.capture.alsa_errors import explain
from edged.cli.gate_calibration import RoomReport, Trial, put, report, with_preset
from edged.config import loader
from edged.config.loader import load
from edged.config.settings import Settings
from edged.model.audio import SourceLost
from edged.model.errors import EdgedError, UsageError
from edged.testkit.compose import compose
from tests.capture.conftest import Microphone, microphone, plugin
from tests.cli.calling import edged_gate

__all__ = ["microphone", "plugin"]


@pytest.mark.slow
def test_it_listens_to_the_real_microphone_and_writes_what_it_recommends(
    microphone: Microphone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 s of a quiet room: every preset stays shut, so the most attentive will do."""
    microphone(bytes(compose([], tail_s=6.0).pcm))
    file = tmp_path / "edged.toml"
    file.write_text("[gate]\n# mine\nhangover_ms = 700\n")
    where: list[str | Path] = ["--set", "capture.device=virtual", "--config", file]
    assert edged_gate("--calibrate", "5", *where) == 0
    assert "preset" not in file.read_text(), "it was not asked to"
    assert "Recommended: quiet room (" in capsys.readouterr().out
    assert edged_gate("--calibrate", "5", "--write", *where) == 0
    assert "# mine" in file.read_text()
    gate = load(file).settings.gate
    assert (gate.preset, gate.hangover_ms) == ("quiet room", 700)


def test_without_a_microphone_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(EdgedError, match="nothing_like_it"):
        edged_gate("--calibrate", "5", "--set", "capture.device=plughw:CARD=nothing_like_it")


def test_a_file_that_can_not_be_written_is_told_before_a_minute_is_listened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "absent" / "edged.toml")
    with pytest.raises(UsageError, match="can't be written: run it as its owner, or without --write"):
        edged_gate("--calibrate", "60", "--write")


def room(*sent: int) -> RoomReport:
    names = ("quiet room", "normal", "noisy")
    trials = [Trial(name, int(samples > 0), samples) for name, samples in zip(names, sent, strict=True)]
    return RoomReport(100_000, [-60.0] * 50 + [-50.0] * 45 + [-20.0] * 5, trials)


@pytest.mark.parametrize(
    ("sent", "recommended"),
    [
        ((0, 0, 0), "quiet room"),
        ((5000, 0, 0), "quiet room"),
        ((5001, 0, 0), "normal"),
        ((60_000, 40_000, 20_000), "noisy"),
    ],
)
def test_the_most_attentive_preset_that_sends_hardly_anything_is_recommended(
    sent: tuple[int, ...], recommended: str
) -> None:
    assert room(*sent).recommended == recommended


def test_the_report_tells_levels_and_how_often_each_would_have_opened() -> None:
    lines = report(room(16_000, 0, 0), Settings())
    assert lines[0] == "level: -60 dBFS when quiet, -50 usually, -20 when loud"
    assert "quiet room       1 time        1.0 s  16.0%" in lines
    assert "normal          0 times        0.0 s   0.0%" in lines


WRITTEN = {
    "": '[gate]\npreset = "noisy"\n',
    "[capture]\nrate = 8000\n": '[capture]\nrate = 8000\n\n[gate]\npreset = "noisy"\n',
    "[gate]\n[capture]\n": '[gate]\npreset = "noisy"\n[capture]\n',
    "[gate]": '[gate]\npreset = "noisy"\n',
    '[gate]\nframe_ms = 10\npreset = "normal" # mine\n': '[gate]\nframe_ms = 10\npreset = "noisy"\n',
    '[gate]\n# text\n#preset = "normal"\n\n[spool]\n': '[gate]\n# text\npreset = "noisy"\n\n[spool]\n',
    '[other]\npreset = "x"\n[gate]\n': '[other]\npreset = "x"\n[gate]\npreset = "noisy"\n',
    "[ gate ] # mine\n": '[ gate ] # mine\npreset = "noisy"\n',
    "  ['gate']\n  'preset' = \"normal\"\n  [spool]\n": "  ['gate']\npreset = \"noisy\"\n  [spool]\n",
    "gate.hangover_ms = 900\n[spool]\n": 'gate.preset = "noisy"\ngate.hangover_ms = 900\n[spool]\n',
    'gate.hangover_ms = 900\ngate . preset = "normal"\n': 'gate.hangover_ms = 900\ngate.preset = "noisy"\n',
    '"gate".hangover_ms = 900\n': 'gate.preset = "noisy"\n"gate".hangover_ms = 900\n',
    '[gate]\r\npreset = "normal"\r\n\r\n[spool]\r\n': '[gate]\r\npreset = "noisy"\r\n\r\n[spool]\r\n',
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_changes_one_line_only(text: str) -> None:
    assert with_preset(text, "noisy") == WRITTEN[text]


@pytest.mark.parametrize("text", [text for text in WRITTEN if "other" not in text])
def test_what_is_written_is_valid_and_says_it(text: str, tmp_path: Path) -> None:
    """Else the next start ends with 78, and the machine is deaf."""
    file = tmp_path / "edged.toml"
    file.write_bytes(text.encode())
    before = load(file).settings
    put(file, "noisy")
    assert load(file).settings == load(file, ["gate.preset=noisy"]).settings
    assert load(file, ["gate.preset=normal"]).settings == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["edged.toml", "kitchen.toml"])
@pytest.mark.parametrize("text", ["", '[gate]\npreset = "normal"\n'])
def test_it_writes_the_usual_file_and_those_of_instances(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside which each file's name decides where transcripts are, a temporary one's too."""
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "edged.toml")
    file = tmp_path / name
    file.write_text(text)
    before = load(file).settings.transcripts.file.path
    put(file, "noisy")
    assert (load(file).settings.gate.preset, load(file).settings.transcripts.file.path) == ("noisy", before)
    assert list(tmp_path.iterdir()) == [file]


UNCOMMON = [
    'gate = { preset = "normal" }\n',
    "gate = {}\n",
    '[gate]\n"pre\\u0073et" = "normal"\n',
    '["g\\u0061te"]\n',
    '[deepgram]\nkeyterms = ["""\n[gate]\n"""]\n',
]


@pytest.mark.parametrize("text", UNCOMMON)
def test_what_can_not_be_changed_safely_is_left_as_it_is_and_the_line_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "edged.toml"
    file.write_text(text)
    load(file)
    with pytest.raises(UsageError, match=r'is left as it is.*: preset = "noisy"$'):
        put(file, "noisy")
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_who_may_read_the_settings_stays_as_it_was_and_a_link_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    real, link = tmp_path / "mine" / "edged.toml", tmp_path / "edged.toml"
    real.touch(mode=0o640)
    link.symlink_to(real)
    put(link, "noisy")
    assert link.is_symlink()
    assert (load(link).settings.gate.preset, real.stat().st_mode & 0o777) == ("noisy", 0o640)


WAITS = "; edged uses it as soon as it"
HELD = "held by edged (pid 800): stop it first (sudo systemctl stop edged), and start it again when this is done"


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (f"hw:A is held by edged (pid 800){WAITS} is free", f"hw:A is {HELD}"),
        (f"hw:A is held by pipewire (pid 7){WAITS} is free", "hw:A is held by pipewire (pid 7)"),
        (
            f"hw:A is not there{WAITS} appears (`edged devices` lists all)",
            "hw:A is not there (`edged devices` lists all)",
        ),
        (f"no card that captures is there{WAITS} appears", "no card that captures is there"),
        ("hw:A fails: broken", "hw:A fails: broken"),
    ],
)
def test_a_microphone_that_is_not_to_be_had_is_not_promised_to_be_waited_for(
    why: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        def check(self) -> SourceLost:
            return SourceLost(why)

    monkeypatch.setattr("edged.cli.gate_calibration.open_source", lambda settings, deliver: Absent())
    with pytest.raises(UsageError) as raised:
        edged_gate("--calibrate", "5")
    assert str(raised.value) == told


def test_the_promise_is_the_one_that_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """`edged gate --calibrate` takes it off again."""
    monkeypatch.setattr(cards, "find_card", lambda device: None)
    busy = explain(OSError("Device or resource busy [hw:A]"), "hw:A")
    gone = explain(OSError("No such device [hw:A]"), "hw:A")
    assert WAITS in str(busy)
    assert WAITS in str(gone)
