"""One episode in the generated shop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

from eef_framework.interfaces import Environment, Session
from eef_framework.records import Observation, Step, Task
from eef_webshop.generated.catalogue import Product, product_type
from eef_webshop.generated.goals import Goal
from eef_webshop.generated.pages import SEARCH, Item, Page, Pages, Receipt, Results, Start
from eef_webshop.generated.search import SearchEngine
from eef_webshop.reward import Bought
from eef_webshop.reward import reward as shop_reward


class ShopSession(Session):
    """An episode: the current page, and the products whose pages were opened. Everything else is shared.

    Args:
        environment: the environment that opens it.
        task: its task.
        goal: the task's goal.
        pages: the shop's pages.
        engine: the shop's search engine.
        max_steps: maximum episode length, in actions.

    Attributes:
        goal: what to buy.
        pages: the shop's pages.
        page: the current page.
        visited: indices of the products whose pages were opened.
    """

    def __init__(
        self, environment: Environment, task: Task, goal: Goal, pages: Pages, engine: SearchEngine, max_steps: int
    ) -> None:
        self.goal = goal
        self.pages = pages
        self.page: Page = Start()
        self.visited: frozenset[int] = frozenset()
        self._engine, self._max_steps = engine, max_steps
        self._links = pages.links(self.page)
        super().__init__(environment, task, self._observe())

    @property
    def products(self) -> Sequence[Product]:
        """All products of the shop."""
        return self.pages.products

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        page = self._follow(action)
        if page is not None:
            self._enter(page)
        bought = isinstance(page, Receipt)
        reward = purchase_reward(self.goal, page.item, self.products) if isinstance(page, Receipt) else 0.0
        return Step(
            action=action,
            observation=self._observe() if page is not None else self.observation,
            reward=reward,
            terminated=bought,
            truncated=not bought and len(self.steps) + 1 >= self._max_steps,
            valid=page is not None,
        )

    def _follow(self, action: str) -> Page | None:
        """Return the page an action leads to, or None if it isn't understood here."""
        if action in self._links:
            return self._links[action]
        if self.observation.free and SEARCH.matches(action):
            query = action[len(SEARCH.prefix) : -len(SEARCH.suffix)]
            return Results(self._engine.search(query))
        return None

    def _enter(self, page: Page) -> None:
        self.page = page
        self._links = self.pages.links(page)
        if isinstance(page, Item):
            self.visited |= {page.product}

    def _observe(self) -> Observation:
        return self.pages.observe(self.page, self._links, self.goal, self.visited)

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        return copy.copy(self)  # the state is never changed in place, only replaced


def purchase_reward(goal: Goal, item: Item, products: Sequence[Product]) -> float:
    """Return the reward for buying a product.

    Args:
        goal: what was to be bought.
        item: the product's page, with the chosen options.
        products: all products of the shop.
    """
    product = products[item.product]
    bought = Bought(
        type=product_type(product.category),
        attributes=product.attributes,
        text=product.title,
        options=tuple(option for option in (item.color, item.size) if option),
        price=product.price,
    )
    return shop_reward(bought, goal.wanted)
