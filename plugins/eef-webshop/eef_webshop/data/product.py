"""A product of the real WebShop, as the reference shows, searches and scores it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

DEFAULT_PRICE = 100.0
"""Price in dollars of a product whose record gives none (`load_products` of the reference)."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product. Texts are as in the official files, except where a field says otherwise."""

    asin: str
    """Its number: at most ten characters."""
    query: str
    """The search phrase it was found by when the data were collected; lower case, stripped."""
    category: str
    """One of the catalogue's few departments, such as `garden`."""
    product_category: str
    """Its path in the shop, such as `Home & Kitchen › Furniture › Tables`."""
    name: str
    """Its title."""
    description: str
    """The full description."""
    bullets: tuple[str, ...]
    """The bullet points of the features page."""
    pricing: tuple[float, ...]
    """In dollars: one price, or the two ends of a range."""
    options: dict[str, tuple[str, ...]]
    """Values to choose from by name of the option, in the official order; lower case, `/` spelt ` | `."""
    attributes: tuple[str, ...]
    """What the reward compares with the wanted attributes; `("DUMMY_ATTR",)` where the files give none."""
    instruction: str | None
    """The synthetic instruction, or None."""
    instruction_attributes: tuple[str, ...]
    """The attributes that the synthetic instruction asks for."""
    human_instructions: tuple[dict[str, Any], ...]
    """The instructions people wrote for it: records of `items_human_ins.json`, unchanged."""
    nouns: frozenset[str]
    """The nouns and proper nouns of its name, in lower case; empty where the store was prepared without a tagger."""
    noun_count: int
    """How many nouns its name has, repetitions included: what the reference divides the overlap of types by."""
    main_image: str
    """Address of its first image, or an empty string."""

    @property
    def price_tag(self) -> str:
        """The price as shown on pages."""
        return " to ".join(f"${price}" for price in self.pricing)


def search_text(product: Product) -> str:
    """Return the text that searches look at (`convert_product_file_format.py` of the reference), in lower case."""
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    first = product.bullets[0] if product.bullets else ""
    return " ".join((product.name, product.description, first, options)).lower()


_PLAIN = (
    "asin",
    "query",
    "category",
    "product_category",
    "name",
    "description",
    "instruction",
    "noun_count",
    "main_image",
)
_TUPLES = ("bullets", "pricing", "attributes", "instruction_attributes", "human_instructions")


def encode(product: Product) -> bytes:
    """Return the record of a product in the store: a JSON list."""
    fields = [getattr(product, name) for name in (*_PLAIN, *_TUPLES)]
    return json.dumps([*fields, product.options, sorted(product.nouns)], separators=(",", ":")).encode("ascii")


def decode(record: bytes) -> Product:
    """Return the product of a record.

    Raises:
        ValueError: the bytes aren't such a record.
    """
    *fields, options, nouns = json.loads(record)
    plain: dict[str, Any] = dict(zip(_PLAIN, fields[: len(_PLAIN)], strict=True))
    tuples: dict[str, Any] = {name: tuple(value) for name, value in zip(_TUPLES, fields[len(_PLAIN) :], strict=True)}
    options = {name: tuple(values) for name, values in options.items()}
    return Product(**plain, **tuples, options=options, nouns=frozenset(nouns))
