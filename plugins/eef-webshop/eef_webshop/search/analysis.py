"""Lucene's English analyzer: converts a text to the terms that are indexed."""

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
_MAX_CACHED_LENGTH = 40
"""Maximum length in characters of strings whose terms are cached; longer ones are rarely repeated."""


def analyse(text: str) -> list[str]:
    """Return the terms of a text, in order and with repetitions: stemmed tokens without `'s`, and no stop words."""
    terms: list[str] = []
    # No token contains a space, and the strings between spaces repeat: most are found in the cache.
    for part in text.lower().split(" "):
        terms += _cached_terms(part) if len(part) <= _MAX_CACHED_LENGTH else _terms(part)
    return terms


def _terms(text: str) -> tuple[str, ...]:
    return tuple(stem(token) for token in map(_without_possessive, tokenize(text)) if token not in STOP_WORDS)


_cached_terms = lru_cache(maxsize=1 << 17)(_terms)


def _without_possessive(token: str) -> str:
    return token[:-2] if len(token) >= 2 and token[-1] == "s" and token[-2] in _APOSTROPHES else token
