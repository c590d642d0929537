"""How pages read in the reference's modes, and what can be clicked on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from eef_framework.records import Observation
from eef_webshop.site.browser import Link, follow, search
from eef_webshop.site.goals import Goal
from eef_webshop.site.sheet import Sheet
from eef_webshop.site.state import BACK, NEXT, PREV, SEARCH, State, can_be_clicked, click, parse

if TYPE_CHECKING:
    from eef_webshop.data.catalogue import Catalogue

REMEMBERED: Final = 4096
"""How many products' pages, and how many lines of results, are kept."""
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
    """Looks of the pages and the meaning of actions. One object serves all sessions of a shop.

    Args:
        catalogue: the products.
        show_attributes: whether product pages have a button for attributes.
    """

    instructions: str = RULES
    """The rules, for the agent's system prompt."""

    def __init__(self, catalogue: Catalogue, show_attributes: bool = False) -> None:
        self.catalogue = catalogue
        self.sheet = lru_cache(maxsize=REMEMBERED)(lambda index: Sheet(catalogue.product(index), show_attributes))

    @abstractmethod
    def observe(self, state: State, goal: Goal, reward: float) -> Observation:
        """Return what the agent sees.

        Args:
            state: where it is.
            goal: what it is to buy.
            reward: what the purchase earned, for the last page.
        """

    def follow(self, state: State, goal: Goal, action: str) -> State | None:
        """Return where an action leads, or None if it isn't understood. Searching works on every page."""
        name, argument = parse(action)
        if argument is None:
            return None
        argument = argument.lower()
        if name == "search":
            return search(self.catalogue, state, argument)
        if name != "click" or argument == "search":
            return None
        links = self.links(state)
        return follow(state, argument, links[argument]) if argument in links else None

    def searching(self, goal: Goal, details: bool, options: bool) -> str:
        """Return the action that searches for the goal's kind of product, if wanted with attributes and options."""
        words = (goal.query, *goal.attributes * details, *goal.values * options)
        return f"{SEARCH.prefix}{' '.join(words)}{SEARCH.suffix}"

    def opening(self, state: State, index: int) -> str:
        """Return the action that opens a product of a page of results."""
        return click(self.sheet(index).product.asin.lower())

    def choosing(self, state: State, goal: Goal, name: str, value: str) -> str | None:
        """Return the action that chooses an option's value on a product's page, or None if there is none."""
        possible = self.sheet(state.product).links.get(value) == name and can_be_clicked(value)
        return click(value) if possible else None

    def links(self, state: State) -> dict[str, Link]:
        """Return what the reference lists as clickable, by its name in lower case."""
        if state.kind == "item":
            return self.sheet(state.product).links
        if state.kind == "tab":
            return {BACK: None, PREV: None}
        if state.kind == "results":
            # Every page of results has a next page, even if it is empty.
            links: dict[str, Link] = dict.fromkeys((BACK, PREV, NEXT) if state.has_prev else (BACK, NEXT))
            return links | {self.sheet(index).product.asin.lower(): index for index in state.shown}
        return {"search": None} if state.kind == "start" else {}
