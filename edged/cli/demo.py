"""`edged demo`: try edged without a microphone, key or network."""

import argparse
import asyncio
import importlib.util
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
import textwrap
from contextlib import ExitStack
from pathlib import Path

import edged
from edged.config.api_key import read_key
from edged.config.settings import DeepgramSettings, GateSettings, Settings
from edged.config.validation import find_contradictions
from edged.demo import recording, report
from edged.demo.recording import DemoRecording
from edged.demo.runner import DemoResult, Plan, play
from edged.demo.word_errors import Span, by_sentence
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError, ExitStatus, UsageError
from edged.model.urls import without_secrets
from edged.recognizer.pocketsphinx import MISSING
from edged.service.log import ERASE_LINE
from edged.testkit.virtual_microphone import VirtualMicrophone
from edged.transcripts.sinks.console import DIM, NORMAL

PLUGIN = Path(edged.__file__).parents[1] / ".cache" / "libasound_module_pcm_edged.so"
"""Path at which script/setup puts the virtual microphone: it is made for the demo and tests, and not installed."""
CUT_IN = 2
"""Index of the sentence in whose middle the connection breaks; those before and after stay undisturbed."""
LISTEN_S = 60.0
"""Default duration with a real microphone."""
KEYS = ("DEEPGRAM_API_KEY", "CREDENTIALS_DIRECTORY")
"""Environment variables with a key, which a recogniser on this machine must not get."""

DESCRIPTION = """\
Show edged at work on this machine alone, in 70 s, without sound card, key or
network. A virtual ALSA microphone plays five recorded sentences with silence
between them. `edged run` captures them, sends the speech to a local
`edged recognizer` with PocketSphinx, loses the connection once in mid-sentence,
and writes the transcript. The end compares each sentence with its transcript,
and with what the same recogniser makes of the recording without edged.

With --device it listens to a real microphone. With --url or --api-key-file it
sends the audio to another recogniser, and breaks no connection.
"""
EPILOG = """\
examples:
  edged demo --device plughw:CARD=Device
      your own voice, still all local (`edged devices` lists microphones)
  edged demo --device plughw:CARD=Device --api-key-file deepgram-api-key
      your own voice and Deepgram, which charges for the audio

exit status:
  0    every sentence has a transcript (with --device: all speech was
       transcribed)
  64   the command line is wrong
  75   a transcript is missing, or nothing was captured
  78   something is missing (the message says what)
  130  interrupted
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "demo",
        help="try edged without a microphone, key or network",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--device", metavar="NAME", help="listen to this microphone, such as plughw:CARD=Device or auto"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help=f"with --device: duration in seconds (default: {LISTEN_S:g})"
    )
    parser.add_argument("--url", help="use this recogniser instead of a local one (default with a key: Deepgram)")
    parser.add_argument("--api-key-file", metavar="FILE", type=Path, help="file with the API key for it")
    parser.add_argument(
        "--keep",
        metavar="DIR",
        type=Path,
        help="keep the recording, configuration, transcripts, logs and summary there",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return its exit status."""
    if arguments.seconds is not None and not (arguments.device and arguments.seconds > 0):
        raise UsageError("--seconds needs --device and a number above 0")
    local = arguments.url is None and arguments.api_key_file is None
    known = arguments.device is None
    problems = [*_missing(local=local, known=known), *_remote_problems(arguments.url, arguments.api_key_file)]
    if problems:
        raise ConfigurationError(*problems)
    with ExitStack() as stack:
        directory = _directory(arguments.keep) or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="edged-"))
        )
        plan, heard = _plan(arguments, directory, local=local)
        _introduce(heard, arguments.device, plan.listen_s, arguments.url, local=local)
        try:
            played = asyncio.run(play(plan, _print_event))
        except asyncio.CancelledError:  # a second Ctrl-C
            return ExitStatus.INTERRUPTED
        status = _report(played, heard, arguments.device)
    if arguments.keep:
        _print(f"All files are in {directory}.")
    if status == ExitStatus.OK:
        _suggest_next(known=known, local=local)
    return status


def _missing(*, local: bool, known: bool) -> list[str]:
    problems = []
    if known and not PLUGIN.exists():
        problems.append(
            "the virtual microphone is not compiled: run script/setup in a checkout of edged"
            " (it needs gcc and libasound2-dev), or name a real one with --device"
        )
    if known and not (recording.RECORDINGS / "transcription").exists():
        problems.append("the recorded sentences are not installed: sudo apt install pocketsphinx-testdata")
    if local and importlib.util.find_spec("pocketsphinx") is None:
        problems.append(MISSING)
    return problems


def _remote_problems(url: str | None, key_file: Path | None) -> list[str]:
    """Return what is wrong with the recogniser that the options name."""
    settings = Settings(
        deepgram=DeepgramSettings(url=url or DeepgramSettings().url, api_key_file=str(key_file) if key_file else None)
    )
    problems = [finding.text for finding in find_contradictions(settings)]
    try:
        read_key(settings, {})
    except ConfigurationError as error:
        problems += error.problems
    return problems


def _directory(keep: Path | None) -> Path | None:
    if keep is None:
        return None
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise UsageError(f"--keep {keep}: is not empty")
    except OSError as error:
        raise UsageError(f"--keep {keep}: {with_cure(error)}") from None
    return keep.resolve()


