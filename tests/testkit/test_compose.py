"""Recordings made up: voiced where somebody speaks, quiet elsewhere, the same for the same seed."""

import pytest
import webrtcvad

from edged.testkit.compose import compose, sentences, vocabulary


def test_words_differ() -> None:
    assert len(set(vocabulary(4900))) == 4900


def test_sentences_share_no_word() -> None:
    words = " ".join(sentences(20, 7)).split()
    assert len(words) == len(set(words)) == 140


def test_the_same_seed_gives_the_same_samples() -> None:
    assert compose(["a b"], seed=3).pcm == compose(["a b"], seed=3).pcm != compose(["a b"], seed=4).pcm


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize("mode", [1, 2, 3])
def test_a_voice_detector_hears_the_words_and_nothing_between(rate: int, mode: int) -> None:
    script = compose(sentences(3, 6), seed=rate, rate=rate, silence_s=2)
    detector = webrtcvad.Vad(mode)
    size = rate // 50
    within, between = [], []
    for start in range(0, len(script.pcm) // 2 - size, size):
        voiced = detector.is_speech(script.pcm[2 * start : 2 * (start + size)], rate)
        if any(word.start <= start and start + size <= word.end for word in script.words):
            within.append(voiced)
        # webrtcvad lingers after a voice, and its lower modes take the very first frames for one.
        elif start > rate * 0.3 and all(
            start + size < word.start - size or start > word.end + rate * 0.3 for word in script.words
        ):
            between.append(voiced)
    assert sum(within) > 0.98 * len(within) > 0
    assert sum(between) < 0.02 * len(between)


def test_silence_between_is_never_exact_zeros() -> None:
    script = compose(["a", "b"], silence_s=1)
    assert bytes(20) not in script.pcm


def test_sentences_may_begin_at_a_fixed_interval() -> None:
    script = compose(["a b", "c d", "e f"], lead_s=1, every_s=5, tail_s=1)
    assert [script.words[i].start for i in (0, 2, 4)] == [16_000, 96_000, 176_000]
    with pytest.raises(ValueError, match="lasts longer"):
        compose([" ".join("abcdefgh"), "i"], every_s=1)
