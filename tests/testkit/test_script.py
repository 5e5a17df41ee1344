"""The engine that finds words by their audio: each whole one is answered, as often as it comes."""

import json
import random
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.model.errors import UsageError
from edged.testkit.compose import compose, place, sentences
from edged.testkit.script import Script, ScriptEngine, ScriptEngineFactory, ScriptWord, split_pcm
from tests.recognizer.common import ONE_SENTENCE, RATE, pcm

TALK = compose(sentences(3, 5), silence_s=0.7, seed=7)


def heard(script: Script, audio: bytes, samples: int = 1600) -> list[tuple[str, int]]:
    """The words that an engine answers, and where they start."""
    engine = ScriptEngine(script)
    for batch in split_pcm(audio, samples):
        found = engine.feed(batch).words
    return [(word.text, round(word.start_s * script.rate)) for word in found]


def test_every_word_is_answered_with_its_time() -> None:
    assert heard(TALK, TALK.pcm) == [(word.text, word.start) for word in TALK.words]


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 7, 160, 1601, 10**6])
def test_the_size_of_messages_does_not_matter(samples: int) -> None:
    assert [text for text, _ in heard(ONE_SENTENCE, ONE_SENTENCE.pcm, samples)] == ["one", "two", "three"]


def test_a_word_is_answered_with_the_batch_that_completes_it() -> None:
    engine = ScriptEngine(ONE_SENTENCE)
    assert engine.feed(pcm(ONE_SENTENCE, 0, 1.9)[:-2]).words == ()
    assert [word.text for word in engine.feed(pcm(ONE_SENTENCE, 1.9 - 1 / RATE, 1.9)).words] == ["one"]


def test_position_does_not_matter() -> None:
    assert heard(ONE_SENTENCE, pcm(ONE_SENTENCE, 1.9, 2.4) + pcm(ONE_SENTENCE, 1.4, 1.95)) == [
        ("two", round(0.1 * RATE)),
        ("one", round(0.6 * RATE)),
    ]


def test_a_word_that_begins_the_stream_is_answered() -> None:
    assert heard(ONE_SENTENCE, pcm(ONE_SENTENCE, 1.5, 1.9)) == [("one", 0)]


def test_audio_sent_twice_is_answered_twice() -> None:
    sentence = pcm(ONE_SENTENCE, 1.4, 3.0)
    assert [text for text, _ in heard(ONE_SENTENCE, sentence * 2)] == ["one", "two", "three"] * 2


@pytest.mark.parametrize("cut_s", [1.5 + 1 / RATE, 1.6, 1.7, 1.9 - 1 / RATE])
def test_a_word_with_a_hole_is_not_answered(cut_s: float) -> None:
    audio = pcm(ONE_SENTENCE, 0, cut_s) + pcm(ONE_SENTENCE, cut_s + 1 / RATE, 6)
    assert [text for text, _ in heard(ONE_SENTENCE, audio)] == ["two", "three"]


def test_a_word_broken_off_and_begun_anew_is_answered_once() -> None:
    audio = pcm(ONE_SENTENCE, 0, 2.7) + pcm(ONE_SENTENCE, 2.4, 6)
    assert [text for text, _ in heard(ONE_SENTENCE, audio)] == ["one", "two", "three"]


def test_a_stretch_repeated_within_a_word_spoils_it() -> None:
    audio = pcm(ONE_SENTENCE, 0, 2.7) + pcm(ONE_SENTENCE, 2.6, 6)
    assert [text for text, _ in heard(ONE_SENTENCE, audio)] == ["one", "two"]


