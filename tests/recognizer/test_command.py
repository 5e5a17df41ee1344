"""`edged recognizer` as people start it."""

import argparse
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from edged.cli import recognizer
from edged.model.errors import UsageError
from tests.patience import PATIENCE_S
from tests.recognizer.common import FULL, ONE_SENTENCE

MAIN = """
import argparse, sys
from edged.cli import recognizer
parser = argparse.ArgumentParser()
recognizer.add(parser.add_subparsers())
args = parser.parse_args(sys.argv[1:])
sys.exit(args.run(args))
"""


def parse(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    recognizer.add(parser.add_subparsers())
    return parser.parse_args(["recognizer", *map(str, arguments)])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    ONE_SENTENCE.save(tmp_path / "talk.wav", tmp_path / "talk.json")
    return tmp_path / "talk.wav"


@pytest.mark.slow
def test_it_prints_its_url_serves_and_ends_with_0_on_sigterm(script: Path) -> None:
    key = script.with_name("key")
    key.write_text("secret-key\n")
    command = ["recognizer", "--port", "0", "--script", script, "--api-key-file", key, "--fault", "refuse:503"]
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("ws://127.0.0.1:")
        assert url.endswith("/v1/listen")
        headers = {"Authorization": "Token secret-key"}
        with pytest.raises(Exception, match="503"):
            connect(f"{url}?{FULL}", additional_headers=headers)
        with connect(f"{url}?{FULL}", additional_headers=headers) as connection:
            connection.send(ONE_SENTENCE.pcm[: 2 * 16_000])
            connection.send('{"type":"CloseStream"}')
            assert [*connection]
        process.send_signal(signal.SIGTERM)
        rest, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert rest == ""
    assert "connection 0: closed with 1000 after 1.0 s of audio" in log
    assert "secret-key" not in log
    assert "Traceback" not in log


def test_a_port_in_use_is_one_line(script: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"can't listen on 127.0.0.1 port {port}: .*in use"):
            recognizer.run(parse("--script", script, "--port", port))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "script"], "--engine script needs --script"),
        (["--engine", "pocketsphinx", "--script", "x.wav"], "--script is for --engine script"),
        (["--script", "absent.wav"], "absent.wav: No such file"),
        (["--script", "{script}", "--port", "70000"], "--port 70000"),
        (["--script", "{script}", "--max-rate", "0"], "--max-rate"),
        (["--script", "{script}", "--cert", "x.pem"], "need each other"),
        (["--script", "{script}", "--cert", "x.pem", "--key", "y.pem"], "No such file"),
        (["--script", "{script}", "--api-key-file", "absent"], "--api-key-file absent: No such file"),
        (["--script", "{script}", "--api-key-file", "{script}"], "--api-key-file .*: not a text file"),
        (["--script", "{script}", "--fault", "explode"], "--fault explode"),
    ],
)
def test_what_can_not_be_followed_is_one_line(script: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        recognizer.run(parse(*(argument.format(script=script) for argument in arguments)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "  \n", "two words"])
def test_a_key_file_holds_one_word(script: Path, text: str) -> None:
    key = script.with_name("key")
    key.write_text(text)
    with pytest.raises(UsageError, match="must hold a key"):
        recognizer.run(parse("--script", script, "--api-key-file", key))


def test_help_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    from edged.testkit.faults import FaultKind

    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    assert all(f"\n  {verb}" in text for verb in FaultKind)
