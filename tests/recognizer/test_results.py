"""From audio to results, by literal times of audio: reference, section 3; ledger, section 9."""

import json
import random
from typing import Any

import pytest

from edged.recognizer.perturbations import Perturbations
from edged.recognizer.quirks import Quirks
from edged.testkit.compose import compose, place, sentences
from edged.testkit.script import Script
from tests.quick import seeds
from tests.recognizer.common import FULL, ONE_SENTENCE, RATE, USUAL, feed, pcm, results, window, windows, words

LONG = place([(f"w{i}", 1.5 + i * 0.45, 1.85 + i * 0.45) for i in range(40)], 21.0)
"""Unbroken speech: words of 0.35 s, 0.1 s apart, from 1.5 to 19.4 s."""
GAP_ONLY = f"{USUAL}&interim_results=true&endpointing=false"


def only(out: list[tuple[float, dict[str, Any]]], kind: str) -> list[tuple[float, dict[str, Any]]]:
    return [(at, message) for at, message in out if message["type"] == kind]


def test_nothing_is_said_before_the_first_second() -> None:
    assert feed(windows(ONE_SENTENCE), pcm(ONE_SENTENCE, 0, 0.95)) == []
    first, *_ = feed(windows(ONE_SENTENCE), pcm(ONE_SENTENCE, 0, 1.0))
    assert first[0] == 1.0


def test_interims_come_once_a_second_of_audio_and_restate_the_open_window_even_in_silence() -> None:
    out = feed(windows(ONE_SENTENCE), pcm(ONE_SENTENCE, 0, 2.1))
    assert [(at, window(message)) for at, message in out] == [(1.0, (0.0, 1.0)), (2.0, (0.0, 2.0))]
    assert [message["channel"]["alternatives"][0]["transcript"] for _, message in out] == ["", "One"]
    assert not any(message["is_final"] for _, message in out)


def test_without_interim_results_there_are_finals_only() -> None:
    out = feed(windows(ONE_SENTENCE, f"{USUAL}&endpointing=300"), ONE_SENTENCE.pcm)
    assert results((m for _, m in out), final=False) == []
    assert words(m for _, m in out) == ["one", "two", "three"]


def test_endpointing_ends_the_utterance_after_that_silence() -> None:
    out = feed(windows(ONE_SENTENCE), ONE_SENTENCE.pcm)
    at, final = next((at, m) for at, m in out if m["is_final"])
    assert (at, window(final), final["speech_final"], final["from_finalize"]) == (3.2, (0.0, 3.2), True, False)
    assert final["channel"]["alternatives"][0]["transcript"] == "One two three."
    assert [(w["word"], w["start"], w["end"]) for w in final["channel"]["alternatives"][0]["words"]] == [
        ("one", 1.5, 1.9),
        ("two", 2.0, 2.3),
        ("three", 2.5, 2.9),
    ]


def test_silence_shorter_than_endpointing_does_not_end_it() -> None:
    out = feed(windows(ONE_SENTENCE), pcm(ONE_SENTENCE, 0, 3.1))
    assert not any(m["is_final"] for _, m in out)


def test_an_utterance_ends_once_only() -> None:
    out = feed(windows(ONE_SENTENCE), ONE_SENTENCE.pcm)
    assert sum(m["speech_final"] for _, m in out) == 1


def test_punctuation_comes_only_where_it_was_asked_for() -> None:
    plain = feed(windows(ONE_SENTENCE, f"{USUAL}&endpointing=300"), ONE_SENTENCE.pcm)[0][1]["channel"]["alternatives"][
        0
    ]
    assert plain["transcript"] == "one two three"
    assert "punctuated_word" not in plain["words"][0]
    assert "speaker" not in plain["words"][0]


def test_diarize_gives_speakers() -> None:
    final = feed(windows(ONE_SENTENCE, f"{USUAL}&endpointing=300&diarize=true"), ONE_SENTENCE.pcm)[0][1]
    assert final["channel"]["alternatives"][0]["words"][0]["speaker"] == 0


def contiguous(finals: list[dict[str, Any]], end_s: float) -> None:
    edge = 0.0
    for message in finals:
        start, end = window(message)
        assert start == pytest.approx(edge, abs=0.002)
        assert end >= start
        edge = end
    assert edge == pytest.approx(end_s, abs=0.002)


def test_unbroken_speech_is_finalised_every_3_to_9_s_without_speech_final() -> None:
    machine = windows(LONG)
    out = [m for _, m in feed(machine, pcm(LONG, 0, 19.0))]
    finals = results(out, final=True)
    assert len(finals) >= 2
    for message in finals:
        assert not message["speech_final"]
        assert 3 <= message["duration"] <= 9


def test_a_forced_final_ends_between_words_unless_it_may_be_unkind() -> None:
    finals = results((m for _, m in feed(windows(LONG), pcm(LONG, 0, 19.0))), final=True)
    for message in finals:
        end = window(message)[1] * RATE
        assert not any(word.start < end < word.end - 32 for word in LONG.words)


