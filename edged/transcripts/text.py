"""The text of transcripts: recognises punctuation, and joins words as each script does. Pure."""

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
"""Characters of scripts that put no spaces between words. Korean puts spaces, so it is not included."""

_SPOKEN: Final = frozenset("&%‰@#*/\\§_＆％＠＃＊／")
"""Characters that Unicode counts as punctuation but people speak as words; stars replace a word that a filter hides."""


def joined(texts: Iterable[str]) -> str:
    """Join texts with spaces, except next to a script that puts no spaces between words."""
    whole = ""
    for text in texts:
        spaced = whole and text and not _UNSPACED.match(whole[-1]) and not _UNSPACED.match(text)
        whole += " " + text if spaced else text
    return whole


def is_punctuation(text: str) -> bool:
    """Return whether a text contains no word."""
    if text[:1].isalnum():  # nearly always
        return False
    return all(unicodedata.category(each)[0] in "PZC" and each not in _SPOKEN for each in text)


def is_opening(text: str) -> bool:
    """Return whether a text is punctuation that belongs to the next word, such as an opening bracket."""
    return all(unicodedata.category(each) in ("Ps", "Pi") or each in "¿¡" for each in text)


def bare(text: str) -> str:
    """Return a word in lower case and without punctuation around it, as servers give it beside its punctuated form."""
    start, end = 0, len(text)
    while start < end and is_punctuation(text[start]):
        start += 1
    while start < end and is_punctuation(text[end - 1]):
        end -= 1
    return text[start:end].lower()


def text_of(words: Iterable[PlacedWord]) -> str:
    """Join words to a text. Where all words of one final result are present, use the server's own text of it."""
    parts: list[str] = []
    for _, group in groupby(words, key=lambda word: id(word.passage)):
        members = list(group)
        passage = members[0].passage
        whole = passage and passage.words == len(members)
        parts += [passage.text] if passage and whole else [word.text for word in members]
    return joined(parts)