def _plan(arguments: argparse.Namespace, directory: Path, *, local: bool) -> tuple[Plan, DemoRecording | None]:
    """Return what to play, and the recording if its words are known."""
    environment = {name: value for name, value in os.environ.items() if not (local and name in KEYS)}
    if local:
        environment["no_proxy"] = "*"  # which stands between this machine and others, not between it and itself
    deepgram: dict[str, object] = {}
    if arguments.url:
        deepgram["url"] = arguments.url
    if arguments.api_key_file:
        deepgram["api_key_file"] = str(arguments.api_key_file.absolute())
    if arguments.device:
        settings = {"capture": {"device": arguments.device}, "deepgram": deepgram}
        return Plan(directory, settings, environment, arguments.seconds or LISTEN_S, local=local), None
    heard = recording.read()
    heard.write(directory / "room.wav")
    (directory / "room.raw").write_bytes(heard.pcm)
    microphone = VirtualMicrophone(directory, PLUGIN, directory / "room.raw")
    cut_s = recording.sent_s(heard, heard.sentences[CUT_IN].middle, GateSettings(), DeepgramSettings())
    plan = Plan(
        directory,
        {"capture": {"device": microphone.name, "rate": recording.RATE}, "deepgram": deepgram},
        {**environment, **microphone.environment},
        heard.length_s,
        fault=f"reset@{cut_s:.1f}" if local else None,
        local=local,
        compare=directory / "room.wav" if local else None,
    )
    return plan, heard


def _introduce(
    heard: DemoRecording | None, device: str | None, listen_s: float, url: str | None, *, local: bool
) -> None:
    if heard:
        _print_paragraph(
            f"{len(heard.sentences)} sentences from Jane Austen, read by a LibriVox volunteer (public domain). A "
            f"virtual ALSA microphone plays them with a quiet room's silence between them: {listen_s:.0f} s."
        )
    else:
        _print_paragraph(f"Listening to {device} for {listen_s:.0f} s: please speak. Ctrl-C stops earlier.")
    if local:
        _print_paragraph(
            "Local: everything. The recogniser is PocketSphinx, a small one that predates neural networks and gets "
            "many words wrong."
        )
    else:
        _print_paragraph(f"Not local: the audio is sent to {without_secrets(url or DeepgramSettings().url)}.")
    _print_paragraph("Real: `edged run` with its ALSA capture, its gate, its WebSocket connection and its transcripts.")
    _print("")


def _report(played: DemoResult, heard: DemoRecording | None, device: str | None) -> int:
    """Print the result and return the exit status."""
    status = (
        ExitStatus.INTERRUPTED if played.interrupted else played.status if played.status >= 0 else ExitStatus.OUR_FAULT
    )
    if played.summary is None:
        return status or (
            ExitStatus.SPEECH_LEFT if device else ExitStatus.OUR_FAULT
        )  # stopped before there was a microphone
    _print("")
    for line in report.account(played.summary):
        _print(line)
    if not played.summary.captured_s:
        _print("")
        _print_paragraph(
            f"Nothing was captured: {device} delivered no audio. `{command(Path.cwd())} devices` lists microphones."
        )
        return status or ExitStatus.SPEECH_LEFT
    if heard is None:
        return status
    _print("")
    ranges = [(sentence.start, sentence.end) for sentence in heard.sentences]
    through = by_sentence(ranges, [Span(r.from_, r.to, tuple(word.word for word in r.words)) for r in played.records])
    whole: list[tuple[str, ...]] | list[None] = [None] * len(ranges)
    if played.whole is not None:
        spans = [
            Span(round(w.start_s * recording.RATE), round(w.end_s * recording.RATE), (w.text,)) for w in played.whole
        ]
        whole = by_sentence(ranges, spans)
    lines = [report.ReportLine(s.text, a, b) for s, a, b in zip(heard.sentences, through, whole, strict=True)]
    _print_paragraph(
        "What was said, its transcript through edged, and what the same recogniser makes of it without edged:"
        if played.whole is not None
        else "What was said, and its transcript through edged:"
    )
    for line in report.comparison(lines, _columns()):
        _print(line)
    _print("")
    mute = [str(number) for number, words in enumerate(through, 1) if not words]
    if mute:
        _print(f"No transcript of sentence {', '.join(mute)}.")
        return status or ExitStatus.SPEECH_LEFT
    return status


def _suggest_next(*, known: bool, local: bool) -> None:
    edged = command(Path.cwd())
    _print("Next:")
    if known:
        _print(f"  {edged} demo --device auto")
        _print(f"      your own microphone (`{edged} devices` lists them)")
    if local:
        _print(f"  {edged} demo --device auto --api-key-file FILE")
        _print("      the same with Deepgram, which charges for the audio")
    _print(f"  {edged} check --sample")
    _print(f"      all settings of `{edged} run`, the daemon itself")


def command(directory: Path) -> str:
    """Return the command that starts this edged from `directory` (absolute): `edged`, or a path."""
    program = Path(sysconfig.get_path("scripts"), "edged")
    found = shutil.which("edged")
    if found and program.exists() and Path(found).samefile(program):
        return "edged"
    if not os.access(program, os.X_OK):  # run from source, or installed in another way
        return f"{shlex.quote(sys.executable)} -m edged"
    return shlex.quote(str(program.relative_to(directory) if program.is_relative_to(directory) else program))


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, report.WIDEST)


def _print_paragraph(text: str) -> None:
    _print(textwrap.fill(text, _columns(), break_on_hyphens=False))


def _print(text: str) -> None:
    print(text, flush=True)


def _print_event(text: str) -> None:
    """Print an event over the interim transcript on a terminal, which reappears with its next update."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        _print(text)
    elif os.environ.get("NO_COLOR"):
        _print(ERASE_LINE + text)
    else:
        _print(f"{ERASE_LINE}{DIM}{text}{NORMAL}")
