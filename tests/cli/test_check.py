"""`edged check`: the farm of wrong inputs. A clear line for each, the documented status, never a traceback or a key."""

import os
import shlex
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.cli.main import main
from edged.config.loader import load
from edged.config.options import sample
from edged.config.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef01234567"


class Output:
    """What `edged check` said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out = status, out
        assert "Traceback" not in err
        assert SECRET not in out + err
        lines = err.splitlines()
        assert all(line.startswith("edged: ") for line in lines), err
        said = [line.removeprefix("edged: ") for line in lines]
        self.warnings = [line.removeprefix("warning: ") for line in said if line.startswith("warning: ")]
        self.problems = [line for line in said if not line.startswith("warning: ")]


Check = Callable[..., Output]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Check:
    """Runs it in this process: with the text of a file, or arguments of one's own; and `--set`."""
    monkeypatch.chdir(tmp_path)

    def run(config: str | bytes | None = None, *overrides: str, file: Path | None = None) -> Output:
        if config is not None:
            file = tmp_path / "edged.toml"
            file.write_bytes(config if isinstance(config, bytes) else config.encode())
        arguments = ["check", *(["--config", str(file)] if file else [])]
        for override in overrides:
            arguments += ["--set", override]
        status = main(arguments)
        captured = capsys.readouterr()
        return Output(status, captured.out, captured.err)

    return run


QUIET = ("transcripts.sinks=['console']", "deepgram.url=ws://127.0.0.1:8700/v1/listen", "spool.enabled=false")
"""Nothing to warn about but the microphone, which this machine may have or not."""


def recording(path: Path, *, rate: int = 16_000, channels: int = 1, width: int = 2, seconds: float = 0.1) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"\1" * int(seconds * rate) * channels * width)
    return f"capture.path={path}"


def test_what_holds_is_printed_as_toml_that_means_the_same(check: Check, tmp_path: Path) -> None:
    source = recording(tmp_path / "a.wav")
    done = check("[capture]\nrate = 16000\n[deepgram.options]\ntag = 'a'", "capture.source=wav", source, *QUIET)
    assert (done.status, done.problems, done.warnings) == (0, [], [])
    copy = tmp_path / "copy.toml"
    copy.write_text(done.out)
    assert load(copy).settings == load(tmp_path / "edged.toml", ["capture.source=wav", source, *QUIET]).settings
    lines = [line.split() for line in done.out.splitlines()]
    assert ["rate", "=", "16000", "#", "file", "edged.toml"] in lines
    assert ["tag", "=", '"a"', "#", "file", "edged.toml"] in lines
    assert ["source", "=", '"wav"', "#", "--set"] in lines
    assert ["channels", "=", "1", "#", "default"] in lines
    assert ["#", "volume:", "none"] in lines


