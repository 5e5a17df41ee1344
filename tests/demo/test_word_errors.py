"""Word errors, and which words belong to which sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.demo.word_errors import Span, bare, by_sentence, word_errors

words = st.lists(st.sampled_from(["he", "was", "not", "an"]), max_size=6)


def test_words_are_compared_without_capitals_and_punctuation() -> None:
    assert bare("He was not: an «ill-disposed» man's. -") == ("he", "was", "not", "an", "«ill-disposed»", "man's")


@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        ("he was not an ill disposed young man", 0),
        ("he was not an illness those young man", 2),
        ("and he was not an ill disposed young man", 1),
        ("was not ill disposed young man", 2),
        ("was he not an ill disposed young man", 2),  # two that have changed places
    ],
)
def test_a_word_replaced_inserted_or_left_out_is_one_error(heard: str, errors: int) -> None:
    assert word_errors(bare("he was not an ill disposed young man"), bare(heard)) == errors


def test_nothing_heard_is_every_word_wrong_and_words_out_of_nothing_are_errors_too() -> None:
    assert word_errors(["a", "b", "c"], []) == 3
    assert word_errors([], ["a", "b"]) == 2
    assert word_errors([], []) == 0


@given(words, words, words)
def test_it_is_a_distance(a: list[str], b: list[str], c: list[str]) -> None:
    assert word_errors(a, b) == word_errors(b, a)
    assert (word_errors(a, b) == 0) == (a == b)
    assert word_errors(a, c) <= word_errors(a, b) + word_errors(b, c)
    assert abs(len(a) - len(b)) <= word_errors(a, b) <= max(len(a), len(b))


SENTENCES = [(100, 200), (300, 400)]


def test_words_belong_to_the_sentence_that_they_overlap_most() -> None:
    spans = [Span(80, 160, ("one",)), Span(160, 290, ("two",)), Span(190, 390, ("three",))]
    assert by_sentence(SENTENCES, spans) == [("one", "two"), ("three",)]


def test_words_outside_of_all_sentences_count_against_the_nearest() -> None:
    spans = [Span(0, 10, ("before",)), Span(210, 220, ("near",)), Span(280, 290, ("far",)), Span(500, 501, ("after",))]
    assert by_sentence(SENTENCES, spans) == [("before", "near"), ("far", "after")]


def test_words_are_in_the_order_in_which_they_were_said_whatever_the_order_of_the_records() -> None:
    spans = [Span(150, 200, ("three",)), Span(100, 150, ("one", "two"))]
    assert by_sentence(SENTENCES, spans) == [("one", "two", "three"), ()]