def test_windows_of_finals_are_contiguous_and_every_word_is_in_one_of_them() -> None:
    machine = windows(LONG)
    out = [m for _, m in feed(machine, LONG.pcm)]
    out += [json.loads(text) for text in machine.close()]
    contiguous(results(out, final=True), 21.0)
    assert words(out) == LONG.texts


def test_long_silence_is_finalised_too() -> None:
    silence = place([], 12.0)
    finals = results((m for _, m in feed(windows(silence), silence.pcm)), final=True)
    assert [window(m) for m in finals] == [(0.0, 5.0), (5.0, 10.0)]
    assert not any(m["speech_final"] for m in finals)


def test_finalize_is_answered_with_what_is_buffered() -> None:
    machine = windows(ONE_SENTENCE)
    feed(machine, pcm(ONE_SENTENCE, 0, 2.4))
    (answer,) = map(json.loads, machine.finalize())
    assert (answer["is_final"], answer["from_finalize"], answer["speech_final"]) == (True, True, False)
    assert window(answer) == (0.0, 2.4)
    assert words([answer]) == ["one", "two"]


def test_finalize_right_after_a_final_has_no_answer() -> None:
    machine = windows(ONE_SENTENCE)
    feed(machine, pcm(ONE_SENTENCE, 0, 3.2))
    assert machine.finalize() == []


def test_finalize_in_silence_is_answered_by_an_empty_final() -> None:
    machine = windows(ONE_SENTENCE)
    feed(machine, pcm(ONE_SENTENCE, 0, 3.7))
    (answer,) = map(json.loads, machine.finalize())
    assert window(answer) == (3.2, 3.7)
    assert words([answer]) == []


def test_finalize_before_the_first_second_is_answered() -> None:
    machine = windows(ONE_SENTENCE)
    feed(machine, pcm(ONE_SENTENCE, 0, 0.5))
    assert [window(json.loads(text)) for text in machine.finalize()] == [(0.0, 0.5)]


def test_a_word_cut_by_finalize_comes_with_the_next_final_at_its_true_time() -> None:
    machine = windows(ONE_SENTENCE)
    feed(machine, pcm(ONE_SENTENCE, 0, 2.7))
    machine.finalize()
    final = next(m for _, m in feed(machine, pcm(ONE_SENTENCE, 2.7, 6)) if m["is_final"])
    assert [(w["word"], w["start"]) for w in final["channel"]["alternatives"][0]["words"]] == [("three", 2.5)]
    assert window(final)[0] == 2.7


def test_close_gives_the_last_results_and_then_metadata() -> None:
    machine = windows(ONE_SENTENCE)
    feed(machine, pcm(ONE_SENTENCE, 0, 3.0))
    last, metadata = map(json.loads, machine.close())
    assert (last["is_final"], words([last])) == (True, ["one", "two", "three"])
    assert (metadata["type"], metadata["duration"], metadata["request_id"]) == ("Metadata", 3.0, "request")


def test_close_without_audio_gives_metadata_only() -> None:
    assert [json.loads(text)["type"] for text in windows(ONE_SENTENCE).close()] == ["Metadata"]


def test_utterance_end_comes_that_long_after_the_last_word() -> None:
    out = feed(windows(ONE_SENTENCE, f"{FULL}&utterance_end_ms=1000"), ONE_SENTENCE.pcm)
    assert [(at, m["last_word_end"]) for at, m in only(out, "UtteranceEnd")] == [(3.9, 2.9)]


def test_utterance_end_without_endpointing_comes_after_a_final_with_the_words() -> None:
    out = feed(windows(ONE_SENTENCE, f"{GAP_ONLY}&utterance_end_ms=1000"), ONE_SENTENCE.pcm)
    ends = [i for i, (_, m) in enumerate(out) if m["type"] == "UtteranceEnd"]
    assert len(ends) == 1
    assert words(m for _, m in out[: ends[0]]) == ["one", "two", "three"]
    assert not any(m.get("speech_final") for _, m in out)


def test_speech_started_comes_with_the_start_of_the_voice_if_asked_for() -> None:
    talk = place([("a", 1.5, 1.9), ("b", 4.0, 4.4)], 6.0)
    out = feed(windows(talk, f"{FULL}&vad_events=true"), talk.pcm)
    assert [(at, m["timestamp"]) for at, m in only(out, "SpeechStarted")] == [(1.6, 1.5), (4.1, 4.0)]
    assert only(feed(windows(talk), talk.pcm), "SpeechStarted") == []


@pytest.mark.slow
def test_times_are_rounded_like_32_bit_floats() -> None:
    machine = windows(ONE_SENTENCE)
    out = feed(machine, ONE_SENTENCE.pcm * 60, step_s=1.0)[-20:]
    starts = [m["start"] for _, m in out]
    assert all(abs(start * RATE - round(start * RATE)) < RATE / 1000 for start in starts)
    assert any(start * RATE != round(start * RATE) for start in starts)


