"""The goals of the reference, in its order, with its price limits.

This follows `web_agent_site/engine/goal.py` and `web_agent_text_env.py` (princeton-nlp/WebShop): goals are created in
the order of the products; prices of products with a range, then price limits, are drawn from one generator; goals are
shuffled with seed 233.
"""

from __future__ import annotations

import functools
import itertools
import json
import operator
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.records import fingerprint
from eef_framework.runs import read_whole
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.data.product import Product
from eef_webshop.reward import ProductType, Wanted, normalize_color
from eef_webshop.site.index import GoalIndex, Kind

NO_LIMIT: Final = 1_000_000.0
"""Price limit of goals that name none."""
PRICE_LIMITS: Final = tuple(10.0 * i for i in range(1, 100))
"""Candidates of price limits: two of the first four above the price are drawn, and the higher one is used."""
CACHE_SIZE: Final = 8192
"""Number of cached goals."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal."""

    asin: str
    """The product that it was made from. Other products may meet it, too."""
    category: str
    """Department of that product."""
    query: str
    """Search phrase of that product."""
    name: str
    """Title of that product."""
    product_category: str
    """Category path of that product."""
    instruction: str
    """The text of the goal."""
    attributes: tuple[str, ...]
    """Wanted attributes."""
    price_upper: float
    """Price limit in dollars; `NO_LIMIT` if there is none."""
    options: dict[str, str] | tuple[str, ...]
    """Wanted options: value by name in synthetic goals, only values in human ones."""
    fingerprint: str = field(default="", compare=False)
    """Hash of all other fields."""

    @property
    def values(self) -> tuple[str, ...]:
        """The wanted values of options."""
        return tuple(self.options.values()) if isinstance(self.options, dict) else self.options

    def wanted(self, product: Product) -> Wanted:
        """Return the goal as the reward sees it.

        Args:
            product: the product that it was made from.
        """
        options = self.options.items() if isinstance(self.options, dict) else self.options
        return Wanted(
            type=product_type(product, self.query, self.product_category),
            attributes=self.attributes,
            options=tuple(normalize_color(option) for option in options),
            price_upper=self.price_upper,
        )


def product_type(product: Product, query: str = "", path: str = "") -> ProductType:
    """Return the type of a product, as the reward compares it.

    Args:
        product: the product.
        query: replaces the product's search phrase.
        path: replaces the product's category path.
    """
    categories = frozenset(step.strip() for step in (path or product.product_category).split("›"))
    return ProductType(query or product.query, categories, product.nouns, product.noun_count)


class Goals(Protocol):
    """All goals of a shop, and the prices of its products."""

    def __len__(self) -> int: ...

    def goal(self, index: int) -> Goal:
        """Return a goal, given its index in the reference's order."""
        ...

    def price(self, index: int, product: Product) -> float:
        """Return the price of a product in dollars."""
        ...

    def wanted(self, goal: Goal) -> Wanted:
        """Return a goal as the reward sees it."""
        ...


class DrawnGoals:
    """The goals of a catalogue, created on access.

    Args:
        catalogue: the products.
        kind: `synthetic` or `human`.
        seed: seed of the prices and price limits; 0 in the recordings of the reference.
    """

    def __init__(self, catalogue: Catalogue, kind: Kind, seed: int) -> None:
        self._catalogue, self._kind = catalogue, kind
        self._index = GoalIndex(catalogue, kind)
        self._prices, self._limits = _draw(self._index, random.Random(seed))
        self.goal = lru_cache(maxsize=CACHE_SIZE)(self._new_goal)

    def __len__(self) -> int:
        return len(self._index)

    def price(self, index: int, product: Product) -> float:
        """Return the price of a product in dollars."""
        return self._prices.get(index, product.pricing[0])

    def wanted(self, goal: Goal) -> Wanted:
        """Return a goal as the reward sees it."""
        return goal.wanted(_product_of(self._catalogue, goal))

    def _new_goal(self, index: int) -> Goal:
        source, number = self._index.find(index)
        product = self._catalogue.product(int(self._index.owners[source]))
        if self._kind == "human":
            return with_fingerprint(human_goal(product, int(self._index.records[source]), self._limits[source]))
        return with_fingerprint(synthetic_goal(product, number, self._limits[source]))

    def weights(self) -> list[float]:
        """Return the weight with which the reference draws each goal: rare attributes count more."""
        if self._kind == "human":
            return [1.0] * len(self)
        goals = [self.goal(index).attributes for index in range(len(self))]
        counts = Counter(itertools.chain.from_iterable(goals))
        # Not sum(): from Python 3.12 on its rounding differs from the reference, which adds one after the other.
        return [
            functools.reduce(operator.add, (1.0 / counts[name] for name in goal), 0.0) / len(goal) for goal in goals
        ]


