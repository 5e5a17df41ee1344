"""`edged gate`: show what the gate would do with recordings, or calibrate it to this room."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from edged.cli import recordings
from edged.cli.common import add_configuration
from edged.cli.messages import say
from edged.cli.recordings import Recording
from edged.config import loader
from edged.config.settings import PRESETS, GateSettings
from edged.gate.detectors import effective_second_opinion, pip_refuses, second_detector, webrtc, why_unavailable
from edged.gate.preview import GatePreview, preview
from edged.model.cures import with_cure
from edged.model.errors import ExitStatus, UsageError

DESCRIPTION = """\
Show how much of each recording the gate would send, and in how many segments.

  edged gate FILE...               a table
  edged gate FILE --plot OUT.png   a picture of levels, voice and sent audio
  edged gate FILE... --compare     several settings side by side
  edged gate --calibrate 60        listen for a minute and recommend a preset

WAV files are read directly; FLAC, Ogg and MP3 need flac, ffmpeg or sox.
Nothing is sent anywhere.
"""
EPILOG = """\
exit status: 0 done; 64 the command line is wrong, or a file can't be read;
  78 the settings are wrong.

examples:
  edged gate *.wav --json
  edged gate kitchen.wav --set gate.preset=noisy --plot kitchen.png
  edged gate *.flac --compare normal noisy hangover_ms=800,opens_at=0.5
  edged gate --calibrate 60 --write --config /etc/edged/edged.toml
"""

BAR: Final = 30
"""Columns of the progress bar."""
LONG_S: Final = 120
"""Shortest recording that gets a progress bar: a Pi needs seconds for it."""

MIN_RECORDING_S: Final = 0.03
"""Shortest recording, which is the longest frame that the settings allow."""

COMPARED = (*PRESETS, "second_opinion=none", "second_opinion=micro")
"""Settings that `--compare` compares by default."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "gate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="recording to examine")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object per file, one per line")
    output.add_argument("--plot", metavar="OUT.png", type=Path, help="draw a picture of one FILE (needs Pillow)")
    output.add_argument(
        "--compare",
        metavar="SETTINGS",
        nargs="*",
        help="presets, or [gate] options as KEY=VALUE[,KEY=VALUE]; after the files (default: every preset)",
    )
    output.add_argument("--calibrate", metavar="SECONDS", type=_seconds, help="listen to the room while nobody speaks")
    parser.add_argument(
        "--write", action="store_true", help="with --calibrate: write the recommendation to the settings"
    )
    add_configuration(parser)
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 5 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, from 5 to 3600")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen variant. Raises UsageError and ConfigurationError."""
    if arguments.calibrate is not None:
        if arguments.files:
            raise UsageError("--calibrate listens to the microphone and takes no FILE")
        from edged.cli.gate_calibration import calibrate

        progress = _progress("listening")
        return calibrate(arguments.config, arguments.set, arguments.calibrate, progress, write=arguments.write)
    if not arguments.files:
        if any(Path(each).is_file() for each in arguments.compare or ()):
            raise UsageError("name the recording before --compare, which takes the names of settings")
        raise UsageError("name a recording, or listen to the room with --calibrate 60")
    if arguments.write:
        raise UsageError("--write goes with --calibrate")
    if arguments.compare is not None:
        return _compare(arguments)
    settings = loader.load(arguments.config, arguments.set).settings
    if arguments.plot:
        return _plot(arguments.files, arguments.plot, settings.gate, settings.capture.channel)
    widest = max(len(file.name) for file in arguments.files)
    totals = list[float]()
    for file, recording in (readable := _ReadableFiles(arguments.files, settings.capture.channel)):
        heard = _preview(file, recording, settings.gate)
        if arguments.json:
            print(json.dumps(as_json(file, heard)), flush=True)
            continue
        row = figures(heard)
        if not totals:
            print(f"second opinion: {effective_second_opinion(settings.gate)}\n")
            print(f"{'recording':<{widest}} {'seconds':>8} {'voice':>8} {'speech':>8} {'sent':>8}        {'pieces':>7}")
        totals = [a + b for a, b in zip(totals or [0.0] * 4, row, strict=True)]
        print(_row(file.name, widest, row, len(heard.segments)), flush=True)
    if not arguments.json:
        if len(arguments.files) > 1:
            print(_row("all", widest, totals))
        print(
            "\nvoice: webrtcvad detects a voice; speech: from the first voice to the last one that keeps the gate open"
        )
    return readable.status


class _ReadableFiles:
    """Iterator over the recordings that can be read; the others are reported and skipped.

    A single file that can't be read raises UsageError.
    """

    def __init__(self, files: Sequence[Path], channel: int) -> None:
        self._files = files
        self._channel = channel
        self.status = ExitStatus.OK
        """Exit status of the command."""

    def __iter__(self) -> Iterator[tuple[Path, Recording]]:
        for file in self._files:
            try:
                recording = _read(file, self._channel)
            except UsageError as error:
                if len(self._files) == 1:
                    raise
                say(str(error))
                self.status = ExitStatus.USAGE
                continue
            yield file, recording


