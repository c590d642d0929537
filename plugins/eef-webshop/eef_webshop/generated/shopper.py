"""Experts for the generated shop: one that makes mistakes, and one that makes none."""

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

MISTAKES: Final = {
    "forgets the color": 6,
    "forgets the size": 6,
    "settles for less": 4,
    "starts over": 3,
    "trusts the title": 1,
}
"""Kinds of mistakes, and their relative frequencies."""
CARELESS: Final = ("settles for less", "starts over")
"""Mistakes of a shopper who buys the first product of a page, in the right color if available."""


@dataclass(frozen=True)
class Behavior:
    """The mistakes of a shopper in one episode.

    Attributes:
        early: the mistake before the first `next >` or `< prev`; empty for none.
        late: the mistake after it; empty for none.
    """

    early: str = ""
    late: str = ""

    def next_action(self, session: ShopSession) -> str:
        """Return the next action. Uses only what pages show."""
        late = any(step.action in (NEXT, PREV) for step in session.steps)
        mistake = self.late if late else self.early
        if isinstance(session.page, Results):
            return _on_results(session, session.page, mistake)
        if isinstance(session.page, Item):
            return _on_item(session, session.page, mistake)
        return _search_action(session.goal, mistake)


def _search_action(goal: Goal, mistake: str) -> str:
    words = goal.category if mistake == "starts over" else goal.query
    return f"search[{words}]"


def _on_results(session: ShopSession, page: Results, mistake: str) -> str:
    """Open the first product that looks right and is new; otherwise turn the page, or start again after the last."""
    has_restarted = any(step.action == BACK for step in session.steps)
    if mistake == "starts over" and not has_restarted:
        return BACK
    for place, index in enumerate(page.shown, 1):
        if index not in session.visited and _worth_opening(session.goal, session.products[index], mistake):
            return click(session.pages.label(place, index))
    return NEXT if page.number < page.pages else BACK


def _on_item(session: ShopSession, page: Item, mistake: str) -> str:
    """Choose the options and buy, or leave a product that doesn't meet the goal."""
    goal, product = session.goal, session.products[page.product]
    careless = mistake in CARELESS or mistake == "trusts the title"
    if not careless and not goal.met_by(product):
        return PREV
    if page.color != goal.color and goal.color in product.colors and mistake != "forgets the color":
        return click(goal.color)
    if page.size != goal.size and mistake != "forgets the size" and mistake not in CARELESS:
        return click(goal.size)
    return BUY


def _worth_opening(goal: Goal, product: Product, mistake: str) -> bool:
    """Return whether to open a product, given its line on the result page."""
    if mistake in CARELESS:
        return True
    if mistake == "trusts the title":
        return product.style == goal.style
    return goal.looks_right(product)


class _ShopExpert(ScriptedExpert):
    """Plays tasks of `Shop`."""

    plays: ClassVar[type[Environment]] = Shop
    continues: ClassVar[bool] = True

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Shop until the episode ends."""
        assert isinstance(session, ShopSession)
        behavior = self._behavior(draw)
        while True:
            yield behavior.next_action(session)

    @abstractmethod
    def _behavior(self, rng: random.Random) -> Behavior:
        """Return this expert's behavior in one episode."""


class PerfectShopper(_ShopExpert):
    """Meets every goal: opens the products that look right, page by page, and buys the first that meets the goal."""

    name: ClassVar[str] = "perfect-shopper"

    def _behavior(self, rng: random.Random) -> Behavior:
        return Behavior()


class Shopper(_ShopExpert):
    """Competent until its first `next >` or `< prev`; after that it mostly makes mistakes.

    It acts correctly for a while, so that its failed episodes contain what hard goals need. Its mistakes come late: it
    buys the first product of a page, trusts a title without checking price and details, forgets an option, or starts
    over.
    """

    name: ClassVar[str] = "shopper"

    easy_skill: float = Field(default=0.98, ge=0.0, le=1.0)
    """Probability of no mistake before the first `next >` or `< prev`."""
    hard_skill: float = Field(default=0.035, ge=0.0, le=1.0)
    """Probability of no mistake after it."""

    def _behavior(self, rng: random.Random) -> Behavior:
        early = "" if rng.random() < self.easy_skill else rng.choice(("forgets the color", "forgets the size"))
        late = "" if rng.random() < self.hard_skill else rng.choices(list(MISTAKES), list(MISTAKES.values()))[0]
        return Behavior(early, late)
