"""Experts for the real WebShop: one that makes mistakes, and one that knows the right product."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from pydantic import Field

from eef_framework.interfaces import Environment, Session
from eef_framework.rollout import ScriptedExpert
from eef_webshop.reward import has_attribute, is_similar, normalize_color
from eef_webshop.site.environment import WebShop
from eef_webshop.site.scoring import bought, words_of
from eef_webshop.site.session import WebShopSession
from eef_webshop.site.state import BACK, BUY, NEXT, PREV, click

MISTAKES: Final = {"forgets an option": 5, "settles for a near miss": 4, "trusts the title": 3, "gives up paging": 3}
"""Kinds of mistakes, and their relative frequencies."""
NEVER_BUYS: Final = "never buys"
"""A mistake that is made on request only: opens every product, leaves it, and goes on until the episode ends."""
PAGES: Final = 3
"""Number of result pages that the expert reads before it searches again with fewer words."""


class _WebShopExpert(ScriptedExpert):
    """Plays tasks of `WebShop`, in any mode."""

    plays: ClassVar[type[Environment]] = WebShop


class WebShopPerfect(_WebShopExpert):
    """Buys the product that the goal was made from, with the wanted options. For checks only.

    It has privileged information, so its demonstrations must not be used in comparisons. It fails if the product is
    not among the results, if the step limit is too low, and if the reward of even this product is less than 1.
    """

    name: ClassVar[str] = "webshop-perfect"

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Search for the product, go to its result page, choose the options and buy it."""
        assert isinstance(session, WebShopSession)
        target = session.catalogue.index_of(session.goal.asin)
        for options in (True, False):
            yield session.pages.searching(session.goal, True, options)
            if target in session.state.found:
                break
            yield click(BACK)
        else:
            return
        assert target is not None
        while target not in session.state.shown:
            yield click(NEXT)
        yield session.pages.opening(session.state, target)
        yield from _choose(session, "")
        yield click(BUY)


class WebShopShopper(_WebShopExpert):
    """Competent until its first `next >` or `< prev`; after that it mostly makes mistakes.

    It searches for everything that is wanted, opens the most promising title of a page, and buys a product that has
    everything. Otherwise it goes back, turns the page, and finally searches for the type of product alone. So its
    failures begin correctly, and its mistakes come late: it forgets an option, accepts a near miss, trusts a title,
    or buys the best title of the page.
    """

    name: ClassVar[str] = "webshop-shopper"
    continues: ClassVar[bool] = True

    easy_skill: float = Field(default=0.9, ge=0.0, le=1.0)
    """Probability of no mistake before the first `next >` or `< prev`."""
    hard_skill: float = Field(default=0.1, ge=0.0, le=1.0)
    """Probability of no mistake after it."""
    late_mistake: Literal["drawn", "never buys"] = "drawn"
    """The mistake after it: `drawn` at random from four kinds, which by chance may do no harm; or always `never buys`.
    With that and `hard_skill: 0` no success shows how a page is turned or a product is left."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Shop until the episode ends."""
        assert isinstance(session, WebShopSession)
        mistakes = draw.choices(list(MISTAKES), list(MISTAKES.values()), k=2)
        early = "" if draw.random() < self.easy_skill else mistakes[0]
        drawn = mistakes[1] if self.late_mistake == "drawn" else self.late_mistake
        late = "" if draw.random() < self.hard_skill else drawn
        shopping = _Shopping(session)
        while True:
            later = any(step.action in (click(NEXT), click(PREV)) for step in session.steps)
            yield from shopping.next_actions(late if later else early)


@dataclass(frozen=True)
class _Shopping:
    """Chooses actions in one episode, using only what pages show."""

    session: WebShopSession

    def next_actions(self, mistake: str) -> Iterator[str]:
        """Yield the next action, or the actions of the purchase."""
        kind = self.session.state.kind
        if kind == "results":
            yield self._on_results(mistake)
        elif kind == "item":
            yield from self._on_item(mistake)
        else:
            first = all(step.action != click(BACK) for step in self.session.steps)
            yield self.session.pages.searching(self.session.goal, first, first)

    def _on_results(self, mistake: str) -> str:
        state, pages = self.session.state, self.session.pages
        matches = {index: self._matching_words(index) for index in state.shown if index not in state.seen}
        best = max(matches, key=lambda index: matches[index], default=None)
        if best is not None and (matches[best] >= 2 or mistake in ("gives up paging", NEVER_BUYS)):
            return pages.opening(state, best)
        last = (state.number >= PAGES and mistake != NEVER_BUYS) or state.number >= state.pages
        return click(BACK if last else NEXT)

    def _on_item(self, mistake: str) -> Iterator[str]:
        missing = self._missing()
        tolerated = {"settles for a near miss": 1, "trusts the title": 99, "gives up paging": 99}.get(mistake, 0)
        if missing > tolerated or mistake == NEVER_BUYS:
            yield click(PREV)
            return
        yield from _choose(self.session, mistake)
        yield click(BUY)

    def _matching_words(self, index: int) -> int:
        """Return the number of wanted words in a title; 0 if the price is too high."""
        product, goal = self.session.catalogue.product(index), self.session.goal
        wanted = words_of(" ".join((goal.query, *goal.attributes, *goal.values)))
        return len(words_of(product.name) & wanted) if product.pricing[0] <= goal.price_upper else 0

    def _missing(self) -> int:
        """Return the number of attributes and options that the open product lacks; 99 if it is too expensive."""
        product, goal = self.session.product, self.session.goal
        assert product is not None
        if product.pricing[0] > goal.price_upper:
            return 99
        lacking = sum(not has_attribute(bought(product, (), 0.0), attribute) for attribute in goal.attributes)
        return lacking + len(goal.values) - len(_matching(self.session))


def _choose(session: WebShopSession, mistake: str) -> Iterator[str]:
    """Yield the clicks that choose the wanted options, without the last one if an option is forgotten."""
    choices = list(_matching(session).items())
    for name, value in choices[: -1 if mistake == "forgets an option" else None]:
        if (name, value) in session.state.options:
            continue  # chosen before the expert was asked
        action = session.pages.choosing(session.state, session.goal, name, value)
        if action is not None:
            yield action


def _matching(session: WebShopSession) -> dict[str, str]:
    """Return the wanted options of the open product, in the page's order: value by name."""
    product, goal = session.product, session.goal
    assert product is not None
    if isinstance(goal.options, dict):
        wanted = {name: goal.options[name] for name in product.options if name in goal.options}
        return {name: value for name, value in wanted.items() if value in product.options[name]}
    similar = {
        name: next((value for option in goal.options for value in values if _matches(value, option)), None)
        for name, values in product.options.items()
    }
    return {name: value for name, value in similar.items() if value is not None}


def _matches(value: str, option: str) -> bool:
    return is_similar(normalize_color(value), normalize_color(option))