def test_the_sample_can_be_printed_and_checked(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--sample"]) == 0
    text = capsys.readouterr().out
    assert text == sample()
    assert check(text, *QUIET).status == 0


def test_without_a_file_the_defaults_are_checked(check: Check) -> None:
    """On a machine that has one at the default place, that one is."""
    if Path("/etc/edged/edged.toml").exists():
        assert "# file edged.toml" in check().out
    else:
        assert f'url = "{Settings().deepgram.url}"' in check().out


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("[capture]\nrate = 44100", "[capture] rate = 44100 must be 8000, 16000, 32000 or 48000"),
        ("[capture]\nrate = '16000'", '[capture] rate = "16000" must be 8000, 16000, 32000 or 48000'),
        ("[captrue]\nrate = 16000", "[captrue] is no section: did you mean [capture]?"),
        ("[gate]\nhang_over_ms = 1", "[gate] hang_over_ms is no option: did you mean hangover_ms?"),
        ("[deepgram]\nurl = 'api.deepgram.com/v1/listen'", "has no scheme: did you mean"),
        ("[capture\n", "line 1, column 9: a [section] line lacks its ]"),
        (b"\xff\xfe[\0c\0", "line 1: not UTF-8 text"),
        (b"\0" * 100, "line 1, column 1: "),
        (f"[deepgram]\napi_key = '{SECRET}'", "[deepgram] api_key is no option: the key itself never stands"),
        (f"[deepgram]\napi_key_file = '{SECRET}'", "the key can't be read from deepgram.api_key_file"),
        (f"[deepgram]\nurl = 'wss://{SECRET}@api.deepgram.com/v1/listen'", "contains a user or password"),
        ("[deepgram]\nca_file = '/absent.pem'", 'ca_file = "/absent.pem" can\'t be read: No such file'),
        ("[deepgram]\nca_file = '/etc/passwd'", 'ca_file = "/etc/passwd" holds no certificate in PEM form'),
        ("[deepgram]\nca_file = '/'", 'ca_file = "/" can\'t be read: Is a directory'),
        ("[capture]\ndevice = 'bogus_pcm'", "no ALSA device is called bogus_pcm: correct capture.device"),
        ("[capture]\nsource = 'wav'", 'source = "wav" needs path: the recording to play'),
        ("[capture]\nsource = 'wav'\npath = '/absent.wav'", "/absent.wav can't be read: No such file"),
        ("[capture]\nsource = 'wav'\npath = '/'", "/ can't be read: Is a directory"),
        ("[capture]\nsource = 'wav'\npath = '/etc/passwd'", "/etc/passwd is not a WAV file"),
        ("[capture]\nsource = 'wav'\npath = '/dev/null'", "/dev/null is empty"),
    ],
)
def test_a_wrong_file_is_one_line_and_78(config: str | bytes, line: str, check: Check) -> None:
    done = check(config)
    assert done.status == 78
    assert len(done.problems) == 1
    assert line in done.problems[0]
    assert done.out == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("absent.toml", "there is no such file"),
        (".", "is a directory, not a file"),
        ("loop", "can't be read: Too many"),
        ("broken", "line 1, column 9: a [section] line lacks its ]"),
    ],
)
def test_an_unreadable_file_is_one_line_and_78(name: str, line: str, check: Check, tmp_path: Path) -> None:
    """And nothing else: what the defaults would meet here was not asked."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").write_text("[capture\n")
    done = check(None, "deepgram.ca_file=/absent", file=tmp_path / name)
    assert done.status == 78
    assert len(done.problems) == 1
    assert line in done.problems[0]
    assert done.warnings == []


@pytest.mark.parametrize(
    "option", [None, "deepgram.api_key_file", "deepgram.ca_file", "capture.path"], ids=lambda option: option or "config"
)
def test_a_pipe_is_no_file_and_nobody_waits_for_it(option: str | None, check: Check, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    given = [f"{option}={tmp_path / 'pipe'}", "capture.source=wav"] if option else []
    usual = () if option == "capture.path" else (recording(tmp_path / "a.wav"),)
    done = check(None, *QUIET, *usual, *given, file=Path("/dev/null") if option else tmp_path / "pipe")
    assert done.status == 78
    assert len(done.problems) == 1
    assert "it is a pipe or a device, not a file" in done.problems[0]


def test_recordings_that_cannot_be_played(check: Check, tmp_path: Path) -> None:
    for source, line in [
        (recording(tmp_path / "rate.wav", rate=44_100), "16 bits at 16000 Hz are needed"),
        (recording(tmp_path / "width.wav", width=3), "has 24 bits"),
        (recording(tmp_path / "none.wav", seconds=0), "holds no audio"),
    ]:
        done = check("", "capture.source=wav", source, *QUIET)
        assert done.status == 78
        assert len(done.problems) == 1
        assert line in done.problems[0]


def test_the_command_that_converts_a_recording_can_be_pasted(check: Check, tmp_path: Path) -> None:
    source, sox = recording(tmp_path / "the room's.wav", rate=44_100), ("-b", "16", "-r", "16000", "converted.wav")
    [problem] = check("", "capture.source=wav", source, *QUIET).problems
    _, command, _, install, _ = problem.split("`")
    assert shlex.split(command) == ["sox", str(tmp_path / "the room's.wav"), *sox]
    assert install == "sudo apt install sox"


def test_a_recording_cut_short_can_be_played_with_a_warning(check: Check, tmp_path: Path) -> None:
    source = recording(tmp_path / "cut.wav", seconds=1)
    whole = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    done = check("", "capture.source=wav", source, *QUIET)
    assert done.status == 0
    [warning] = done.warnings
    assert "is cut short: its header promises 1.0 s, but it holds 0.5 s" in warning
    (tmp_path / "cut.wav").write_bytes(whole[:20])
    [problem] = check("", "capture.source=wav", source, *QUIET).problems
    assert "is cut off in its header" in problem


def test_an_absent_microphone_is_a_warning_because_it_is_waited_for(check: Check) -> None:
    done = check("[capture]\ndevice = 'plughw:CARD=Nowhere'", *QUIET)
    assert done.status == 0
    assert "plughw:CARD=Nowhere is not there" in done.warnings[0]


@pytest.mark.parametrize(
    "content", [f"{SECRET}\n{SECRET}", f" {SECRET}", "", f"{SECRET}\x07", f"DEEPGRAM_API_KEY={SECRET}"]
)
def test_a_key_that_can_be_none_is_one_line_without_it(content: str, check: Check, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    done = check("", f"deepgram.api_key_file={file}", *QUIET)
    assert done.status == 78
    [problem] = done.problems
    assert problem.startswith(f"the key from file {file} ")


def test_of_the_key_only_its_origin_is_shown(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    file.chmod(0o644)
    done = check("", f"deepgram.api_key_file={file}", *QUIET)
    assert done.status == 0
    assert done.out.startswith(f"# API key: there is one, from file {file}\n")
    assert any(f"{file} can be read by every user" in warning for warning in done.warnings)
    monkeypatch.setenv("DEEPGRAM_API_KEY", SECRET)
    assert check("", *QUIET).out.startswith("# API key: there is one, from environment variable DEEPGRAM_API_KEY\n")


def test_a_missing_key_is_a_warning_and_none_for_a_recogniser_on_this_machine(check: Check) -> None:
    """The service starts without one, captures, and says what to do."""
    done = check("", "transcripts.sinks=['console']")
    assert done.status == 0
    assert done.out.startswith("# API key: none\n")
    assert any("no API key: put it into a file" in warning for warning in done.warnings)
    assert not any("API key" in warning for warning in check("", *QUIET).warnings)


def test_places_where_no_transcripts_can_be(check: Check, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, line in [
        (tmp_path, "is a directory: it must name a file in it"),
        (tmp_path / "file" / "t.jsonl", f"can't be made: {tmp_path}/file is a file, not a directory"),
    ]:
        done = check("", *QUIET, "transcripts.sinks=['file']", f"transcripts.file.path={path}")
        assert done.status == 78
        [problem] = done.problems
        assert line in problem
    done = check("", *QUIET, "transcripts.sinks=['file']", f"transcripts.file.path={tmp_path}/a/b/t.jsonl")
    assert done.status == 0
    assert not (tmp_path / "a").exists()


def test_the_spools_directories_are_looked_at(check: Check, tmp_path: Path) -> None:
    """As warnings; a place where none can be is a problem."""
    (tmp_path / "file").touch()
    enabled, disk = "spool.enabled=true", f"spool.directory={tmp_path}/disk"
    done = check("", *QUIET, enabled, disk, "spool.runtime_directory=/proc/sys/kernel/spool")
    assert done.status == 0
    assert any("/proc/sys/kernel is not writable" in warning for warning in done.warnings)
    assert any("is on proc, not in memory" in warning for warning in done.warnings)
    done = check("", *QUIET, enabled, disk, f"spool.runtime_directory={tmp_path}/file/spool")
    assert done.status == 78
    [problem] = done.problems
    assert problem.startswith("[spool] runtime_directory = ")
    assert not (tmp_path / "disk").exists()


def test_a_place_that_this_user_cannot_write_is_a_warning(check: Check) -> None:
    """/proc takes no files, not even root's; elsewhere the service's user may be another than who checks."""
    done = check("", *QUIET, "transcripts.sinks=['file']", "transcripts.file.path=/proc/sys/kernel/t/t.jsonl")
    assert done.status == 0
    assert any("/proc/sys/kernel can't be written" in warning for warning in done.warnings)


def test_plain_text_on_the_network_is_a_warning_when_allowed(check: Check) -> None:
    url = "deepgram.url=ws://192.168.7.7/v1/listen"
    assert "to another machine without encryption" in check("", url).problems[0]
    done = check("", url, "deepgram.allow_plaintext=true")
    assert done.status == 0
    assert any("anyone on the way can read" in warning for warning in done.warnings)


def test_plain_text_that_is_refused_is_said_once(check: Check) -> None:
    done = check("", "deepgram.url=ws://192.168.7.7/v1/listen", "transcripts.sinks=['console']")
    assert [line for line in done.problems + done.warnings if "url" in line] == done.problems
    assert len(done.problems) == 1


def test_a_proxy_that_cannot_be_used_is_a_warning(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's environment may be another than that of who checks; its address may have a password."""
    monkeypatch.setenv("https_proxy", f"socks5://user:{SECRET}@proxy.example:1080")
    done = check("", "transcripts.sinks=['console']")
    assert done.status == 0
    assert any("https_proxy in the environment names a SOCKS proxy" in warning for warning in done.warnings)
    assert not any("SOCKS" in warning for warning in check("", *QUIET).warnings)


