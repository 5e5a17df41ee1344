"""What the virtual microphone plays."""

import wave
from pathlib import Path

import pytest

from edged.config.settings import DeepgramSettings, GateSettings
from edged.demo import recording
from edged.demo.recording import RATE, DemoRecording
from edged.model.errors import ConfigurationError
from edged.testkit.compose import compose

SPOKEN = compose(["ba be bi"], lead_s=0.2, tail_s=0.2).pcm
RECORDINGS = [(f"sentence {number}", SPOKEN) for number in range(5)]


@pytest.fixture(scope="module")
def heard() -> DemoRecording:
    return recording.compose(RECORDINGS)


def test_the_recordings_are_in_it_untouched_where_it_says(heard: DemoRecording) -> None:
    assert [sentence.text for sentence in heard.sentences] == [text for text, _ in RECORDINGS]
    for sentence in heard.sentences:
        assert heard.pcm[2 * sentence.start : 2 * sentence.end] == SPOKEN


def test_between_them_are_at_least_six_seconds_of_faint_noise_never_of_zeros(heard: DemoRecording) -> None:
    for before, after in zip(heard.sentences, heard.sentences[1:], strict=False):
        assert after.start - before.end >= 6 * RATE
        samples = memoryview(heard.pcm[2 * before.end : 2 * after.start]).cast("h")
        assert max(map(abs, samples)) <= recording.QUIET
        assert sum(map(bool, samples)) > len(samples) / 2


def test_the_same_recordings_give_the_same_samples(heard: DemoRecording) -> None:
    assert recording.compose(RECORDINGS) == heard


def test_it_fits_into_the_time_that_a_demo_may_take() -> None:
    """The five sentences take 24.7 s; 90 s in all, with 15 s for starting and stopping on a slow machine."""
    assert 24.7 + recording.LEAD_S + sum(recording.SILENCES_S) + recording.TAIL_S < 75


def test_what_is_sent_before_a_position_is_priming_and_what_the_gate_lets_through(heard: DemoRecording) -> None:
    """So the connection is cut within the sentence that it is meant for, half a second of priming aside."""
    second = heard.sentences[1]
    before = recording.sent_s(heard, second.start, GateSettings(), DeepgramSettings())
    middle = recording.sent_s(heard, second.middle, GateSettings(), DeepgramSettings())
    assert 0.5 < before < heard.sentences[0].end / RATE
    assert middle - before == pytest.approx((second.middle - second.start) / RATE, abs=0.3)


def test_it_is_written_as_a_recording(heard: DemoRecording, tmp_path: Path) -> None:
    heard.write(tmp_path / "room.wav")
    with wave.open(str(tmp_path / "room.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.readframes(file.getnframes()) == heard.pcm


def test_recordings_that_cant_be_read_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        recording.read(tmp_path)
    (tmp_path / "transcription").write_text("<s> he was </s> (one)\n")
    with pytest.raises(ConfigurationError, match="can't be read"):
        recording.read(tmp_path)
    (tmp_path / "one.wav").write_bytes(b"RIFF")
    with pytest.raises(ConfigurationError, match="can't be read"):
        recording.read(tmp_path)
    (tmp_path / "transcription").write_text("")
    with pytest.raises(ConfigurationError, match="expects 5 recordings"):
        recording.read(tmp_path)


@pytest.mark.skipif(not recording.RECORDINGS.exists(), reason="pocketsphinx-testdata is not installed")
def test_debians_recordings_are_read_in_order() -> None:
    heard = recording.read()
    assert len(heard.sentences) == 5
    assert heard.sentences[1].text == "he was not an ill disposed young man"
    assert [round((s.end - s.start) / RATE, 2) for s in heard.sentences] == [7.1, 2.99, 5.3, 6.05, 3.29]
