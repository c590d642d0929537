"""Converts products for the reward, and texts to words."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from eef_webshop.data.product import Product
from eef_webshop.reward import Bought, normalize_color
from eef_webshop.site.goals import product_type

COMMON: Final = frozenset(("a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"))
"""Words without information about a product."""
_WORD = re.compile(r"\w+")


def bought(product: Product, options: tuple[tuple[str, str], ...], price: float) -> Bought:
    """Return a purchase as the reward sees it.

    Args:
        product: the product.
        options: the chosen options, name and value.
        price: its price in dollars.
    """
    text = (product.name, " ".join(product.bullets), product.description)
    return Bought(
        type=product_type(product),
        attributes=product.attributes,
        text="\n".join(text).lower(),
        options=tuple(normalize_color(value) for _, value in options),
        price=price,
    )


def words_in(text: str) -> list[str]:
    """Return all words of a text, in lower case."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=1 << 14)
def words_of(text: str) -> frozenset[str]:
    """Return the distinct words of a text, without common ones."""
    return frozenset(words_in(text)) - COMMON
