"""A recording as a source, played in real time: the same path as a microphone, for trials, tests and measurements."""

import shlex
import threading
import time
from pathlib import Path
from typing import BinaryIO

from edged.capture.level import Level, pick_channel
from edged.capture.source import CaptureCounters, Deliver
from edged.capture.wav_header import ConvertibleError, WavHeader, parse
from edged.config.settings import CaptureSettings
from edged.model.audio import BYTES_PER_SAMPLE, Block, SignalChange, SourceEnded, SourceLost, SourceOpened
from edged.model.cures import with_cure
from edged.model.errors import ConfigurationError
from edged.model.files import open_regular_file


class WavSource:
    """A recording that plays to its end and then delivers SourceEnded; implements `source.Source`.

    `speed` is for tests: seconds of the recording that pass in one second. The times of blocks follow the recording, so
    at a higher speed they run ahead of the clock.
    """

    def __init__(self, settings: CaptureSettings, deliver: Deliver, *, speed: float = 1.0) -> None:
        if not settings.path:
            raise ConfigurationError("capture.path must name a recording when capture.source is wav")
        self.counters = CaptureCounters()
        self._settings = settings
        self._path = Path(settings.path)
        self._deliver = deliver
        self._speed = speed
        self._level = Level()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edged-capture", daemon=True)

    def check(self) -> SourceLost | None:
        """Return a warning if the recording is cut short; implements `Source.check`.

        Raises ConfigurationError if the recording can't be played.
        """
        file, wav = self._open()
        file.close()
        cut_short = self._cut_short(wav)
        return SourceLost(cut_short) if cut_short else None

    def start(self) -> None:
        """Open the recording and play it; implements `Source.start`. Raises ConfigurationError."""
        self._file, self._wav = self._open()
        self._thread.start()

    def set_read_interval(self, seconds: float) -> None:
        """Do nothing: a recording always plays one period at a time."""

    def reopen(self) -> None:
        """Do nothing: reopening a file whose read hangs does not help."""

    def stop(self, timeout_s: float) -> bool:
        """Stop playing; implements `Source.stop`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _open(self) -> tuple[BinaryIO, WavHeader]:
        path = self._path
        try:
            file = open_regular_file(path)
        except OSError as error:
            raise ConfigurationError(f"capture.path: {path} can't be read: {with_cure(error)}") from error
        try:
            wav = parse(file)
            self._check_format(wav)
        except (ValueError, OSError) as error:  # OSError: the disk is bad
            file.close()
            cure = f": {self._conversion_command()}" if isinstance(error, ConvertibleError) else ""
            raise ConfigurationError(f"capture.path: {path} {with_cure(error)}{cure}") from error
        file.seek(wav.data_offset)
        return file, wav

    def _check_format(self, wav: WavHeader) -> None:
        """Raise ValueError if the format is not the one that the settings ask for."""
        settings, path = self._settings, self._path
        if wav.bits != 8 * BYTES_PER_SAMPLE or wav.rate != settings.rate:
            raise ValueError(
                f"has {wav.bits} bits at {wav.rate} Hz, but 16 bits at {settings.rate} Hz are needed: convert it with"
                f" `sox {shlex.quote(str(path))} -b 16 -r {settings.rate} converted.wav` (`sudo apt install sox`)"
            )
        if settings.channel >= wav.channels:
            raise ValueError(f"has {wav.channels} channel(s), so there is no capture.channel = {settings.channel}")
        if wav.data_bytes == 0:
            raise ValueError("holds no audio")

    def _conversion_command(self) -> str:
        output = f"-c:a pcm_s16le -ar {self._settings.rate} converted.wav"
        return f"convert it with `ffmpeg -i {shlex.quote(str(self._path))} {output}` (`sudo apt install ffmpeg`)"

    def _cut_short(self, wav: WavHeader) -> str | None:
        if wav.data_bytes >= wav.declared_bytes:
            return None
        bytes_per_s = wav.rate * wav.channels * BYTES_PER_SAMPLE
        return (
            f"recording {self._path} is cut short: its header promises {wav.declared_bytes / bytes_per_s:.1f} s, but it"
            f" holds {wav.data_bytes / bytes_per_s:.1f} s"
        )

    def _run(self) -> None:
        with self._file as file:
            self._play(file, self._wav)

    def _play(self, file: BinaryIO, wav: WavHeader) -> None:
        counters = self.counters
        counters.openings = 1
        counters.last_block_s = time.monotonic()
        self._deliver(
            SourceOpened(self._path.name, f"{wav.rate} Hz, channel {self._settings.channel} of {wav.channels}")
        )
        if text := self._cut_short(wav):
            self._deliver(SignalChange(text, fault=True))
        period_bytes = wav.rate * self._settings.period_ms // 1000 * wav.channels * BYTES_PER_SAMPLE
        started_s, started_boot_s = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        position, remaining_bytes = 0, wav.data_bytes
        while frames := file.read(min(period_bytes, remaining_bytes)):
            remaining_bytes -= len(frames)
            block = Block(
                position,
                pick_channel(frames, wav.channels, self._settings.channel),
                started_boot_s + position / wav.rate,
            )
            position = block.end
            # Like a microphone, it delivers a block when the last sample of it has sounded.
            if self._stop.wait(max(0.0, started_s + position / wav.rate / self._speed - time.monotonic())):
                return
            self._deliver(block)
            self._level.feed(block.pcm)
            counters.blocks += 1
            counters.last_block_s = time.monotonic()
            counters.peak, counters.clipped_samples = self._level.peak, self._level.clipped_samples
        counters.last_block_s = None
        self._deliver(SourceEnded())