def test_a_single_sample_that_differs_spoils_a_word() -> None:
    audio = bytearray(ONE_SENTENCE.pcm)
    audio[2 * round(2.1 * RATE)] ^= 1
    assert [text for text, _ in heard(ONE_SENTENCE, bytes(audio))] == ["one", "three"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(TALK.pcm) // 2), st.integers(1, 5 * RATE)), max_size=6), st.integers(1, 9000)
)
def test_words_that_lie_whole_in_the_pieces_are_answered_and_no_others(
    pieces: list[tuple[int, int]], samples: int
) -> None:
    """Any pieces of the recording, one after the other, in messages of any size."""
    audio, expected = b"", []
    before_end = -1
    for start, length in pieces:
        end = min(start + length, len(TALK.pcm) // 2)
        at = len(audio) // 2
        if start == before_end:  # they join: then a word may lie across both
            return
        before_end = end
        audio += TALK.pcm[2 * start : 2 * end]
        expected += [(w.text, at + w.start - start) for w in TALK.words if start <= w.start and w.end <= end]
    if audio:
        assert heard(TALK, audio, samples) == expected


def test_committed_words_are_not_given_again() -> None:
    engine = ScriptEngine(ONE_SENTENCE)
    assert len(engine.feed(ONE_SENTENCE.pcm).words) == 3
    engine.commit(2.3)
    assert [word.text for word in engine.flush().words] == ["three"]


def test_voice_is_known_within_words() -> None:
    engine = ScriptEngine(ONE_SENTENCE)
    during = engine.feed(pcm(ONE_SENTENCE, 0, 2.7))
    assert during.voice_start_s == 1.5
    assert 2.69 < during.voice_end_s <= 2.7
    assert engine.feed(pcm(ONE_SENTENCE, 2.7, 6)).voice_end_s == 2.9


def test_half_of_a_word_is_noted_when_it_has_come() -> None:
    engine = ScriptEngine(ONE_SENTENCE)
    engine.feed(pcm(ONE_SENTENCE, 0, 1.69))
    assert engine.take_half_processed() == []
    engine.feed(pcm(ONE_SENTENCE, 1.69, 1.71))
    assert engine.take_half_processed() == [0]


def test_a_long_connection_does_not_grow() -> None:
    engine = ScriptEngine(ONE_SENTENCE)
    for _ in range(40):
        engine.feed(ONE_SENTENCE.pcm)
        engine.commit(1e9)
    assert len(engine._buffer) < 10 * RATE * 2


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    TALK.save(tmp_path / "a.wav", tmp_path / "a.json")
    again = Script.load(tmp_path / "a.wav", tmp_path / "a.json")
    assert (again.pcm, again.words, again.rate) == (TALK.pcm, TALK.words, TALK.rate)


def test_times_in_a_table_may_be_seconds(tmp_path: Path) -> None:
    TALK.save(tmp_path / "a.wav", tmp_path / "a.json")
    first = TALK.words[0]
    (tmp_path / "b.json").write_text(json.dumps([{"word": "x", "start": first.start / RATE, "end": first.end / RATE}]))
    assert Script.load(tmp_path / "a.wav", tmp_path / "b.json").words == (ScriptWord("x", first.start, first.end),)


def test_silence_can_not_be_a_word() -> None:
    with pytest.raises(UsageError, match="'hush' is too short, silent"):
        Script(bytes(2 * RATE), [ScriptWord("hush", 0, 8000)])


def test_two_words_of_the_same_sound_can_not_be_told_apart() -> None:
    sound = pcm(ONE_SENTENCE, 1.5, 1.9)
    with pytest.raises(UsageError, match="sounds exactly like another one"):
        Script(sound * 2, [ScriptWord("a", 0, 6400), ScriptWord("b", 6400, 12_800)])


@pytest.mark.parametrize(
    "words", [[ScriptWord("a", 0, 0)], [ScriptWord("a", 0, 10**7)], [ScriptWord("a", 9, 99), ScriptWord("b", 50, 150)]]
)
def test_words_outside_of_the_recording_or_in_each_other_are_refused(words: list[ScriptWord]) -> None:
    with pytest.raises(UsageError, match="overlaps its neighbour"):
        Script(ONE_SENTENCE.pcm, words)


def test_files_that_can_not_be_used_give_one_line(tmp_path: Path) -> None:
    wav, table = tmp_path / "a.wav", tmp_path / "a.json"
    with pytest.raises(UsageError, match="No such file"):
        Script.load(wav, table)
    wav.write_bytes(b"RIFFnothing")
    with pytest.raises(UsageError, match="no WAV file"):
        Script.load(wav, table)
    with wave.open(str(wav), "wb") as target:
        target.setparams((2, 2, RATE, 0, "NONE", ""))
        target.writeframes(bytes(400))
    with pytest.raises(UsageError, match="16-bit mono"):
        Script.load(wav, table)
    ONE_SENTENCE.save(wav, table)
    table.write_text('{"word": 1}')
    with pytest.raises(UsageError, match="not a JSON list"):
        Script.load(wav, table)


def test_another_rate_is_objected_to() -> None:
    assert ScriptEngineFactory(ONE_SENTENCE).rate_error(RATE) is None
    assert "16000" in str(ScriptEngineFactory(ONE_SENTENCE).rate_error(8000))


def test_noise_holds_no_word() -> None:
    assert heard(ONE_SENTENCE, random.Random(1).randbytes(2 * RATE * 2)) == []


def test_placed_words_lie_where_they_were_asked_for() -> None:
    script = place([("a", 0.5, 0.75)], 1.0, rate=8000)
    assert script.words == (ScriptWord("a", 4000, 6000),)
    assert len(script.pcm) == 16_000


def test_a_header_that_promises_4_gb_gets_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python asks the system for what it is to read."""
    ONE_SENTENCE.save(tmp_path / "a.wav", tmp_path / "a.json")
    file = tmp_path / "a.wav"
    content = bytearray(file.read_bytes())
    content[4:8] = content[40:44] = b"\xfe\xff\xff\xff"
    file.write_bytes(content)
    asked: list[int] = []
    really = wave.Wave_read.readframes

    def read(file: wave.Wave_read, frames: int) -> bytes:
        asked.append(frames)
        return really(file, frames)

    monkeypatch.setattr(wave.Wave_read, "readframes", read)
    assert Script.load(file, tmp_path / "a.json").pcm == ONE_SENTENCE.pcm
    assert asked[0] * 2 <= len(content)
