"""Recordings from files: WAV by itself, everything else through whichever decoder this machine has."""

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edged.capture.level import pick_channel
from edged.capture.wav_header import WAV_SIGNATURES, ConvertibleError, parse
from edged.model.audio import BYTES_PER_SAMPLE
from edged.model.cures import with_cure
from edged.model.errors import UsageError
from edged.model.files import open_regular_file

RATES = (8000, 16_000, 32_000, 48_000)
"""Sample rates that webrtcvad supports."""

DECODE_S = 600
"""Deadline of a conversion: more than an hour of audio takes on a Pi."""

DECODERS = {
    # program: its arguments, where {} is the file; WAV comes out, with all channels
    "ffmpeg": ("-v", "error", "-i", "{}", "-ar", "16000", "-c:a", "pcm_s16le", "-f", "wav", "-"),
    "sox": ("{}", "-t", "wav", "-b", "16", "-r", "16000", "-"),
    "flac": ("--silent", "--decode", "--stdout", "{}"),
}
MIXED = {"ffmpeg": ("-ac", "1"), "sox": ("-c", "1")}
"""Options that mix all channels, for music and video; of a WAV file, one channel counts."""


class Recording(NamedTuple):
    """A whole one."""

    rate: int
    pcm: bytes
    """Samples, s16le and mono."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / BYTES_PER_SAMPLE / self.rate


def read(path: Path, channel: int = 0) -> Recording:
    """A recording, one channel of it. Raises UsageError with a line on why it can't be read, and what helps."""
    own = False
    try:
        with open_regular_file(path) as file:
            own = file.read(4) in WAV_SIGNATURES
            return _wav(file, channel)
    except ConvertibleError as error:
        return _decoded(path, channel if own else None, str(error))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {with_cure(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path} {error}") from None


def _wav(file: BinaryIO, channel: int) -> Recording:
    wav = parse(file)
    if wav.bits != 8 * BYTES_PER_SAMPLE or wav.rate not in RATES:
        rates = ", ".join(map(str, RATES))
        raise ConvertibleError(f"has {wav.bits} bits at {wav.rate} Hz, but 16 bits at {rates} Hz are needed")
    if channel >= wav.channels:
        raise ValueError(f"has {wav.channels} channel(s), so there is no channel {channel}")
    file.seek(wav.data_offset)
    return Recording(wav.rate, pick_channel(file.read(wav.data_bytes), wav.channels, channel))


def _decoded(path: Path, channel: int | None, why: str) -> Recording:
    """Decode by the first program that can; `channel` None: all of them mixed. `why` it takes one, for people."""
    # FLAC's own comes first, as it changes nothing.
    names = ["flac", "ffmpeg", "sox"] if path.suffix == ".flac" else ["ffmpeg", "sox"]
    programs = [found for name in names if (found := shutil.which(name))]
    if not programs:
        wanted = " or ".join(names)
        raise UsageError(f"{path} {why}, and there is no {wanted} to decode it: `sudo apt install {names[0]}`")
    for program in programs:
        try:
            return _decoded_by(program, path, channel)
        except UsageError:
            if program == programs[-1]:
                raise
    raise RuntimeError("the last program returns or raises")


def _decoded_by(program: str, path: Path, channel: int | None) -> Recording:
    name = Path(program).name
    arguments = [argument.format(path) for argument in DECODERS[name]]
    if channel is None:
        arguments[-1:-1] = MIXED.get(name, ())
    try:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=DECODE_S, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{path}: {program} was not done within {DECODE_S} s") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"status {done.returncode}"
        raise UsageError(f"{path} can't be decoded: {why}")
    try:
        return _wav(BytesIO(done.stdout), channel or 0)
    except ValueError as error:
        raise UsageError(f"{path}, decoded by {program}, {error}") from None
