"""Recordings as a source."""

import itertools
import struct
import time
import wave
from pathlib import Path

import pytest

from edged.capture.factory import open_source
from edged.capture.wav import WavSource
from edged.config.settings import CaptureSettings
from edged.model.audio import Block, SignalChange, SourceEnded, SourceOpened
from edged.model.errors import ConfigurationError
from tests.capture.conftest import EventLog, Running, speech_like


def recording(path: Path, audio: bytes, *, rate: int = 16_000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(audio)
    return path


def wav(path: Path, **options: object) -> CaptureSettings:
    return CaptureSettings(source="wav", path=str(path), **options)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.wav"


def test_a_recording_plays_to_its_end(file: Path, events: EventLog, running: Running) -> None:
    audio = speech_like(1.05)
    source = running(WavSource(wav(recording(file, audio)), events.put, speed=100))
    events.wait(SourceEnded)
    assert b"".join(block.pcm for block in events.all(Block)) == audio
    assert events.summary == ["SourceOpened", *["Block"] * 11, "SourceEnded"]
    assert events.items[0] == SourceOpened(file.name, "16000 Hz, channel 0 of 1")
    assert [block.position for block in events.all(Block)] == [1600 * i for i in range(11)]
    assert source.counters.blocks == 11
    assert source.counters.peak > 8000
    assert source.counters.last_block_s is None


def test_playing_takes_real_time_and_each_block_has_the_time_of_its_first_sample(
    file: Path, events: EventLog, running: Running
) -> None:
    arrivals: list[float] = []

    def deliver(item: object) -> None:
        if isinstance(item, Block):
            arrivals.append(time.clock_gettime(time.CLOCK_BOOTTIME))
            events.put(item)

    running(WavSource(wav(recording(file, speech_like(0.3)), period_ms=50), deliver))
    blocks = [events.wait(Block, 6), *events.all(Block)][1:]
    stamps = [block.at_s for block in blocks]
    assert [b - a for a, b in itertools.pairwise(stamps)] == pytest.approx([0.05] * 5)
    assert all(arrival >= stamp + 0.049 for arrival, stamp in zip(arrivals, stamps, strict=True)), "as a microphone"


def test_a_stop_ends_playing_at_once(file: Path, events: EventLog) -> None:
    source = WavSource(wav(recording(file, speech_like(5))), events.put)
    source.start()
    events.wait(SourceOpened)
    assert source.stop(1)
    assert not events.all(SourceEnded)


def test_the_chosen_channel_is_played(file: Path, events: EventLog, running: Running) -> None:
    audio = speech_like(0.2, channels=2)
    running(WavSource(wav(recording(file, audio, channels=2), channel=1), events.put, speed=100))
    events.wait(SourceEnded)
    assert b"".join(block.pcm for block in events.all(Block)) == memoryview(audio).cast("h")[1::2].tobytes()


def test_a_recording_that_is_cut_short_plays_with_a_warning(file: Path, events: EventLog, running: Running) -> None:
    audio = speech_like(1)
    whole = recording(file, audio).read_bytes()
    file.write_bytes(whole[: 44 + 6401])
    source = WavSource(wav(file), events.put, speed=100)
    missing = source.check()
    assert missing is not None
    assert "is cut short: its header promises 1.0 s, but it holds 0.2 s" in missing.reason
    running(source)
    events.wait(SourceEnded)
    assert events.all(SignalChange)[0].fault
    assert b"".join(block.pcm for block in events.all(Block)) == audio[:6400]


def header(*fields: int) -> bytes:
    return b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *fields) + b"data" + struct.pack("<I", 4)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"RIFF", "is cut off in its header"),
        (b"RIFF" + bytes(4) + b"WAVE", "is cut off in its header"),
        (b"RIFF" + bytes(4) + b"WAVEfmt \x10\0\0\0\x01\0", "is cut off in its header"),
        (header(1, 1, 16_000, 32_000, 2, 16)[:-8], "is cut off in its header"),
        (b"ID3\x04" + bytes(40), "is not a WAV file but MP3: convert it with `ffmpeg -i "),
        (b"fLaC" + bytes(40), "is not a WAV file but FLAC: convert it with `ffmpeg -i "),
        (b"RIFX" + bytes(40), "is not a WAV file but a big-endian WAV file: convert it with `ffmpeg -i "),
        (header(0x55, 1, 16_000, 0, 1, 0), "is not PCM but MP3: convert it with `ffmpeg -i "),
        (header(3, 1, 16_000, 64_000, 4, 32), "is not PCM but floating point: convert it with `ffmpeg -i "),
        (header(6, 1, 8_000, 8_000, 1, 8), "is not PCM but A-law: convert it with `ffmpeg -i "),
        (header(0x1234, 1, 8_000, 8_000, 1, 8), "is not PCM but of an unknown format (0x1234): convert it with"),
        (header(1, 1, 16_000, 16_000, 1, 8) + bytes(4), "has 8 bits at 16000 Hz, but 16 bits at 16000 Hz are needed"),
        (header(1, 1, 44_100, 88_200, 2, 16) + bytes(4), "-r 16000 converted.wav"),
        (header(1, 0, 16_000, 0, 0, 16) + bytes(4), "is damaged"),
        (b"RIFF" + bytes(4) + b"WAVEdata" + bytes(8), "is damaged"),
        (header(1, 1, 16_000, 32_000, 2, 16), "holds no audio"),
        (bytes(range(256)) * 4, "is not a WAV file"),
    ],
)
def test_a_file_that_can_not_be_played_is_one_line(file: Path, content: bytes, text: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        WavSource(wav(file), print).check()
    assert text in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 78


def test_a_missing_file_a_directory_and_no_path_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="absent can't be read: No such file"):
        WavSource(wav(tmp_path / "absent"), print).check()
    with pytest.raises(ConfigurationError, match="can't be read: Is a directory"):
        WavSource(wav(tmp_path), print).check()
    with pytest.raises(ConfigurationError, match=r"capture\.path must name"):
        open_source(CaptureSettings(source="wav"), print)


def test_a_channel_that_the_recording_does_not_have_is_an_error(file: Path) -> None:
    recording(file, speech_like(0.1))
    with pytest.raises(ConfigurationError, match=r"has 1 channel\(s\), so there is no capture.channel = 3"):
        WavSource(wav(file, channels=4, channel=3), print).check()
