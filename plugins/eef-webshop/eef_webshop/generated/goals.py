"""Goals, their difficulty, and the goals of each split."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from eef_framework.seeds import derive
from eef_webshop.generated.catalogue import CATEGORIES, COLORS, FEATURES, PRICES, SIZES, STYLES, Product, product_type
from eef_webshop.generated.search import PER_PAGE, SearchEngine
from eef_webshop.reward import Wanted

KINDS: Final = ("easy", "paging", "back", "both")
SPLITS: Final = {"train": (0, 4), "dev": (4, 5), "test": (5, 7)}
"""Start and exclusive end of each split in the shuffled list of all goals, in sevenths."""


@dataclass(frozen=True)
class Goal:
    """The product that an instruction asks for."""

    category: str
    """Its category."""
    style: str
    """Its visible attribute."""
    feature: str
    """One of its hidden attributes."""
    color: str
    """The color to choose."""
    size: str
    """The size to choose."""
    price_upper: int
    """Price limit in dollars."""

    @classmethod
    def of(cls, info: dict[str, Any]) -> Goal:
        """Return the goal in plain data that `info` returned.

        Raises:
            TypeError: the data have other keys.
        """
        return cls(**info)

    @property
    def info(self) -> dict[str, Any]:
        """The goal as plain data."""
        return asdict(self)

    @property
    def query(self) -> str:
        """The query that finds the product."""
        return f"{self.category} {self.style}"

    @cached_property
    def instruction(self) -> str:
        """The text of the goal, in WebShop's format."""
        return (
            f"Find me {self.style}, {self.feature} {self.category} with color: {self.color}, and size: {self.size}, "
            f"and price lower than {self.price_upper:.2f} dollars"
        )

    @cached_property
    def wanted(self) -> Wanted:
        """The goal as the reward sees it."""
        return Wanted(
            type=product_type(self.category),
            attributes=(self.style, self.feature),
            options=(self.color, self.size),
            price_upper=self.price_upper,
        )

    def looks_right(self, product: Product) -> bool:
        """Return whether a product meets the goal as far as a result page shows."""
        return product.style == self.style and product.price <= self.price_upper and product.category == self.category

    def met_by(self, product: Product) -> bool:
        """Return whether a product, with the right options, earns the full reward."""
        return self.looks_right(product) and self.feature in product.features and self.color in product.colors


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What a mistake-free shopper has to do to meet a goal."""

    page: int
    """The number of the result page with the first product that meets the goal, from 1."""
    decoys: int
    """Number of earlier products that meet the goal only as far as the result page shows."""

    @property
    def kind(self) -> str:
        """`easy`, `paging`, `back` or `both`."""
        return KINDS[(self.page > 1) + 2 * (self.decoys > 0)]

    @property
    def steps(self) -> int:
        """Number of actions: search, turn pages, open and leave decoys, open the product, choose two options, buy."""
        return 1 + (self.page - 1) + 2 * self.decoys + 1 + 2 + 1


def difficulty(goal: Goal, engine: SearchEngine) -> Difficulty | None:
    """Return the difficulty of a goal, or None if none of the products found meets it."""
    decoys = 0
    for place, index in enumerate(engine.search(goal.query)):
        product = engine.products[index]
        if goal.met_by(product):
            return Difficulty(place // PER_PAGE + 1, decoys)
        decoys += goal.looks_right(product)
    return None


def draw_goals(
    engine: SearchEngine, split: str, seed: int, shares: Mapping[str, float], max_steps: int
) -> Iterator[tuple[Goal, str]]:
    """Yield each goal of a split once, with its kind, until there are no more of any wanted kind.

    Kinds alternate, so that the first n goals have the same distribution for every n.

    Args:
        engine: the shop's search engine.
        split: name of the split, a key of `SPLITS`.
        seed: determines the goals and their order. Splits of the same seed have no goals in common.
        shares: relative share of each kind, as long as there are goals of it. Missing kinds aren't drawn.
        max_steps: goals that need more actions are omitted.
    """
    left = {kind: shares[kind] for kind in KINDS if shares.get(kind)}
    waiting: dict[str, deque[Goal]] = {kind: deque() for kind in KINDS}
    drawn = dict.fromkeys(KINDS, 0)
    candidates = _feasible(engine, _goals_of(split, seed), max_steps)
    while left:
        kind = min(left, key=lambda kind: (drawn[kind] + 1) / left[kind])
        while not waiting[kind] and (found := next(candidates, None)):
            waiting[found[1]].append(found[0])
        if waiting[kind]:
            drawn[kind] += 1
            yield waiting[kind].popleft(), kind
        else:
            del left[kind]


def _goals_of(split: str, seed: int) -> Iterator[Goal]:
    """Return all possible goals of a split, in random order."""
    everything = list(itertools.product(CATEGORIES, STYLES, FEATURES, COLORS, SIZES, PRICES))
    random.Random(derive(seed, "goals")).shuffle(everything)
    first, last = (len(everything) * sevenths // 7 for sevenths in SPLITS[split])
    return (Goal(*words) for words in everything[first:last])


def _feasible(engine: SearchEngine, goals: Iterator[Goal], max_steps: int) -> Iterator[tuple[Goal, str]]:
    for goal in goals:
        found = difficulty(goal, engine)
        if found is not None and found.steps <= max_steps:
            yield goal, found.kind
