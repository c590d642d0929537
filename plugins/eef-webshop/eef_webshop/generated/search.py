"""The search engine of the generated shop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from eef_webshop.generated.catalogue import CATEGORIES, STYLES, Product

RESULTS = 50
"""Maximum number of results of a query, as in WebShop."""
PER_PAGE = 10
"""Number of results on a page, as in WebShop."""
POPULARITY_WEIGHT = 6.0
"""Weight of popularity relative to a matching word: so high that the wanted product is often after page 1."""

_WORD = re.compile(r"[a-z]+")


class SearchEngine:
    """Ranks products by the number of matching words in their titles, and by popularity.

    Words that are in no title are ignored. A query with categories finds products of these categories only.

    Args:
        products: the products of the shop.
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
                scored.append((-hits - POPULARITY_WEIGHT * product.popularity, index))
        return tuple(index for _, index in sorted(scored)[:RESULTS])
