"""`edged spool`, on real databases, with and without a daemon that has them open."""

import argparse
import json
import os
import pty
import re
import stat
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from edged.cli import spool as command
from edged.model.errors import ConfigurationError, EdgedError, UsageError
from edged.model.ranges import Ranges
from edged.service.clock import boot_id, boottime_s, wall_offset_s
from edged.spool.capture_time import Boot
from edged.spool.commands import BeginRun, PutBoot, ReleaseAudio
from tests.spool.some import Bench, answer, audio, commit, pcm, run_of, segment


def edged(base: Path, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    places = [f"--set=spool.directory={base}/disk", f"--set=spool.runtime_directory={base}/runtime"]
    args = parser.parse_args(["spool", *arguments, *places])
    status: int = args.run(args)
    return status


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two runs: one from an hour ago, on disk, one of now, in memory; all that a daemon has open."""
    bench = Bench(tmp_path)
    this_boot = boot_id() or ""
    now_s = boottime_s()
    bench.do(PutBoot(Boot(this_boot, wall_offset_s(), True)), BeginRun(run_of("old", this_boot, now_s - 3600)))
    bench.do(segment(0, run="old"), audio(0, 32_000, run="old"), segment(0, 32_000, run="old"))
    bench.do(segment(40_000, run="old"), audio(40_000, 48_000, run="old"), commit(answer(1, 40_000, 41_600, "old")))
    bench.move()
    bench.do(BeginRun(run_of("new", this_boot, now_s)), segment(0, run="new"), audio(0, 16_000, run="new"))
    return bench


def test_status_tells_runs_seconds_bytes_and_the_oldest(
    tmp_path: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disk/spool.db.bad-20261120T091502Z").write_bytes(bytes(10))
    assert edged(tmp_path, "status") == 0
    out = capsys.readouterr().out
    assert re.search(r"^in memory +0\.03 MB of speech in \d+\.\d\d MB of space: .*/runtime/spool.db$", out, re.M)
    assert re.search(r"^on disk +0\.08 MB of speech", out, re.M)
    assert re.search(r"^outbox +1 records, 1 of them not yet delivered", out, re.M)
    assert re.search(r"^damaged .*spool.db.bad-20261120T091502Z$", out, re.M)
    assert re.search(r"^old +\d{4}-\d\d-\d\dT[\d:.]+Z +2\.4 s +0\.08 +2   1 h 0 min$", out, re.M)
    assert re.search(r"^new .* 1\.0 s +0\.03 +1   \d+\.\d s$", out, re.M)
    assert "3.4 s of speech wait in total" in out
    bench.close()
    assert edged(tmp_path, "status") == 0, "without a daemon too"


def test_status_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edged(tmp_path, "status") == 0
    assert "nothing waits" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "nothing is made by looking"


def test_export_writes_files_named_by_time_and_an_index(
    tmp_path: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert edged(tmp_path, "export", str(target)) == 0
    assert "3.4 s of speech in 3 files" in capsys.readouterr().out
    index = json.loads((target / "index.json").read_text())
    assert [(each["run"], each["from"], each["to"], each["seconds"]) for each in index] == [
        ("old", 0, 32_000, 2.0),
        ("old", 41_600, 48_000, 0.4),
        ("new", 0, 16_000, 1.0),
    ]
    assert {each["clock"] for each in index} == {"synchronized"}
    for each in index:
        path = target / each["file"]
        assert each["file"] == f"{each['start'].replace(':', '-')}_{each['run']}_{each['from']}.wav"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            assert file.readframes(1 << 30) == pcm(each["from"], each["to"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    with pytest.raises(UsageError, match="not empty"):
        edged(tmp_path, "export", str(target))
    bench.do(commit(answer(2, 0, 48_000, "old")), ReleaseAudio("new", 0, 16_000))
    bench.run_maintenance(10)
    assert bench.tiers.runtime.database.log_bytes() == 0, "no reader pins the log"
    bench.close()


def test_audio_of_a_clock_that_was_never_set_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, this_boot=Boot("gone", 5.0, False))
    bench.do(PutBoot(Boot("gone", 5.0, False)), BeginRun(run_of("a", "gone")), BeginRun(run_of("b", "never told")))
    for name in "ab":
        bench.do(segment(0, run=name), audio(0, 160, run=name))
    bench.close()
    assert edged(tmp_path, "export", str(tmp_path / "out")) == 0
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert [(each["start"], each["clock"]) for each in index] == [
        ("1970-01-01T00:00:05.000Z", "unsynchronized"),
        (None, "unknown"),
    ]
    assert index[1]["file"] == "undated_b_0.wav"


def test_drop_forgets_what_is_older_and_leaves_the_rest(
    tmp_path: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edged(tmp_path, "drop", "--older-than", "2h", "--yes") == 0
    assert "nothing has waited that long" in capsys.readouterr().out
    assert edged(tmp_path, "drop", "--older-than", "30m", "--yes") == 0
    assert "2.4 s of speech dropped" in capsys.readouterr().out
    assert bench.waiting("old") == Ranges()
    assert bench.waiting("new") == Ranges([(0, 16_000)])
    bench.run_maintenance(100)
    assert bench.tiers.disk is not None
    assert bench.tiers.disk.audio.samples_by_run == {"new": 16_000}, "the daemon has noticed"
    bench.close()


def test_drop_asks_and_needs_somebody_to_ask(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(UsageError, match=r"2\.4 s of speech of 1 run will never be transcribed\. Pass --yes"):
            edged(tmp_path, "drop", "--older-than", "30m")
    assert bench.waiting("old").total == 38_400
    bench.close()


@pytest.mark.slow
@pytest.mark.parametrize(("said", "left"), [("n\n", 38_400), ("\n", 38_400), ("yes\n", 0)])
def test_on_a_terminal_it_asks_and_shows_how_far_it_is(tmp_path: Path, bench: Bench, said: str, left: int) -> None:
    code = "import sys, pathlib, tests.cli.test_spool as t; sys.exit(t.edged(pathlib.Path(sys.argv[1]), *sys.argv[2:]))"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "drop", "--older-than", "30m"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, said.encode())
    out = b""
    while True:
        try:
            out += os.read(ours, 4096)
        except OSError:  # it has ended
            break
    os.close(ours)
    status = process.wait()
    assert b"Drop it? [y/N]" in out
    assert (status, b"] 100%" in out) == ((0, True) if left == 0 else (64, False))
    assert bench.waiting("old").total == left
    bench.close()


@pytest.mark.parametrize("age", ["2", "d", "-1d", "2 d", "two"])
def test_an_age_that_makes_no_sense_is_refused(tmp_path: Path, age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        edged(tmp_path, "drop", f"--older-than={age}")
    assert "such as 2d" in capsys.readouterr().err


def test_what_can_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/spool.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(EdgedError, match="the spool can't be read: file is not a database"):
        edged(tmp_path, "status")


def test_another_version_s_spool_is_not_read(tmp_path: Path, bench: Bench) -> None:
    bench.tiers.runtime.database.execute("PRAGMA user_version = 7")
    with pytest.raises(ConfigurationError, match="its schema is 7"):
        edged(tmp_path, "status")
    bench.close()