def test_the_query_of_the_url_is_not_shown(check: Check) -> None:
    """What is secret there has any name."""
    done = check("", f"deepgram.url=wss://asr.example/v1/listen?tenant={SECRET}", "transcripts.sinks=['console']")
    assert done.status == 0
    assert 'url = "wss://asr.example/v1/listen?..."' in done.out


def test_everything_wrong_comes_at_once(check: Check) -> None:
    done = check(
        "[capture]\nrate = 1\nrates = 1\n[deepgram]\nca_file = '/absent'\napi_key_file = '/absent'\n",
        "deepgram.stall_s=120",
    )
    assert done.status == 78
    assert len(done.problems) == 5


@pytest.mark.slow
def test_it_is_the_same_from_a_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", "--config", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"DEEPGRAM_API_KEY": SECRET + "\n" + SECRET},
    )
    output = Output(done.returncode, done.stdout, done.stderr)
    assert output.status == 78
    assert len(output.problems) == 1


def test_paths_that_the_locales_encoding_cant_hold_are_problems_with_a_cure(tmp_path: Path) -> None:
    """The kernel takes bytes: it is Python that can't make them of such a name. It was a fault of ours once."""
    file = tmp_path / "edged.toml"
    file.write_text("[spool]\ndirectory = '/tmp/日本'\n[capture]\ndevice = '日本'\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "edged", "check", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.returncode == 78
    assert "[spool] directory can't be expressed in this locale's encoding (ascii): set LANG=C.UTF-8" in done.stderr
    assert "no ALSA device is called \\u65e5\\u672c" in done.stderr
