"""One episode in the real WebShop."""

from __future__ import annotations

import copy
from typing import Any, Self

from eef_framework.interfaces import Environment, Session
from eef_framework.records import Step, Task
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.data.product import Product
from eef_webshop.reward import score
from eef_webshop.site.goals import Goal, Goals
from eef_webshop.site.pages import Pages
from eef_webshop.site.scoring import bought
from eef_webshop.site.state import PER_PAGE, State


class WebShopSession(Session):
    """An episode: an immutable state, and the steps that led there. Everything else is shared.

    Args:
        environment: the environment that opens it.
        task: its task.
        goal: the task's goal.
        pages: the shop's pages, and through them its products.
        goals: all goals and prices of the shop.
        max_steps: maximum episode length, in actions; None for no limit.
        per_page: number of results on a page.

    Attributes:
        goal: what to buy.
        pages: the shop's pages.
        state: the kind of page, results, product, chosen options, opened products.
    """

    def __init__(
        self,
        environment: Environment,
        task: Task,
        goal: Goal,
        pages: Pages,
        goals: Goals,
        max_steps: int | None,
        per_page: int = PER_PAGE,
    ) -> None:
        self.goal = goal
        self.pages = pages
        self.state = State(per_page=per_page)
        self._goals, self._max_steps = goals, max_steps
        super().__init__(environment, task, pages.observe(self.state, goal, 0.0))

    @property
    def catalogue(self) -> Catalogue:
        """The products of the shop."""
        return self.pages.catalogue

    @property
    def product(self) -> Product | None:
        """The open product, if any."""
        return self.catalogue.product(self.state.product) if self.state.product >= 0 else None

    @property
    def available(self) -> dict[str, Any]:
        """The available actions, in the format of the reference's `get_available_actions`.

        They include a button `search` without effect, and options that no action can name. `observation.actions` has
        only actions that are understood.
        """
        return {
            "has_search_bar": self.state.kind == "start",
            "clickables": list(self.pages.links(self.state)),
        }

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        truncated = self._max_steps is not None and len(self.steps) + 1 >= self._max_steps
        state = self.pages.follow(self.state, self.goal, action)
        if state is None:
            return Step(action=action, observation=self.observation, truncated=truncated, valid=False)
        self.state = state
        if state.kind == "done":
            return self._buy(action)
        return Step(action=action, observation=self.pages.observe(state, self.goal, 0.0), truncated=truncated)

    def _buy(self, action: str) -> Step:
        earned, parts = self._purchase()
        observation = self.pages.observe(self.state, self.goal, earned)
        return Step(action=action, observation=observation, reward=earned, terminated=True, info={"reward": parts})

    def _purchase(self) -> tuple[float, dict[str, Any]]:
        """Return the reward for buying the open product with the chosen options, and its parts."""
        product = self.catalogue.product(self.state.product)
        wanted = self._goals.wanted(self.goal)
        price = self._goals.price(self.state.product, product)
        result = score(bought(product, self.state.options, price), wanted)
        return result.total, result.breakdown(wanted)

    def duplicate(self) -> Self:
        """Return an independent session in the same state."""
        return copy.copy(self)  # the state is never changed in place, only replaced
