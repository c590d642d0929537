"""The products of the generated shop, and its vocabulary."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from eef_framework.seeds import derive
from eef_webshop.reward import ProductType

CATEGORIES: Final = ("lamp", "chair", "shirt", "mug", "bag", "rug", "clock", "towel", "pillow", "hat")
STYLES: Final = ("soft", "modern", "light", "round", "classic", "bright")
"""Visible attributes: each product's title contains one, so result pages and the search index do, too."""
FEATURES: Final = ("washable", "waterproof", "handmade", "recycled", "durable", "foldable")
"""Hidden attributes: they are shown on the product's own page only."""
COLORS: Final = ("red", "blue", "green", "black", "white", "pink", "brown", "gold")
SIZES: Final = ("small", "medium", "large", "huge")
PRICES: Final = (10, 20, 30, 40)
"""Prices in dollars, and the price limits of goals."""

FEATURES_PER_PRODUCT: Final = 3
COLORS_PER_PRODUCT: Final = 4


@dataclass(frozen=True, slots=True)
class Product:
    """A product. It is available in all sizes."""

    asin: str
    """Its ten-character id, as shown in `text` mode."""
    category: str
    """Its category."""
    style: str
    """Its visible attribute."""
    features: tuple[str, ...]
    """Its hidden attributes."""
    colors: tuple[str, ...]
    """The colors in which it is available."""
    price: int
    """Its price in dollars."""
    popularity: float
    """In [0, 1): its influence on the ranking, besides the match with the query."""

    @property
    def title(self) -> str:
        """The title, as shown in result pages."""
        return f"{self.style} {self.category}"

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes."""
        return (self.style, *self.features)


def generate(count: int, seed: int) -> tuple[Product, ...]:
    """Return the products of a catalogue, distributed evenly over the categories.

    Args:
        count: number of products.
        seed: seed of the catalogue. A larger catalogue begins with the products of a smaller one.
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
    """Return randomly chosen words, in the order of the vocabulary."""
    chosen = set(rng.sample(words, count))
    return tuple(word for word in words if word in chosen)
