"""What tasks ask for, how hard that is, and how goals are drawn."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from eef_framework.seeds import derive
from eef_webshop.generated.catalogue import CATEGORIES, COLORS, FEATURES, PRICES, SIZES, STYLES, Product, product_type
from eef_webshop.generated.search import PER_PAGE, SearchEngine
from eef_webshop.reward import Wanted

KINDS: Final = ("easy", "paging", "back", "both")
SPLITS: Final = {"train": (0, 4), "dev": (4, 5), "test": (5, 7)}
"""Which sevenths of all goals, in random order, a split draws from."""


@dataclass(frozen=True)
class Goal:
    """What an instruction asks for."""

    category: str
    style: str
    feature: str
    color: str
    size: str
    price_upper: int

    @classmethod
    def of(cls, info: dict[str, Any]) -> Goal:
        """Make a goal of what `info` returned.

        Raises:
            TypeError: it isn't that.
        """
        return cls(**info)

    @property
    def info(self) -> dict[str, Any]:
        """The goal as plain data."""
        return asdict(self)

    @property
    def query(self) -> str:
        """The words that a careful shopper searches for."""
        return f"{self.category} {self.style}"

    @cached_property
    def instruction(self) -> str:
        """The goal in WebShop's words."""
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
        """Return whether a product is what is asked for, as far as a result page shows."""
        return product.style == self.style and product.price <= self.price_upper and product.category == self.category

    def met_by(self, product: Product) -> bool:
        """Return whether a product, with the right options, earns the full reward."""
        return self.looks_right(product) and self.feature in product.features and self.color in product.colors


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What a careful shopper goes through to meet a goal."""

    page: int
    """The result page with the first product that meets it, from 1."""
    decoys: int
    """How many products before it look right and are not."""

    @property
    def kind(self) -> str:
        """`easy`, `paging`, `back` or `both`."""
        return KINDS[(self.page > 1) + 2 * (self.decoys > 0)]

    @property
    def steps(self) -> int:
        """Actions: search, page on, open and leave each decoy, open the product, two options, buy."""
        return 1 + (self.page - 1) + 2 * self.decoys + 1 + 2 + 1


def difficulty(goal: Goal, engine: SearchEngine) -> Difficulty | None:
    """Return how hard a goal is with its own query, or None if no product found meets it."""
    decoys = 0
    for place, index in enumerate(engine.search(goal.query)):
        product = engine.products[index]
        if goal.met_by(product):
            return Difficulty(place // PER_PAGE + 1, decoys)
        decoys += goal.looks_right(product)
    return None


def draw_goals(engine: SearchEngine, split: str, seed: int, easy: float, max_steps: int) -> Iterator[tuple[Goal, str]]:
    """Yield goals of a split with their kinds, each once, until none of a wanted kind is left.

    Kinds alternate so that the first n goals have the same mix for every n.

    Args:
        engine: the shop's search engine.
        split: name of the split, a key of `SPLITS`.
        seed: the same seed gives the same goals in the same order, and splits that share none.
        easy: share of easy goals; the other kinds share the rest equally while there are any of each.
        max_steps: goals that take a careful shopper longer are left out.
    """
    shares = {kind: share for kind, share in zip(KINDS, (easy, *[(1 - easy) / 3] * 3), strict=True) if share}
    waiting: dict[str, deque[Goal]] = {kind: deque() for kind in KINDS}
    drawn = dict.fromkeys(KINDS, 0)
    candidates = _feasible(engine, _goals_of(split, seed), max_steps)
    while shares:
        kind = min(shares, key=lambda kind: (drawn[kind] + 1) / shares[kind])
        while not waiting[kind] and (found := next(candidates, None)):
            waiting[found[1]].append(found[0])
        if waiting[kind]:
            drawn[kind] += 1
            yield waiting[kind].popleft(), kind
        else:
            del shares[kind]


def _goals_of(split: str, seed: int) -> Iterator[Goal]:
    """Yield everything that can be asked for in a split, in random order."""
    everything = list(itertools.product(CATEGORIES, STYLES, FEATURES, COLORS, SIZES, PRICES))
    random.Random(derive(seed, "goals")).shuffle(everything)
    first, last = (len(everything) * sevenths // 7 for sevenths in SPLITS[split])
    return (Goal(*words) for words in everything[first:last])


def _feasible(engine: SearchEngine, goals: Iterator[Goal], max_steps: int) -> Iterator[tuple[Goal, str]]:
    for goal in goals:
        found = difficulty(goal, engine)
        if found is not None and found.steps <= max_steps:
            yield goal, found.kind
