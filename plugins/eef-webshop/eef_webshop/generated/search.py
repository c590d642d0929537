"""The shop's search engine: which products a query finds, and in which order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from eef_webshop.generated.catalogue import CATEGORIES, STYLES, Product

RESULTS = 50
"""Maximum number of results of a query, as in WebShop."""
PER_PAGE = 10
"""Results on a page, as in WebShop."""
NOISE = 6.0
"""Weight of popularity against one matching word: so large that the requested product is often after page 1."""

_WORD = re.compile(r"[a-z]+")


class SearchEngine:
    """Ranks products by the words of their titles that a query names, plus their popularity.

    Words in no title are ignored. A query that names categories finds products of those only.
    """

    def __init__(self, products: Sequence[Product]) -> None:
        self.products = products
        self._known = frozenset(CATEGORIES) | frozenset(STYLES)
        self._rank = lru_cache(maxsize=4096)(self._ranked)

    def search(self, query: str) -> tuple[int, ...]:
        """Return the indices of the products found, best first."""
        return self._rank(self._known.intersection(_WORD.findall(query.lower())))

    def _ranked(self, words: frozenset[str]) -> tuple[int, ...]:
        categories = words.intersection(CATEGORIES)
        scored = []
        for index, product in enumerate(self.products):
            if categories and product.category not in categories:
                continue
            hits = (product.style in words) + (product.category in words)
            if hits:
                scored.append((-hits - NOISE * product.popularity, index))
        return tuple(index for _, index in sorted(scored)[:RESULTS])
