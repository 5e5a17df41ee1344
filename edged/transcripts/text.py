"""The text of transcripts: what is punctuation, and how each script puts words together. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from edged.model.utterance import PlacedWord

_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf"  # Thai, Lao, Tibetan; Burmese; Khmer; Tai
    "\u3000-\u312f\u31a0-\u9fff\ua000-\ua4cf\uf900-\ufaff\uff00-\uff9f"  # Chinese and Japanese, their punctuation; Yi
    "\U00020000-\U0003ffff]"  # rare Chinese characters
)
"""Characters of scripts that put no spaces between words. Korean does."""

_SPOKEN: Final = frozenset("&%‰@#*/\\§_＆％＠＃＊／")
"""Punctuation to Unicode, words to speakers ("and", "per cent"); stars stand for a word that a filter hides."""


def joined(texts: Iterable[str]) -> str:
    """The texts with spaces between them, except beside a script that has none."""
    whole = ""
    for text in texts:
        spaced = whole and text and not _UNSPACED.match(whole[-1]) and not _UNSPACED.match(text)
        whole += " " + text if spaced else text
    return whole


def is_punctuation(text: str) -> bool:
    """Whether it holds no word."""
    if text[:1].isalnum():  # nearly always
        return False
    return all(unicodedata.category(each)[0] in "PZC" and each not in _SPOKEN for each in text)


def is_opening(text: str) -> bool:
    """Whether it is punctuation that belongs to the word after it: a bracket, a quotation mark."""
    return all(unicodedata.category(each) in ("Ps", "Pi") or each in "¿¡" for each in text)


def bare(text: str) -> str:
    """A word as servers give it beside its punctuated form: lower case, without punctuation around it."""
    start, end = 0, len(text)
    while start < end and is_punctuation(text[start]):
        start += 1
    while start < end and is_punctuation(text[end - 1]):
        end -= 1
    return text[start:end].lower()


def text_of(words: Iterable[PlacedWord]) -> str:
    """In the server's own text where all words of a final are there, else word by word."""
    parts: list[str] = []
    for _, group in groupby(words, key=lambda word: id(word.passage)):
        together = list(group)
        passage = together[0].passage
        whole = passage and passage.words == len(together)
        parts += [passage.text] if passage and whole else [word.text for word in together]
    return joined(parts)
