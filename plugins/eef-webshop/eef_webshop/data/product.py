"""A product of the real WebShop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

DEFAULT_PRICE = 100.0
"""Price in dollars of a product whose record has none (`load_products` of the reference)."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product. Texts are those of the official files unless stated otherwise."""

    asin: str
    """Its id, of at most ten characters."""
    query: str
    """The search phrase with which it was collected; lower case, stripped."""
    category: str
    """Its department, such as `garden`."""
    product_category: str
    """Its category path, such as `Home & Kitchen › Furniture › Tables`."""
    name: str
    """Its title."""
    description: str
    """The full description."""
    bullets: tuple[str, ...]
    """The bullet points of the features page."""
    pricing: tuple[float, ...]
    """In dollars: one price, or both ends of a range."""
    options: dict[str, tuple[str, ...]]
    """Values by name of the option, in the official order; lower case, with ` | ` for `/`."""
    attributes: tuple[str, ...]
    """Attributes that the reward compares with the wanted ones; `("DUMMY_ATTR",)` if the files have none."""
    instruction: str | None
    """The synthetic instruction, or None."""
    instruction_attributes: tuple[str, ...]
    """The attributes that the synthetic instruction asks for."""
    human_instructions: tuple[dict[str, Any], ...]
    """Human instructions: records of `items_human_ins.json`, unchanged."""
    nouns: frozenset[str]
    """The nouns and proper nouns of its name, in lower case; empty where the store was prepared without a tagger."""
    noun_count: int
    """Number of nouns in its name, with repetitions, by which the reference divides the overlap of types."""
    main_image: str
    """URL of its first image, or an empty string."""

    @property
    def price_tag(self) -> str:
        """The price or price range, as shown on pages."""
        return " to ".join(f"${price}" for price in self.pricing)


def search_text(product: Product) -> str:
    """Return the text that is indexed (`convert_product_file_format.py` of the reference), in lower case."""
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
    """Return a product's record in the store: a JSON list."""
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
