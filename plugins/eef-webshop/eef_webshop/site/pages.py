"""Pages of the shop: their text, and the effects of actions on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Final

from eef_framework.records import Observation
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.site.goals import Goal
from eef_webshop.site.navigation import Link, follow, search
from eef_webshop.site.product_page import ProductPage
from eef_webshop.site.state import BACK, NEXT, PREV, SEARCH, State, can_be_clicked, click, parse

CACHE_SIZE: Final = 4096
"""Number of cached product pages."""
RULES: Final = (
    "You are shopping on a web site. Find and buy the product that the instruction asks for: the right kind of thing, "
    "with all attributes, the right options, and a price within the limit.\n"
    "Answer with one action a turn:\n"
    "search[words] searches the shop.\n"
    "click[name] clicks a button, a product or an option of the page, for example click[next >], click[< prev], "
    "click[back to search], click[description], click[B09ABCDEFG] or click[red].\n"
    "Choose the options first, then click[buy now]. This ends the episode; what is not bought earns nothing."
)


class Pages(ABC):
    """Text of the pages, and effects of actions. One object serves all sessions of a shop.

    Args:
        catalogue: the products.
        show_attributes: whether product pages have a button for attributes.
    """

    instructions: str = RULES
    """The rules, for the agent's system prompt."""

    def __init__(self, catalogue: Catalogue, show_attributes: bool = False) -> None:
        self.catalogue = catalogue
        self.product_page = lru_cache(maxsize=CACHE_SIZE)(
            lambda index: ProductPage(catalogue.product(index), show_attributes)
        )

    @abstractmethod
    def observe(self, state: State, goal: Goal, reward: float) -> Observation:
        """Return the observation of a state.

        Args:
            state: the state of the episode.
            goal: what the agent has to buy.
            reward: the reward of the purchase, for the last page.
        """

    def follow(self, state: State, goal: Goal, action: str) -> State | None:
        """Return the state after an action, or None if it isn't understood.

        `search[...]` works on every page, also where it isn't listed.
        """
        name, argument = parse(action)
        if argument is None:
            return None
        argument = argument.lower()
        if name == "search":
            return search(self.catalogue, state, argument)
        return self.clicked(state, goal, argument) if name == "click" else None

    def clicked(self, state: State, goal: Goal, target: str) -> State | None:
        """Return the state after a click, or None if there is no such target, in lower case, on the page."""
        if target == "search":
            return None
        links = self.links(state)
        return follow(state, target, links[target]) if target in links else None

    def searching(self, goal: Goal, details: bool, options: bool) -> str:
        """Return the action that searches for the goal's type of product.

        Args:
            goal: the goal.
            details: whether to search for the attributes, too.
            options: whether to search for the options, too.
        """
        words = (goal.query, *goal.attributes * details, *goal.values * options)
        return f"{SEARCH.prefix}{' '.join(words)}{SEARCH.suffix}"

    def opening(self, state: State, index: int) -> str:
        """Return the action that opens a product of a result page.

        Args:
            state: a result page.
            index: the product.
        """
        return click(self.product_page(index).product.asin.lower())

    def choosing(self, state: State, goal: Goal, name: str, value: str) -> str | None:
        """Return the action that chooses a value of an option, or None if there is none.

        Args:
            state: a product's page.
            goal: the goal.
            name: name of the option.
            value: the value.
        """
        possible = self.product_page(state.product).links.get(value) == name and can_be_clicked(value)
        return click(value) if possible else None

    def links(self, state: State) -> dict[str, Link]:
        """Return the links that the reference lists as clickable, by their names in lower case."""
        if state.kind == "item":
            return self.product_page(state.product).links
        if state.kind == "tab":
            return {BACK: None, PREV: None}
        if state.kind == "results":
            # Every result page has a next page, even if that is empty.
            links: dict[str, Link] = dict.fromkeys((BACK, PREV, NEXT) if state.has_prev else (BACK, NEXT))
            return links | {self.product_page(index).product.asin.lower(): index for index in state.shown}
        return {"search": None} if state.kind == "start" else {}