# Unkindness


def talk(seed: int, perturbations: Perturbations, script: Script = LONG) -> list[dict[str, Any]]:
    """All messages of one connection, with numbers drawn by this seed."""
    machine = windows(
        script, f"{FULL}&utterance_end_ms=1000", perturbations=perturbations, draw=random.Random(seed).random
    )
    out = [m for _, m in feed(machine, script.pcm)]
    return out + [json.loads(text) for text in machine.close()]


def test_unkind_forced_finals_end_in_mid_word_and_the_word_comes_next() -> None:
    out = talk(1, Perturbations(cut_mid_word=True))
    finals = results(out, final=True)
    ends = [window(m)[1] * RATE for m in finals[:-1] if not m["speech_final"]]
    cut = [word for word in LONG.words for end in ends if word.start < end < word.end]
    assert len(cut) >= 2
    contiguous(finals, 21.0)
    assert words(out) == LONG.texts


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(20))
def test_with_every_unkindness_each_word_is_answered_once_within_80_ms(seed: int) -> None:
    script = compose(sentences(3, 12), seed=seed, silence_s=2.0)
    out = talk(seed, Perturbations.all(), script)
    assert words(out) == script.texts
    contiguous(results(out, final=True), len(script.pcm) / 2 / RATE)
    answered = [w for m in results(out, final=True) for w in m["channel"]["alternatives"][0]["words"]]
    for said, true in zip(answered, script.words, strict=True):
        assert abs(said["start"] - true.start / RATE) < 0.081
        assert said["end"] == -1 or abs(said["end"] - true.end / RATE) < 0.081


def test_audio_heard_again_is_answered_in_other_windows_and_with_other_punctuation() -> None:
    first, second = (results(talk(seed, Perturbations.all()), final=True) for seed in (1, 2))
    assert [window(m) for m in first] != [window(m) for m in second]
    assert [m["channel"]["alternatives"][0]["transcript"] for m in first] != [
        m["channel"]["alternatives"][0]["transcript"] for m in second
    ]


def test_the_same_seed_gives_the_same_messages() -> None:
    assert talk(3, Perturbations.all()) == talk(3, Perturbations.all())


# Quirks of compatible servers


def test_windows_may_be_taken_from_words() -> None:
    machine = windows(ONE_SENTENCE, quirks=Quirks(windows_from_words=True))
    out = feed(machine, ONE_SENTENCE.pcm)
    final = next(m for _, m in out if m["is_final"])
    assert window(final) == (1.5, 2.9)
    assert window(out[0][1]) == (0.0, 0.0)


def test_empty_interims_may_be_left_out() -> None:
    out = feed(windows(ONE_SENTENCE, quirks=Quirks(no_empty_interims=True)), ONE_SENTENCE.pcm)
    assert all(m["channel"]["alternatives"][0]["words"] for m in results((m for _, m in out), final=False))


def test_confidence_may_always_be_zero() -> None:
    final = results(
        (m for _, m in feed(windows(ONE_SENTENCE, quirks=Quirks(confidence=0.0)), ONE_SENTENCE.pcm)), final=True
    )[0]
    alternative = final["channel"]["alternatives"][0]
    assert alternative["confidence"] == 0
    assert alternative["words"][0]["confidence"] == 0


def finals(quirks: Quirks, script: Script = ONE_SENTENCE) -> list[tuple[tuple[float, float], str]]:
    """Window and text of each final with text, up to the end of the stream."""
    machine = windows(script, quirks=quirks)
    said = [message for _, message in feed(machine, script.pcm)]
    said += [json.loads(text) for text in machine.close()]
    texts = [(window(m), m["channel"]["alternatives"][0]["transcript"]) for m in results(said, final=True)]
    return [(span, text) for span, text in texts if text]


def test_text_can_be_kept_until_the_stream_is_closed() -> None:
    assert finals(Quirks(text_at_close=True)) == [((0.0, 1.9), "One"), ((1.9, 1.9), "two three")]


def test_a_full_stop_can_come_late() -> None:
    assert finals(Quirks(late_punctuation=True)) == [((0.0, 3.2), "One two three"), ((3.2, 3.2), ".")]


TWO = place([("one", 1.5, 1.9), ("two", 2.0, 2.3), ("three", 4.0, 4.4), ("four", 4.5, 4.8)], 7.0)


def test_words_can_be_restated_in_a_window_that_reaches_back() -> None:
    assert finals(Quirks(restated_words=1), TWO) == [((0.0, 2.6), "One two."), ((2.0, 5.1), "two. Three four.")]


def test_times_can_start_again_behind_an_utterance() -> None:
    assert finals(Quirks(restart_times=True), TWO) == [((0.0, 2.6), "One two."), ((0.0, 2.5), "Three four.")]
