"""Experts for the generated shop: one that fails as people do, and one that never does."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from pydantic import Field

from eef_framework.interfaces import Environment, Session
from eef_framework.rollout import ScriptedExpert
from eef_webshop.generated.catalogue import Product
from eef_webshop.generated.goals import Goal
from eef_webshop.generated.pages import BACK, BUY, NEXT, PREV, Item, Results, click
from eef_webshop.generated.session import ShopSession
from eef_webshop.generated.shop import Shop

SLIPS: Final = {
    "forgets the color": 6,
    "forgets the size": 6,
    "settles for less": 4,
    "starts over": 3,
    "trusts the title": 1,
}
"""What a tired shopper does wrong, and how often in twenty cases."""
IN_A_HURRY: Final = ("settles for less", "starts over")
"""Slips of a shopper who buys the first product of the page, in the right color if it comes in that."""


@dataclass(frozen=True)
class Habits:
    """A way of shopping: careful where there is no slip.

    Attributes:
        fresh: the slip before the first `next >` or `< prev`; empty for none.
        tired: the slip from there on; empty for none.
    """

    fresh: str = ""
    tired: str = ""

    def next_action(self, session: ShopSession) -> str:
        """Return what to do now. Looks at nothing that the pages don't show."""
        tired = any(step.action in (NEXT, PREV) for step in session.steps)
        slip = self.tired if tired else self.fresh
        if isinstance(session.page, Results):
            return _on_results(session, session.page, slip)
        if isinstance(session.page, Item):
            return _on_item(session, session.page, slip)
        return _search(session.goal, slip)


def _search(goal: Goal, slip: str) -> str:
    words = goal.category if slip == "starts over" else goal.query
    return f"search[{words}]"


def _on_results(session: ShopSession, page: Results, slip: str) -> str:
    """Open the first product that looks right and wasn't opened before; else page on, at the end start again."""
    began_again = any(step.action == BACK for step in session.steps)
    if slip == "starts over" and not began_again:
        return BACK
    for place, index in enumerate(page.shown, 1):
        if index not in session.visited and _tempting(session.goal, session.products[index], slip):
            return click(session.pages.label(place, index))
    return NEXT if page.number < page.pages else BACK


def _on_item(session: ShopSession, page: Item, slip: str) -> str:
    """Choose the options and buy, or leave a product that is not the right one."""
    goal, product = session.goal, session.products[page.product]
    careless = slip in IN_A_HURRY or slip == "trusts the title"
    if not careless and not goal.met_by(product):
        return PREV
    if page.color != goal.color and goal.color in product.colors and slip != "forgets the color":
        return click(goal.color)
    if page.size != goal.size and slip != "forgets the size" and slip not in IN_A_HURRY:
        return click(goal.size)
    return BUY


def _tempting(goal: Goal, product: Product, slip: str) -> bool:
    """Return whether a product is worth opening, judged by its line in the results."""
    if slip in IN_A_HURRY:
        return True
    if slip == "trusts the title":
        return product.style == goal.style
    return goal.looks_right(product)


class _ShopExpert(ScriptedExpert):
    """Plays tasks of a `Shop` with a habit of its own."""

    plays: ClassVar[type[Environment]] = Shop

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Shop until the episode ends."""
        assert isinstance(session, ShopSession)
        habits = self._habits(draw)
        while True:
            yield habits.next_action(session)

    @abstractmethod
    def _habits(self, rng: random.Random) -> Habits:
        """Return how this expert shops in one episode."""


class PerfectShopper(_ShopExpert):
    """Meets every goal: looks into whatever looks right, page by page, and buys the first product that is."""

    name: ClassVar[str] = "perfect-shopper"

    def _habits(self, rng: random.Random) -> Habits:
        return Habits()


class Shopper(_ShopExpert):
    """Competent until its first `next >` or `< prev`, and then mostly tired.

    It walks on correctly for a while, so that its failed episodes hold what hard goals need, and slips late: settles
    for the first product of the page, trusts a title without a look at the price and the details,
    forgets an option, or loses the thread and searches again.
    """

    name: ClassVar[str] = "shopper"

    easy_skill: float = Field(default=0.98, ge=0.0, le=1.0)
    """Chance of making no mistake before the first `next >` or `< prev`."""
    hard_skill: float = Field(default=0.035, ge=0.0, le=1.0)
    """Chance of making no mistake after it."""

    def _habits(self, rng: random.Random) -> Habits:
        fresh = "" if rng.random() < self.easy_skill else rng.choice(("forgets the color", "forgets the size"))
        tired = "" if rng.random() < self.hard_skill else rng.choices(list(SLIPS), list(SLIPS.values()))[0]
        return Habits(fresh, tired)
