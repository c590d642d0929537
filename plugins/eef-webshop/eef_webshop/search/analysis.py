"""Lucene's English analyzer: from a text to the terms that the index counts."""

from __future__ import annotations

from functools import lru_cache

from eef_webshop.search.stemmer import stem
from eef_webshop.search.tokens import tokenize

STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to "
    "was will with".split()
)
"""Lucene's English stop words."""

_APOSTROPHES = "'\u2019\uff07"


def analyse(text: str) -> list[str]:
    """Return the terms of a text, in order and with repetitions: tokens without `'s`, stop words and endings."""
    return [term for term in map(_term, tokenize(text.lower())) if term is not None]


@lru_cache(maxsize=1 << 17)
def _term(token: str) -> str | None:
    if len(token) >= 2 and token[-1] == "s" and token[-2] in _APOSTROPHES:
        token = token[:-2]
    return None if token in STOP_WORDS else stem(token)
