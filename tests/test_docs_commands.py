"""README and docs: the commands of the pages run and give the output that the pages promise."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edged.config.settings import Settings
from edged.model.record import decode
from edged.testkit.faults import parse_fault as parse_fault
from edged.transcripts.journal_entry import MESSAGE_ID
from tests.journald import Journald
from tests.test_docs import ROOT, blocks, shell_lines


def sample_file(tmp_path: Path) -> Path:
    """Two transcripts, the later one first."""
    (line,) = blocks("json")
    later = decode(line)
    words = tuple(msgspec.structs.replace(word, word="stop", text="Stop.") for word in later.words[:1])
    earlier = msgspec.structs.replace(later, id="earlier", start="2026-11-20T09:00:00.000Z", text="Stop.", words=words)
    file = tmp_path / "transcripts.jsonl"
    file.write_bytes(line.encode() + msgspec.json.encode(earlier) + b"\n")
    return file


def jq_lines() -> list[str]:
    return [line for line in shell_lines() if re.search(r"\bjq -", line)]


def output_of(line: str, *, within_s: float = 20) -> str:
    """Return the shell's output for a line of a page."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-ec", line], capture_output=True, text=True, timeout=within_s, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_commands_that_read_the_file(tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not installed")
    path, file = Settings().transcripts.file.path, sample_file(tmp_path)
    assert sum(path in line for line in jq_lines()) == 4
    follow, sort, hours, count = (line.replace(path, str(file)) for line in jq_lines() if path in line)
    assert output_of(follow.replace("-F", "")).splitlines() == [
        "2026-11-20T17:14:40.843Z  Lights off.",
        "2026-11-20T09:00:00.000Z  Stop.",
    ]
    assert [decode(line).text for line in output_of(sort).splitlines()] == ["Stop.", "Lights off."]
    assert output_of(hours).splitlines() == ["Lights off.", "Stop."]
    assert output_of(count) == "3\n"


def test_the_commands_that_read_the_journal(tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not installed")
    from edged.transcripts.sinks.journal import JournalSink

    records = [decode(line) for line in sample_file(tmp_path).read_bytes().splitlines()]
    journald = Journald()
    try:
        JournalSink(journald.socket).deliver(records)
        journald.wait_for(2, f"MESSAGE_ID={MESSAGE_ID}")
        lines = [line for line in shell_lines("docs/transcripts.md") if line.startswith("journalctl")]
        assert len(lines) == 5
        follow, text, words, _, alone = (
            f'journalctl() {{ command journalctl -q -D {journald.directory} "$@"; }}; {line}' for line in lines
        )
        assert "Lights off." in output_of(follow.removesuffix("-f"))
        assert output_of(text).splitlines() == [f"{record.start}  {record.text}" for record in records]
        first, second = output_of(words).splitlines()
        assert [word["text"] for word in msgspec.json.decode(first)] == ["Stop."]
        assert len(msgspec.json.decode(second)) == 2
        assert "Lights off." in output_of(alone)
    finally:
        journald.end()


@pytest.mark.slow
def test_the_example_without_microphone_and_key(tmp_path: Path) -> None:
    """The test follows the page, with a free port in place of the usual one."""
    if not any(Path("/usr/share/pocketsphinx/test/data/librivox").glob("*.wav")):
        pytest.skip("pocketsphinx-testdata is not installed")
    pytest.importorskip("pocketsphinx", reason="PocketSphinx is not installed")
    edged = tmp_path / "edged"
    edged.write_text(f'#!/bin/sh\nexec {sys.executable} -m edged "$@"\n')
    edged.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    server, client = "edged recognizer", next(line for line in shell_lines() if "--config /dev/null" in line)
    assert server in shell_lines()
    with subprocess.Popen(
        [*server.split(), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as serving:
        try:
            assert serving.stdout
            url = serving.stdout.readline().strip()
            usual = "ws://127.0.0.1:8700/v1/listen"
            assert usual in client
            done = subprocess.run(
                client.replace(usual, url),
                shell=True,
                capture_output=True,
                text=True,
                env=environment,
                timeout=180,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert "young man" in done.stdout
        finally:
            serving.terminate()
