"""Lucene's English analyzer: from a text to the terms that the index counts."""

from __future__ import annotations

from functools import lru_cache

from eef_webshop.search.stemmer import stem
from eef_webshop.search.tokens import tokenize

STOP_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of"}
    | {
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    }
)
"""Lucene's English stop words."""

_APOSTROPHES = "'\u2019\uff07"
_WORTH_KEEPING = 40
"""Characters up to which stretches of text are common enough for their terms to be remembered."""


def analyse(text: str) -> list[str]:
    """Return the terms of a text, in order and with repetitions: tokens without `'s`, stop words and endings."""
    terms: list[str] = []
    # No token spans a space, and stretches between spaces repeat: most are looked up.
    for stretch in text.lower().split(" "):
        terms += _remembered(stretch) if len(stretch) <= _WORTH_KEEPING else _terms(stretch)
    return terms


def _terms(stretch: str) -> tuple[str, ...]:
    return tuple(stem(token) for token in map(_without_possessive, tokenize(stretch)) if token not in STOP_WORDS)


_remembered = lru_cache(maxsize=1 << 17)(_terms)


def _without_possessive(token: str) -> str:
    return token[:-2] if len(token) >= 2 and token[-1] == "s" and token[-2] in _APOSTROPHES else token
