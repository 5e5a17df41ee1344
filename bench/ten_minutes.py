"""Ten minutes with speech every 30 s, in real time: does `edged run` hold one connection and send speech only?

A recording of words that are made up for it is the source, the local recogniser with its script engine the server: a
word is recognised only if all of its audio arrived in one piece. Nothing is needed but this machine.

    .venv/bin/python bench/ten_minutes.py
    .venv/bin/python bench/ten_minutes.py --minutes 2 --unkind

The exit status is 0 if one connection was held, no word lost or doubled, no more sent than speech with its pre-roll,
hangover and priming, and never more than 5 s of silence on the wire.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

from edged.config.settings import DeepgramSettings, GateSettings
from edged.recognizer.perturbations import Perturbations
from edged.testkit.compose import compose, sentences
from edged.testkit.connection_log import ConnectionLog
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import Script, ScriptEngineFactory

WORDS = 8
"""In a sentence: some 4 s of speech every 30 s, as where people talk to a device now and then."""
GAP_S = 5.0
"""Deepgram advises to send something every 3-5 s."""
ROUNDING_S = 0.1
"""A segment begins and ends with a frame of the voice detector, and audio leaves in messages of up to 100 ms."""

Row = tuple[str, str, bool | None]
"""One check: its subject, the measured value, and whether it is as promised."""


def main() -> int:
    """Returns the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="length of the recording (default: %(default)s)")
    parser.add_argument("--every", type=float, default=30, help="seconds between sentences (default: %(default)s)")
    parser.add_argument(
        "--unkind", action="store_true", help="the recogniser has all its unkindnesses (finals in mid-word, ...)"
    )
    arguments = parser.parse_args()
    if arguments.every < 10 or arguments.minutes * 60 < arguments.every:
        parser.error("--every is at least 10, and less than --minutes")
    count = int(arguments.minutes * 60 / arguments.every)
    script = compose(sentences(count, WORDS), lead_s=5, every_s=arguments.every, tail_s=arguments.every - 10)
    print(
        f"playing {len(script.pcm) / 2 / script.rate / 60:.1f} minutes, {count} sentences, in real time ...", flush=True
    )
    rows = asyncio.run(measure(script, Perturbations.all() if arguments.unkind else Perturbations()))
    for what, much, good in rows:
        print(f"  {what:<42} {much:>12}  {'' if good is None else 'ok' if good else 'NOT AS PROMISED'}".rstrip())
    return 0 if all(good is not False for _, _, good in rows) else 1


async def measure(script: Script, perturbations: Perturbations) -> list[Row]:
    """Play the recording to `edged run`, and look at what both sides saw."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        script.save(directory / "speech.wav", directory / "speech.json")
        (directory / "edged.toml").write_text("")
        async with InstrumentedServer(ScriptEngineFactory(script), perturbations=perturbations) as server:
            settings = {
                "capture.source": "wav",
                "capture.path": str(directory / "speech.wav"),
                "deepgram.url": server.url,
                "transcripts.sinks": ["file"],
                "spool.directory": str(directory / "spool"),
                "spool.runtime_directory": str(directory / "runtime"),
                "transcripts.file.path": str(directory / "transcripts.jsonl"),
            }
            command = [sys.executable, "-m", "edged", "run", "--config", str(directory / "edged.toml")]
            command += ["--summary", str(directory / "summary.json")]
            for name, value in settings.items():
                command += ["--set", f"{name}={json.dumps(value)}"]
            process = await asyncio.create_subprocess_exec(*command)
            most_kb = 0
            while process.returncode is None:
                most_kb = max(most_kb, peak_memory_kb(process.pid))
                await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=1)
            status = process.returncode
            lines = (directory / "transcripts.jsonl").read_text().splitlines()
            summary = json.loads((directory / "summary.json").read_text())
            return [
                ("exit status", str(status), status == 0),
                *on_the_wire(script, server.connection_logs, summary),
                ("memory at most", f"{most_kb / 1024:.0f} MB", None),
                *in_the_file(script, [json.loads(line) for line in lines]),
            ]


def peak_memory_kb(pid: int) -> int:
    """VmHWM of a process; 0 if it has just ended. (getrusage would count this process's own memory, from the fork.)"""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def on_the_wire(script: Script, accounts: list[ConnectionLog], summary: dict[str, float]) -> list[Row]:
    """Return the checks of what the server received."""
    rate = script.rate
    breaks = [i for i, (a, b) in enumerate(pairwise(script.words), 1) if b.start - a.end > rate]
    edges = [0, *breaks, len(script.words)]
    spoken = sum(script.words[b - 1].end - script.words[a].start for a, b in pairwise(edges)) / rate
    gate, deepgram = GateSettings(), DeepgramSettings()
    around = (len(edges) - 1) * ((gate.pre_roll_ms + gate.hangover_ms) / 1000 + ROUNDING_S)
    allowed = spoken + around + len(accounts) * (deepgram.prime_s + ROUNDING_S)
    sent = sum(account.samples for account in accounts) / rate
    gap = max(account.longest_gap_s for account in accounts)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return [
        ("captured", f"{summary['captured_s']:.1f} s", None),
        ("speech in it", f"{spoken:.1f} s", None),
        ("speech, pre-roll, hangover and priming", f"{allowed:.1f} s", None),
        ("sent", f"{sent:.1f} s", sent <= allowed),
        ("not sent", f"{summary['saved']:.1%}", None),
        ("connections", str(len(accounts)), len(accounts) == 1),
        ("KeepAlives", str(sum(account.message_counts.get("KeepAlive", 0) for account in accounts)), None),
        (
            "empty binary messages",
            str(sum(a.message_counts.get("empty", 0) for a in accounts)),
            all("empty" not in a.message_counts for a in accounts),
        ),
        ("longest time without a message", f"{gap:.2f} s", gap <= GAP_S),
        ("processor time", f"{usage.ru_utime + usage.ru_stime:.1f} s", None),
    ]


def in_the_file(script: Script, records: list[dict[str, object]]) -> list[Row]:
    """Return the checks of the records written."""
    got = Counter(word["word"] for record in records for word in record["words"])  # type: ignore[attr-defined]
    said = Counter(script.texts)
    lost, doubled = (said - got).total(), (got - said).total()
    delays = sorted(float(str(record["delayed_s"])) for record in records)
    return [
        ("records", str(len(records)), None),
        ("words said", str(said.total()), None),
        ("words lost", str(lost), lost == 0),
        ("words doubled", str(doubled), doubled == 0),
        ("from the end of speech to the record", f"{delays[len(delays) // 2]:.2f} s" if delays else "-", None),
        ("the same, at worst", f"{delays[-1]:.2f} s" if delays else "-", None),
    ]


if __name__ == "__main__":
    sys.exit(main())
