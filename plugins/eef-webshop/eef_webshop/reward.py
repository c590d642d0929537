"""WebShop's reward: how much of what was asked for was bought (Yao et al. 2022, `web_agent_site/engine/goal.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz import fuzz, utils

FUZZY_THRESHOLD = 85
"""Two phrases are the same if their token-set ratio, rounded to a whole number, is above this."""

_COLOR_WORDS: Final = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo caramel
champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream crystal dark denim
eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather indigo ivory ivy khaki
lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom mustard
natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand sapphire seashell silver
skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise violet walnut wheat white wine yellow
"""
_COLORS: Final = tuple(_COLOR_WORDS.split())
"""Words that stand for a whole option, the first one found counting (`web_agent_site/engine/normalize.py`)."""
_BEYOND_ASCII: Final = dict.fromkeys(range(128, 256))
"""Characters that don't count when phrases are compared (`thefuzz.utils`)."""


@dataclass(frozen=True, slots=True)
class ProductType:
    """What kind of thing a product is. Prepared once, as finding the nouns of a name may need a language model."""

    query: str
    """The catalogue's name for the group of products."""
    categories: frozenset[str]
    """The steps of the category path."""
    nouns: frozenset[str]
    """The nouns of the product's name, in lower case."""
    noun_count: int = 0
    """How many nouns the name has, repetitions included; 0 where that is as many as `nouns` holds."""


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


@dataclass(frozen=True, slots=True)
class Score:
    """A reward, and what it comes from."""

    total: float
    """The reward, in [0, 1]."""
    type: TypeMatch
    attributes: int
    """Wanted attributes that were met."""
    options: int
    """Wanted options that were met."""
    price: bool
    """Whether the price is within the limit."""

    def breakdown(self, wanted: Wanted) -> dict[str, float | bool]:
        """Return the parts under the names that the reference gives them; options only where some were wanted."""
        parts = len(wanted.attributes) + len(wanted.options) + 1
        shares: dict[str, float | bool] = {
            "r_type": self.type.factor,
            "r_att": self.attributes / len(wanted.attributes) if wanted.attributes else 0.0,
            "w_att": len(wanted.attributes) / parts,
            "query_match": self.type.query,
            "category_match": self.type.category,
            "title_score": self.type.title,
        }
        if wanted.options:
            shares["r_option"] = self.options / len(wanted.options)
            shares["w_option"] = len(wanted.options) / parts
        return shares | {"r_price": self.price, "w_price": 1 / parts}


@dataclass(frozen=True, slots=True)
class TypeMatch:
    """How alike two kinds of things are."""

    query: bool
    """Whether the catalogue has them in one group."""
    category: bool
    """Whether their category paths share two steps."""
    title: float
    """Share of the wanted product's nouns that the other one's name has, too; 0.2 where it has none."""

    @property
    def factor(self) -> float:
        """1 for the right kind of product, 0.5 for a doubtful one, 0.1 or 0 for another."""
        if self.title == 0.0:
            return 0.0
        if self.title < 0.1:
            return 0.1
        return 1.0 if self.query or self.category or self.title > 0.2 else 0.5


def reward(bought: Bought, wanted: Wanted) -> float:
    """Return r_type * (attribute hits + option hits + price ok) / (attributes + options + 1), in [0, 1]."""
    return score(bought, wanted).total


def score(bought: Bought, wanted: Wanted) -> Score:
    """Return the reward with its parts."""
    attributes = sum(has_attribute(bought, attribute) for attribute in wanted.attributes)
    options = sum(any(same(chosen, option) for chosen in bought.options) for option in wanted.options)
    price = bought.price <= wanted.price_upper
    match = type_match(bought.type, wanted.type)
    # The division comes first: so does the reference's, and the last digit depends on it.
    total = (attributes + options + price) / (len(wanted.attributes) + len(wanted.options) + 1) * match.factor
    return Score(total, match, attributes, options, price)


def type_match(bought: ProductType, wanted: ProductType) -> TypeMatch:
    """Compare two kinds of things."""
    nouns = wanted.noun_count or len(wanted.nouns)
    return TypeMatch(
        query=bought.query == wanted.query,
        category=len(bought.categories & wanted.categories) >= 2,
        title=len(bought.nouns & wanted.nouns) / nouns if nouns else 0.2,
    )


def type_factor(bought: ProductType, wanted: ProductType) -> float:
    """Return r_type: 1 for the right kind of product, 0.5 for a doubtful one, 0.1 or 0 for another."""
    return type_match(bought, wanted).factor


def has_attribute(bought: Bought, attribute: str) -> bool:
    """Return whether a product has a wanted attribute: by its own attributes, or somewhere in its text."""
    return any(same(own, attribute) for own in bought.attributes) or attribute in bought.text


def of_color(option: str | tuple[str, str]) -> str:
    """Return the color word in an option's value, or the value as it is.

    An option may also be a pair of name and value, as the reference's synthetic goals give them. Of a pair, color words
    count only where they are all of the name or value; else the phrase is the pair as Python writes it. So a chosen
    `navy stripes` (`navy`) meets `("color", "navy stripes")`, and a chosen `228black` (`black`) doesn't meet itself.
    """
    found = next((color for color in _COLORS if color in option), None)
    return found if found is not None else str(option)


@lru_cache(maxsize=1 << 16)
def same(phrase: str, other: str) -> bool:
    """Return whether two phrases mean the same: fuzzy, without regard to case, punctuation and word order."""
    ratio = fuzz.token_set_ratio(
        phrase.translate(_BEYOND_ASCII), other.translate(_BEYOND_ASCII), processor=utils.default_process
    )
    return round(ratio) > FUZZY_THRESHOLD
