"""What tasks ask for, how hard that is, and how goals are drawn."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from eef_framework.records import fingerprint
from eef_framework.seeds import derive
from eef_webshop.catalogue import PRICES, SIZES, Product, product_type
from eef_webshop.reward import Wanted
from eef_webshop.search import PER_PAGE, SearchEngine

KINDS: Final = ("easy", "paging", "back", "both")
HARD: Final = KINDS[1:]
SPLITS: Final = {"train": range(0, 4), "dev": range(4, 5), "test": range(5, 7)}
"""Which sevenths of all goals a split draws from. A goal's fingerprint says which seventh it is in."""


@dataclass(frozen=True)
class Goal:
    """What an instruction asks for."""

    category: str
    visible: tuple[str, ...]
    hidden: tuple[str, ...]
    color: str
    size: str
    price_upper: int

    @classmethod
    def of(cls, info: dict[str, Any]) -> Goal:
        """Rebuild a goal from what `info` made of it."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in info.items()})

    @property
    def info(self) -> dict[str, Any]:
        """The goal as plain data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def query(self) -> str:
        """The words that a careful shopper searches for."""
        return " ".join((self.category, *self.visible))

    @cached_property
    def instruction(self) -> str:
        """The goal in WebShop's words."""
        attributes = ", ".join(self.visible + self.hidden)
        options = f"with color: {self.color}, and size: {self.size}"
        return f"Find me {attributes} {self.category} {options}, and price lower than {self.price_upper:.2f} dollars"

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the goal."""
        return fingerprint(self.instruction)

    @cached_property
    def wanted(self) -> Wanted:
        """The goal as the reward sees it."""
        return Wanted(
            type=product_type(self.category),
            attributes=self.visible + self.hidden,
            options=(self.color, self.size),
            price_upper=self.price_upper,
        )

    def looks_right(self, product: Product) -> bool:
        """Tell whether a product is what is asked for, as far as a result page shows."""
        return (
            product.category == self.category
            and product.price <= self.price_upper
            and set(self.visible) <= set(product.visible)
        )

    def met_by(self, product: Product) -> bool:
        """Tell whether a product, with the right options, earns the full reward."""
        return self.looks_right(product) and set(self.hidden) <= set(product.hidden) and self.color in product.colors


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
    """Yield the goals of a split with their kinds, without end and without repetition.

    Args:
        engine: the shop's search engine.
        split: name of the split, a key of `SPLITS`.
        seed: the same seed gives the same goals in the same order.
        easy: share of easy goals; the other kinds share the rest equally.
        max_steps: goals that take a careful shopper longer are left out.
    """
    rng = random.Random(derive(seed, "goals", split))
    waiting: dict[str, deque[Goal]] = {kind: deque() for kind in KINDS}
    weights = (easy, *[(1 - easy) / len(HARD)] * len(HARD))
    candidates = _candidates(engine, split, rng, max_steps)
    while True:
        (kind,) = rng.choices(KINDS, weights)
        while not waiting[kind]:
            goal, its_kind = next(candidates)
            waiting[its_kind].append(goal)
        yield waiting[kind].popleft(), kind


def _candidates(engine: SearchEngine, split: str, rng: random.Random, max_steps: int) -> Iterator[tuple[Goal, str]]:
    seen = set()
    for _ in itertools.count():
        goal = _goal_for(rng.choice(engine.products), rng)
        if goal in seen or int(goal.fingerprint, 16) % 7 not in SPLITS[split]:
            continue
        seen.add(goal)
        found = difficulty(goal, engine)
        if found is not None and found.steps <= max_steps:
            yield goal, found.kind


def _goal_for(product: Product, rng: random.Random) -> Goal:
    """Return a goal that a product meets."""
    return Goal(
        category=product.category,
        visible=_some(product.visible, rng.randint(1, len(product.visible)), rng),
        hidden=_some(product.hidden, 1, rng),
        color=rng.choice(product.colors),
        size=rng.choice(SIZES),
        price_upper=rng.choice([price for price in PRICES if price >= product.price]),
    )


def _some(words: Sequence[str], count: int, rng: random.Random) -> tuple[str, ...]:
    return tuple(sorted(rng.sample(words, count), key=words.index))
