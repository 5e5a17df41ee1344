"""Recordings from files: WAV by itself, everything else through whichever decoder this machine has."""

import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edged.audio import BYTES_PER_SAMPLE
from edged.capture.level import pick
from edged.capture.wavefile import parse
from edged.cures import with_cure
from edged.errors import UsageError

RATES = (8000, 16_000, 32_000, 48_000)
"""What webrtcvad takes."""

DECODE_S = 600
"""For an hour of audio on a Pi, and then some."""

DECODERS = {
    # program: its arguments, where {} is the file; WAV comes out
    "ffmpeg": ("-v", "error", "-i", "{}", "-ac", "1", "-ar", "16000", "-f", "wav", "-"),
    "sox": ("{}", "-t", "wav", "-b", "16", "-c", "1", "-r", "16000", "-"),
    "flac": ("--silent", "--decode", "--stdout", "{}"),
}


class Recording(NamedTuple):
    """A whole one."""

    rate: int
    pcm: bytes
    """s16le, mono."""

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return len(self.pcm) / BYTES_PER_SAMPLE / self.rate


def read(path: Path, channel: int = 0) -> Recording:
    """A recording, one channel of it. Raises UsageError with a line on why it can't be read, and what helps."""
    try:
        with path.open("rb") as file:
            if file.read(4) == b"RIFF":
                return _wav(file, channel)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {with_cure(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path} {error}") from None
    return _decoded(path)


def _wav(file: BinaryIO, channel: int) -> Recording:
    wav = parse(file)
    if wav.bits != 8 * BYTES_PER_SAMPLE or wav.rate not in RATES:
        raise ValueError(
            f"has {wav.bits} bits at {wav.rate} Hz, but 16 bits at {', '.join(map(str, RATES))} Hz are needed: convert"
            " it with `sox IN.wav -b 16 -r 16000 OUT.wav`"
        )
    if channel >= wav.channels:
        raise ValueError(f"has {wav.channels} channel(s), so there is no channel {channel}")
    file.seek(wav.offset)
    return Recording(wav.rate, pick(file.read(wav.bytes), wav.channels, channel))


def _decoded(path: Path) -> Recording:
    """By another program. FLAC's own comes first, as it changes nothing."""
    names = ["flac", "ffmpeg", "sox"] if path.suffix == ".flac" else ["ffmpeg", "sox"]
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        wanted = " or ".join(names)
        raise UsageError(f"{path} is no WAV file, and there is no {wanted} to decode it: `sudo apt install {names[0]}`")
    arguments = [argument.format(path) for argument in DECODERS[Path(program).name]]
    try:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=DECODE_S, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{path}: {program} was not done within {DECODE_S} s") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"status {done.returncode}"
        raise UsageError(f"{path} can't be decoded: {why}")
    from io import BytesIO

    try:
        return _wav(BytesIO(done.stdout), 0)
    except ValueError as error:
        raise UsageError(f"{path}, decoded by {program}, {error}") from None
