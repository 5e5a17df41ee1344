"""Punctuation, and how words are joined in each script."""

import pytest

from edged.model.utterance import Passage, PlacedWord
from edged.stream.draft import Draft
from edged.transcripts.text import bare, is_opening, is_punctuation, joined, text_of


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["Turn", "off."], "Turn off."),
        (["今日は", "いい", "天気です。"], "今日はいい天気です。"),
        (["你好，", "世界"], "你好，世界"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["안녕하세요", "세계"], "안녕하세요 세계"),
        (["iPhone", "を", "3", "台"], "iPhoneを3台"),
        ([], ""),
    ],
)
def test_words_are_joined_as_their_script_does(texts: list[str], whole: str) -> None:
    assert joined(texts) == whole


@pytest.mark.parametrize("text", [".", "...", "?!", "。", "…", "—", "¿", "«", "", " . "])
def test_punctuation_is_no_word(text: str) -> None:
    assert is_punctuation(text)


@pytest.mark.parametrize("text", ["a.", "5", "%", "&", "@", "****", "♪", "€", "は", "กำ"])
def test_spoken_symbols_are_words(text: str) -> None:
    """Stars stand for a word that the server hides."""
    assert not is_punctuation(text)


def test_brackets_belong_to_what_follows() -> None:
    assert is_opening("¿")
    assert is_opening("“(")
    assert not is_opening(")")


def test_a_bare_word_has_no_punctuation_around_it() -> None:
    assert [bare(text) for text in ("“Don't!”", "天気。", "U.S.", "50%")] == ["don't", "天気", "u.s", "50%"]


# -- of an utterance --------------------------------------------------------------------------------------------------


def final(text: str, *words: str, at: int = 0) -> list[PlacedWord]:
    passage = Passage(text, len(words))
    return [
        PlacedWord(at + i, at + i + 1, word.lower(), word, 0.9, None, passage=passage) for i, word in enumerate(words)
    ]


ONE = final("Costs $50 — now.", "Costs", "50", "now.")
OTHER = final("Or never.", "Or", "never.", at=10)


def test_a_complete_final_keeps_the_servers_own_text() -> None:
    assert text_of(ONE) == "Costs $50 — now."
    assert text_of(ONE + OTHER) == "Costs $50 — now. Or never."
    assert (
        text_of(final("今日はいい", "今日", "は", "いい") + final("天気です。", "天気", "です。"))
        == "今日はいい天気です。"
    )


def test_a_part_of_a_final_is_joined_word_by_word() -> None:
    assert text_of(ONE[1:] + OTHER) == "50 now. Or never."


def test_finals_with_the_same_text_stay_separate() -> None:
    assert text_of(final("No!", "no") + final("No!", "no")) == "No! No!"


def test_late_punctuation_is_part_of_both_the_word_and_the_text() -> None:
    draft = Draft(0, 0, 100, words=final("turn it off", "turn", "it", "off"))
    draft.append_punctuation(".")
    draft.append_punctuation(".")
    assert draft.words[-1].text == "off."
    assert text_of(draft.words) == "turn it off."
    assert text_of(draft.words[1:]) == "it off."
