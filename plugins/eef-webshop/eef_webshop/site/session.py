"""One episode in the real WebShop."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from eef_framework.interfaces import Session
from eef_framework.records import Step, Task
from eef_webshop.data.product import Product
from eef_webshop.reward import score
from eef_webshop.site.goals import Goal
from eef_webshop.site.scoring import bought
from eef_webshop.site.state import State

if TYPE_CHECKING:
    from eef_webshop.site.environment import WebShop


class WebShopSession(Session):
    """A shopping trip: an immutable state, and the steps that led there. Everything else is shared.

    Attributes:
        shop: the environment.
        goal: what to buy.
        state: where the shopper is: kind of page, results, product, options, products seen.
    """

    def __init__(self, shop: WebShop, task: Task, goal: Goal) -> None:
        self.shop = shop
        self.goal = goal
        self.state = State()
        super().__init__(shop, task, shop.pages.observe(self.state, goal, 0.0))

    @property
    def product(self) -> Product | None:
        """The product that is open, if any."""
        return self.shop.catalogue.product(self.state.product) if self.state.product >= 0 else None

    @property
    def available(self) -> dict[str, Any]:
        """What can be done here, as the reference's `get_available_actions` says it.

        This includes a button `search`, which does nothing when clicked, and options that can't be spelt in an action;
        `observation.actions` lists what is understood.
        """
        return {
            "has_search_bar": self.state.kind == "start",
            "clickables": list(self.shop.pages.links(self.state)),
        }

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        limit = self.shop.max_steps
        truncated = limit is not None and len(self.steps) + 1 >= limit
        state = self.shop.pages.follow(self.state, self.goal, action)
        if state is None:
            return Step(action=action, observation=self.observation, truncated=truncated, valid=False)
        self.state = state
        if state.kind == "done":
            return self._buy(action)
        return Step(action=action, observation=self.shop.pages.observe(state, self.goal, 0.0), truncated=truncated)

    def _buy(self, action: str) -> Step:
        earned, parts = purchase(self.shop, self.goal, self.state)
        observation = self.shop.pages.observe(self.state, self.goal, earned)
        return Step(action=action, observation=observation, reward=earned, terminated=True, info={"reward": parts})

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        return copy.copy(self)  # the state is never changed in place, only replaced


def purchase(shop: WebShop, goal: Goal, state: State) -> tuple[float, dict[str, Any]]:
    """Return what a purchase earns, and the parts of it under the reference's names.

    Args:
        shop: where it is made.
        goal: what was to be bought.
        state: the open product, and the options chosen.
    """
    product = shop.catalogue.product(state.product)
    wanted = shop.book.wanted(goal)
    result = score(bought(product, state.options, shop.book.price(state.product, product)), wanted)
    return result.total, result.breakdown(wanted)
