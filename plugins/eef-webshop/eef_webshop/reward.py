"""WebShop's reward: how well a purchase meets a goal (Yao et al. 2022, `web_agent_site/engine/goal.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz import fuzz, utils

FUZZY_THRESHOLD = 85
"""Two phrases are similar if their token-set ratio, rounded to an integer, is above this."""

_COLOR_WORDS: Final = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo caramel
champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream crystal dark denim
eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather indigo ivory ivy khaki
lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom mustard
natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand sapphire seashell silver
skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise violet walnut wheat white wine yellow
"""
_COLORS: Final = tuple(_COLOR_WORDS.split())
"""Words that replace the whole option they occur in; the first one counts (`web_agent_site/engine/normalize.py`)."""
_BEYOND_ASCII: Final = dict.fromkeys(range(128, 256))
"""Characters that are ignored when phrases are compared (`thefuzz.utils`)."""


@dataclass(frozen=True, slots=True)
class ProductType:
    """The type of a product. Prepared once, because finding the nouns of a name may need a language model."""

    query: str
    """The catalogue's name for the group of products."""
    categories: frozenset[str]
    """The steps of the category path."""
    nouns: frozenset[str]
    """The nouns of the product's name, in lower case."""
    noun_count: int = 0
    """Number of nouns in the name, with repetitions; 0 if that is the size of `nouns`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A goal, as the reward sees it."""

    type: ProductType
    """Type of the product that the goal was made from."""
    attributes: tuple[str, ...]
    """Wanted attributes."""
    options: tuple[str, ...]
    """Wanted values of options, such as `red`."""
    price_upper: float
    """Price limit in dollars."""


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase, as the reward sees it."""

    type: ProductType
    """Type of the product."""
    attributes: tuple[str, ...]
    """Attributes of the product."""
    text: str
    """Title, bullet points and description in lower case, in which wanted attributes are also searched."""
    options: tuple[str, ...]
    """Values of the chosen options."""
    price: float
    """Price in dollars."""


@dataclass(frozen=True, slots=True)
class Score:
    """A reward and its parts."""

    total: float
    """The reward, in [0, 1]."""
    type: TypeMatch
    """How well the type of product matches."""
    attributes: int
    """Number of wanted attributes that the purchase has."""
    options: int
    """Number of wanted options that were chosen."""
    price: bool
    """Whether the price is within the limit."""

    def breakdown(self, wanted: Wanted) -> dict[str, float | bool]:
        """Return the parts under the reference's names; options only if the goal has any."""
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
    """Similarity of two types of products."""

    query: bool
    """Whether they are in the same group of the catalogue."""
    category: bool
    """Whether their category paths have two steps in common."""
    title: float
    """Share of the wanted product's nouns that are also in the other product's name; 0.2 if it has no nouns."""

    @property
    def factor(self) -> float:
        """1 for the right type of product, 0.5 for a doubtful one, 0.1 or 0 for a wrong one."""
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
    options = sum(any(is_similar(chosen, option) for chosen in bought.options) for option in wanted.options)
    price = bought.price <= wanted.price_upper
    match = type_match(bought.type, wanted.type)
    # The reference divides first, too; the order affects the last digit.
    total = (attributes + options + price) / (len(wanted.attributes) + len(wanted.options) + 1) * match.factor
    return Score(total, match, attributes, options, price)


def type_match(bought: ProductType, wanted: ProductType) -> TypeMatch:
    """Compare two types of products."""
    nouns = wanted.noun_count or len(wanted.nouns)
    return TypeMatch(
        query=bought.query == wanted.query,
        category=len(bought.categories & wanted.categories) >= 2,
        title=len(bought.nouns & wanted.nouns) / nouns if nouns else 0.2,
    )


def type_factor(bought: ProductType, wanted: ProductType) -> float:
    """Return r_type: 1 for the right type of product, 0.5 for a doubtful one, 0.1 or 0 for a wrong one."""
    return type_match(bought, wanted).factor


def has_attribute(bought: Bought, attribute: str) -> bool:
    """Return whether a product has a wanted attribute, among its attributes or in its text."""
    return any(is_similar(own, attribute) for own in bought.attributes) or attribute in bought.text


def normalize_color(option: str | tuple[str, str]) -> str:
    """Return the first color word in an option's value, or the value itself if it contains none.

    An option may also be a pair of name and value, as in the reference's synthetic goals. In a pair, a color word is
    found only if it is the whole name or value; otherwise the result is the pair's repr. As a consequence, a chosen
    `navy stripes` (`navy`) matches `("color", "navy stripes")`, but a chosen `228black` (`black`) doesn't match itself.
    """
    found = next((color for color in _COLORS if color in option), None)
    return found if found is not None else str(option)


@lru_cache(maxsize=1 << 16)
def is_similar(phrase: str, other: str) -> bool:
    """Return whether two phrases are similar, ignoring case, punctuation and word order."""
    ratio = fuzz.token_set_ratio(
        phrase.translate(_BEYOND_ASCII), other.translate(_BEYOND_ASCII), processor=utils.default_process
    )
    return round(ratio) > FUZZY_THRESHOLD