class GivenGoals:
    """Goals from a file: a JSON object with `goals` and `prices` (plain or .gz), in the reference's format.

    Args:
        path: the file.
        catalogue: the products.

    Raises:
        ConfigError: the file can't be read, or has another format.
    """

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        try:
            content = json.loads(read_whole(path))
            self._goals = [_given(record) for record in content["goals"]]
            self._prices = {str(asin): float(price) for asin, price in content.get("prices", {}).items()}
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as cause:
            raise ConfigError(
                f"goals can't be read from {str(path)!r}: {type(cause).__name__}: {cause}",
                'Give a JSON file {"goals": [...], "prices": {ASIN: dollars}} with the goals of the reference.',
                code="no-goals",
                path=str(path),
            ) from cause

    def __len__(self) -> int:
        return len(self._goals)

    def goal(self, index: int) -> Goal:
        """Return a goal, given its index in the file."""
        return self._goals[index]

    def price(self, index: int, product: Product) -> float:
        """Return the price of a product in dollars."""
        return self._prices.get(product.asin, product.pricing[0])

    def wanted(self, goal: Goal) -> Wanted:
        """Return a goal as the reward sees it.

        Raises:
            EnvironmentFailure: the catalogue doesn't have the product that the goal was made from.
        """
        return goal.wanted(_product_of(self._catalogue, goal))


def synthetic_goal(product: Product, number: int, limit: float) -> Goal:
    """Return a synthetic goal of a product: its instruction with one combination of its options.

    Args:
        product: the product.
        number: number of the combination; the value of the last option changes fastest.
        limit: price limit in dollars.
    """
    chosen: dict[str, str] = {}
    for name in sorted(product.options, reverse=True):
        number, place = divmod(number, len(product.options[name]))
        chosen[name] = product.options[name][place]
    chosen = dict(reversed(chosen.items()))
    options = ", and ".join(f"{name}: {value}" for name, value in chosen.items())
    text = f"{product.instruction}{f' with {options}' if options else ''}{_limit_in_words(limit)}"
    return _goal(product, text, product.instruction_attributes, limit, chosen)


def human_goal(product: Product, number: int, limit: float) -> Goal:
    """Return the goal of a human instruction of a product.

    Args:
        product: the product.
        number: number of the instruction.
        limit: price limit in dollars.
    """
    record = product.human_instructions[number]
    text = f"{record.get('instruction', '').strip('.')}{_limit_in_words(limit)}"
    return _goal(product, text, record["instruction_attributes"], limit, tuple(record.get("instruction_options", ())))


def with_fingerprint(goal: Goal) -> Goal:
    """Return a goal with its fingerprint."""
    texts = [goal.asin, goal.category, goal.query, goal.name, goal.product_category, goal.instruction]
    content = json.dumps([*texts, goal.attributes, goal.price_upper, goal.options], sort_keys=True)
    return replace(goal, fingerprint=fingerprint(content))


def _product_of(catalogue: Catalogue, goal: Goal) -> Product:
    index = catalogue.index_of(goal.asin)
    if index is None:
        raise EnvironmentFailure(
            f"the goal {goal.instruction!r} is about product {goal.asin!r}, which this catalogue doesn't have",
            "Give goals that belong to the products.",
            code="goal-without-product",
            asin=goal.asin,
        )
    return catalogue.product(index)


def _goal(
    product: Product, text: str, attributes: Sequence[str], limit: float, options: dict[str, str] | tuple[str, ...]
) -> Goal:
    return Goal(
        asin=product.asin,
        category=product.category,
        query=product.query,
        name=product.name,
        product_category=product.product_category,
        instruction=text,
        attributes=tuple(attributes),
        price_upper=limit,
        options=options,
    )


def _given(record: dict[str, Any]) -> Goal:
    options = record["goal_options"]
    texts = {key: record[key] for key in ("asin", "category", "query", "name", "product_category")}
    goal = Goal(
        **texts,
        instruction=record["instruction_text"],
        attributes=tuple(record["attributes"]),
        price_upper=float(record["price_upper"]),
        options=dict(options) if isinstance(options, dict) else tuple(options),
    )
    return with_fingerprint(goal)


def _limit_in_words(limit: float) -> str:
    return "" if limit == NO_LIMIT else f", and price lower than {limit:.2f} dollars"


def _draw(index: GoalIndex, generator: random.Random) -> tuple[dict[int, float], list[float]]:
    """Return the prices of products that have a range, and the price limits of all sources of goals."""
    low, high = index.pricing[:, 0], index.pricing[:, 1]
    ranges = (high == high).nonzero()[0].tolist()  # NaN, where there is no range, differs from itself
    prices = {product: generator.uniform(float(low[product]), float(high[product])) for product in ranges}
    limits = []
    for owner in index.owners.tolist():
        price = prices.get(owner, float(low[owner]))
        above = [limit for limit in PRICE_LIMITS if limit > price][:4]
        limits.append(max(generator.sample(above, 2)) if len(above) >= 2 else NO_LIMIT)
    return prices, limits