def _read(file: Path, channel: int) -> Recording:
    """Read a recording. Raises UsageError if that is impossible, or if it is too short to be judged."""
    recording = recordings.read(file, channel)
    if recording.duration_s < MIN_RECORDING_S:
        raise UsageError(
            f"{file} is too short: it holds {1000 * recording.duration_s:.0f} ms, and the gate judges frames of up to"
            f" {1000 * MIN_RECORDING_S:.0f} ms"
        )
    return recording


def _preview(file: Path, recording: Recording, gate: GateSettings) -> GatePreview:
    rate = recording.rate
    progress = _progress(file.name) if recording.duration_s >= LONG_S else lambda done, total: None
    detector, second = webrtc(gate.aggressiveness, rate), second_detector(gate, rate)
    return preview(recording.pcm, rate, gate, detector, second, progress)


def as_json(file: Path, heard: GatePreview) -> dict[str, object]:
    """Return the figures of one file for `--json`, in seconds with millisecond precision."""
    return {
        "file": str(file),
        "duration_s": round(heard.samples / heard.rate, 3),
        "sent": [[round(start / heard.rate, 3), round(end / heard.rate, 3)] for start, end in heard.sent],
        "segments": len(heard.segments),
    }


def figures(heard: GatePreview) -> list[float]:
    """Return seconds in total, of voice, of speech, and sent."""
    samples = (
        heard.samples,
        heard.frame * sum(frame.voiced for frame in heard.frames),
        sum(segment.tail - segment.onset for segment in heard.segments),
        sum(end - start for start, end in heard.sent),
    )
    return [each / heard.rate for each in samples]


def _row(name: str, widest: int, row: Sequence[float], pieces: int | None = None) -> str:
    share = row[3] / row[0] if row[0] else 0.0
    columns = " ".join(f"{each:8.1f}" for each in row)
    return f"{name:<{widest}} {columns} {share:6.1%} {pieces if pieces is not None else '':>7}".rstrip()


def _plot(files: list[Path], out: Path, gate: GateSettings, channel: int) -> int:
    if len(files) != 1:
        raise UsageError("--plot takes one recording")
    try:
        from edged.cli.gate_picture import Picture
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        how = "sudo apt install python3-pil" if pip_refuses() else f"{sys.executable} -m pip install pillow"
        raise UsageError(f"--plot needs Pillow: run `{how}`") from None
    recording = _read(files[0], channel)
    heard = _preview(files[0], recording, gate)
    try:
        Picture(files[0].name, recording.pcm, heard, gate, effective_second_opinion(gate)).save(out)
    except ValueError:  # Pillow's, for a name that ends in nothing it knows
        raise UsageError(f"{out}: name a file that ends in .png") from None
    except OSError as error:
        raise UsageError(f"{out} can't be written: {with_cure(error)}") from None
    print(out)
    return ExitStatus.OK


def _compare(arguments: argparse.Namespace) -> int:
    """Raises ConfigurationError for settings that can't be; those of detectors that are not installed are left out."""
    wanted = arguments.compare or [
        name for name in COMPARED if name != "second_opinion=micro" or not why_unavailable("micro")
    ]
    chosen_gates = [(name, _gate_settings(arguments, name)) for name in wanted]
    channel = loader.load(arguments.config, arguments.set).settings.capture.channel
    files = list(readable := _ReadableFiles(arguments.files, channel))
    widest = max(len("settings"), *(len(name) for name in wanted))
    print(f"{'settings':<{widest}} {'seconds':>8} {'voice':>8} {'speech':>8} {'sent':>8}        {'pieces':>7}")
    for name, gate in chosen_gates:
        totals, pieces = [0.0] * 4, 0
        for file, recording in files:
            heard = _preview(file, recording, gate)
            totals = [a + b for a, b in zip(totals, figures(heard), strict=True)]
            pieces += len(heard.segments)
        print(_row(name, widest, totals, pieces), flush=True)
    return readable.status


def _gate_settings(arguments: argparse.Namespace, name: str) -> GateSettings:
    if name in PRESETS:
        more = [f"gate.preset={name}"]
    elif "=" in name:
        more = [f"gate.{each.strip()}" for each in name.split(",")]
    else:
        raise UsageError(f"--compare {name}: neither a preset ({', '.join(PRESETS)}) nor KEY=VALUE")
    return loader.load(arguments.config, [*arguments.set, *more]).settings.gate


def _progress(name: str) -> Callable[[float, float], None]:
    """Return a progress bar for a terminal, which disappears at the end; elsewhere a function that does nothing."""
    if not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: float, total: float) -> None:
        share = done / total if total else 1.0
        line = f"\r{name} [{'#' * round(BAR * share):<{BAR}}] {share:4.0%}"
        print(line if share < 1 else f"\r{' ' * len(line)}\r", end="", file=sys.stderr, flush=True)

    return show
