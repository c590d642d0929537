"""The products of the generated shop, and the words it is made of."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from eef_framework.seeds import derive
from eef_webshop.reward import ProductType

CATEGORIES: Final = ("lamp", "chair", "shirt", "mug", "bag", "rug", "clock", "towel", "pillow", "hat")
STYLES: Final = ("soft", "modern", "light", "round", "classic", "bright")
"""Visible attributes: one is in each product's title, and so in the result pages and in the search index."""
FEATURES: Final = ("washable", "waterproof", "handmade", "recycled", "durable", "foldable")
"""Hidden attributes: only the product's own page tells them."""
COLORS: Final = ("red", "blue", "green", "black", "white", "pink", "brown", "gold")
SIZES: Final = ("small", "medium", "large", "huge")
PRICES: Final = (10, 20, 30, 40)
"""Prices in dollars, and the price limits of goals."""

FEATURES_PER_PRODUCT: Final = 3
COLORS_PER_PRODUCT: Final = 4


@dataclass(frozen=True, slots=True)
class Product:
    """Something to buy. It comes in all sizes."""

    asin: str
    """Its ten-character number, as on the pages of `text` mode."""
    category: str
    style: str
    features: tuple[str, ...]
    colors: tuple[str, ...]
    price: int
    """In dollars."""
    popularity: float
    """In [0, 1): what the shop ranks by beside the match with the query."""

    @property
    def title(self) -> str:
        """The title, as shown in result pages."""
        return f"{self.style} {self.category}"

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes."""
        return (self.style, *self.features)


def generate(count: int, seed: int) -> tuple[Product, ...]:
    """Return the products of a catalogue, spread evenly over the categories.

    Args:
        count: how many.
        seed: the same seed gives the same catalogue; a larger one begins with the products of a smaller one.
    """
    return tuple(_product(index, random.Random(derive(seed, "product", index))) for index in range(count))


def product_type(category: str) -> ProductType:
    """Return the type of the products of a category, as the reward compares it."""
    return ProductType(category, frozenset({"shop", category}), frozenset({category}))


def _product(index: int, rng: random.Random) -> Product:
    return Product(
        asin="B0" + "".join(rng.choices("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", k=8)),
        category=CATEGORIES[index % len(CATEGORIES)],
        style=rng.choice(STYLES),
        features=_some(FEATURES, FEATURES_PER_PRODUCT, rng),
        colors=_some(COLORS, COLORS_PER_PRODUCT, rng),
        price=rng.choice(PRICES),
        popularity=rng.random(),
    )


def _some(words: tuple[str, ...], count: int, rng: random.Random) -> tuple[str, ...]:
    """Return some of the words, in the order of the vocabulary."""
    chosen = set(rng.sample(words, count))
    return tuple(word for word in words if word in chosen)
