"""One episode in the generated shop."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from eef_framework.interfaces import Session
from eef_framework.records import Observation, Step, Task
from eef_webshop.generated.catalogue import product_type
from eef_webshop.generated.goals import Goal
from eef_webshop.generated.pages import SEARCH, Item, Page, Receipt, Results, Start
from eef_webshop.reward import Bought, reward

if TYPE_CHECKING:
    from eef_webshop.generated.shop import Shop


class ShopSession(Session):
    """A shopping trip: where the shopper is, and which products were looked at. The shop itself is shared.

    Attributes:
        shop: the environment.
        goal: what to buy.
        page: where the shopper is.
        visited: indices of the products whose pages were opened.
    """

    def __init__(self, shop: Shop, task: Task, goal: Goal) -> None:
        self.shop = shop
        self.goal = goal
        self.page: Page = Start()
        self.visited: frozenset[int] = frozenset()
        self._links = shop.pages.links(self.page)
        super().__init__(shop, task, self._observe())

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        page = self._follow(action)
        if page is not None:
            self._enter(page)
        bought = isinstance(page, Receipt)
        return Step(
            action=action,
            observation=self._observe() if page is not None else self.observation,
            reward=score(self.shop, self.goal, page.item) if isinstance(page, Receipt) else 0.0,
            terminated=bought,
            truncated=not bought and len(self.steps) + 1 >= self.shop.max_steps,
            valid=page is not None,
        )

    def _follow(self, action: str) -> Page | None:
        """Return the page an action leads to, or None if it isn't understood here."""
        if action in self._links:
            return self._links[action]
        if self.observation.free and SEARCH.matches(action):
            query = action[len(SEARCH.prefix) : -len(SEARCH.suffix)]
            return Results(self.shop.engine.search(query))
        return None

    def _enter(self, page: Page) -> None:
        self.page = page
        self._links = self.shop.pages.links(page)
        if isinstance(page, Item):
            self.visited |= {page.product}

    def _observe(self) -> Observation:
        return self.shop.pages.observe(self.page, self._links, self.goal, self.visited)

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        return copy.copy(self)  # the state is never changed in place, only replaced


def score(shop: Shop, goal: Goal, item: Item) -> float:
    """Return the reward for buying a product with the options chosen on its page."""
    product = shop.catalogue[item.product]
    bought = Bought(
        type=product_type(product.category),
        attributes=product.attributes,
        text=product.title,
        options=tuple(option for option in (item.color, item.size) if option),
        price=product.price,
    )
    return reward(bought, goal.wanted)
