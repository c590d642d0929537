"""WebShop's reward: how much of what was asked for was bought (Yao et al. 2022, `web_agent_site/engine/goal.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz, utils

FUZZY_THRESHOLD = 85
"""Two phrases are the same if their token-set ratio, rounded to a whole number, is above this."""


@dataclass(frozen=True, slots=True)
class ProductType:
    """What kind of thing a product is. Prepared once, as finding the nouns of a name may need a language model."""

    query: str
    """The catalogue's name for the group of products."""
    categories: frozenset[str]
    """The steps of the category path."""
    nouns: frozenset[str]
    """The nouns of the product's name, in lower case."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the instruction asks for."""

    type: ProductType
    attributes: tuple[str, ...]
    options: tuple[str, ...]
    """Values of options, such as `red`."""
    price_upper: float


@dataclass(frozen=True, slots=True)
class Bought:
    """What was bought."""

    type: ProductType
    attributes: tuple[str, ...]
    text: str
    """Title, bullet points and description in lower case; attributes are looked up here too."""
    options: tuple[str, ...]
    """The values of the options chosen."""
    price: float


def reward(bought: Bought, wanted: Wanted) -> float:
    """Return r_type * (attribute hits + option hits + price ok) / (attributes + options + 1), in [0, 1]."""
    attributes = sum(_has_attribute(bought, attribute) for attribute in wanted.attributes)
    options = sum(any(same(chosen, option) for chosen in bought.options) for option in wanted.options)
    price = bought.price <= wanted.price_upper
    total = len(wanted.attributes) + len(wanted.options) + 1
    return type_factor(bought.type, wanted.type) * (attributes + options + price) / total


def type_factor(bought: ProductType, wanted: ProductType) -> float:
    """Return r_type: 1 for the right kind of product, 0.5 for a doubtful one, 0.1 or 0 for another."""
    shared = len(bought.nouns & wanted.nouns) / len(wanted.nouns) if wanted.nouns else 0.2
    if shared == 0.0:
        return 0.0
    if shared < 0.1:
        return 0.1
    alike = bought.query == wanted.query or len(bought.categories & wanted.categories) >= 2 or shared > 0.2
    return 1.0 if alike else 0.5


def _has_attribute(bought: Bought, attribute: str) -> bool:
    return any(same(own, attribute) for own in bought.attributes) or attribute in bought.text


@lru_cache(maxsize=1 << 16)
def same(phrase: str, other: str) -> bool:
    """Tell whether two phrases mean the same: fuzzy, without regard to case, punctuation and word order."""
    return round(fuzz.token_set_ratio(phrase, other, processor=utils.default_process)) > FUZZY_THRESHOLD
