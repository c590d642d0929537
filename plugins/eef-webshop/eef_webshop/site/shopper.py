"""Experts for the real WebShop: one that fails as people do, and one that knows what to look for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from pydantic import Field

from eef_framework.interfaces import Environment, Session
from eef_framework.rollout import ScriptedExpert
from eef_webshop.reward import has_attribute, of_color, same
from eef_webshop.site.environment import WebShop
from eef_webshop.site.scoring import bought, words_of
from eef_webshop.site.session import WebShopSession
from eef_webshop.site.state import BACK, BUY, NEXT, PER_PAGE, PREV, click

SLIPS: Final = {"forgets an option": 5, "settles for a near miss": 4, "trusts the title": 3, "gives up paging": 3}
"""What a tired shopper does wrong, and how often in fifteen cases."""
PAGES: Final = 3
"""Number of result pages that a shopper looks through before searching again with fewer words."""


class _WebShopExpert(ScriptedExpert):
    """Plays tasks of a `WebShop`, in any of its modes."""

    plays: ClassVar[type[Environment]] = WebShop


class WebShopPerfect(_WebShopExpert):
    """Looks for the product that the goal was made from, chooses the wanted options and buys it. For checks only.

    It has privileged information, so its demonstrations don't belong in comparisons. It fails where the product is
    not among the results, where the steps don't suffice, and where the goal doesn't accept even its own product.
    """

    name: ClassVar[str] = "webshop-perfect"

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Search, page on to the product, choose, buy."""
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
    """Competent until its first `next >` or `< prev`, and then mostly tired.

    It searches for all that is wanted, opens the most promising title of a page, buys what has all of it, and otherwise
    goes back, pages on, and in the end searches for the kind alone. So its failures begin as hard goals have to begin,
    and slip late: an option is forgotten, a near miss or a title has to do, the best title of the page is bought.
    """

    name: ClassVar[str] = "webshop-shopper"

    easy_skill: float = Field(default=0.9, ge=0.0, le=1.0)
    """Chance of making no mistake before the first `next >` or `< prev`."""
    hard_skill: float = Field(default=0.1, ge=0.0, le=1.0)
    """Chance of making no mistake after it."""

    def script(self, session: Session, draw: random.Random) -> Iterator[str]:
        """Shop until the episode ends."""
        assert isinstance(session, WebShopSession)
        slips = draw.choices(list(SLIPS), list(SLIPS.values()), k=2)
        fresh = "" if draw.random() < self.easy_skill else slips[0]
        tired = "" if draw.random() < self.hard_skill else slips[1]
        trip = _Trip(session)
        while True:
            later = any(step.action in (click(NEXT), click(PREV)) for step in session.steps)
            yield from trip.go_on(tired if later else fresh)


@dataclass(frozen=True)
class _Trip:
    """A way through one episode, that looks at nothing but what pages show."""

    session: WebShopSession

    def go_on(self, slip: str) -> Iterator[str]:
        """Yield the next action, or the last few."""
        kind = self.session.state.kind
        if kind == "results":
            yield self._on_results(slip)
        elif kind == "item":
            yield from self._on_item(slip)
        else:
            first = all(step.action != click(BACK) for step in self.session.steps)
            yield self.session.pages.searching(self.session.goal, first, first)

    def _on_results(self, slip: str) -> str:
        state, pages = self.session.state, self.session.pages
        promise = {index: self._promise(index) for index in state.shown if index not in state.seen}
        best = max(promise, key=lambda index: promise[index], default=None)
        if best is not None and (promise[best] >= 2 or slip == "gives up paging"):
            return pages.opening(state, best)
        last = state.number >= PAGES or state.number * PER_PAGE >= len(state.found)
        return click(BACK if last else NEXT)

    def _on_item(self, slip: str) -> Iterator[str]:
        wrong = self._wrong()
        tolerated = {"settles for a near miss": 1, "trusts the title": 99, "gives up paging": 99}.get(slip, 0)
        if wrong > tolerated:
            yield click(PREV)
            return
        yield from _choose(self.session, slip)
        yield click(BUY)

    def _promise(self, index: int) -> int:
        """Return how many words of a title are asked for; none where the price is too high."""
        product, goal = self.session.catalogue.product(index), self.session.goal
        wanted = words_of(" ".join((goal.query, *goal.attributes, *goal.values)))
        return len(words_of(product.name) & wanted) if product.pricing[0] <= goal.price_upper else 0

    def _wrong(self) -> int:
        """Return how many attributes and options the open product lacks; any number if it is too expensive."""
        product, goal = self.session.product, self.session.goal
        assert product is not None
        if product.pricing[0] > goal.price_upper:
            return 99
        lacking = sum(not has_attribute(bought(product, (), 0.0), attribute) for attribute in goal.attributes)
        return lacking + len(goal.values) - len(_matching(self.session))


def _choose(session: WebShopSession, slip: str) -> Iterator[str]:
    """Yield the clicks that choose the wanted options; one less if an option is forgotten."""
    choices = list(_matching(session).items())
    for name, value in choices[: -1 if slip == "forgets an option" else None]:
        action = session.pages.choosing(session.state, session.goal, name, value)
        if action is not None:
            yield action


def _matching(session: WebShopSession) -> dict[str, str]:
    """Return the options of the open product that are wanted, in the page's order: value by name."""
    product, goal = session.product, session.goal
    assert product is not None
    if isinstance(goal.options, dict):
        wanted = {name: goal.options[name] for name in product.options if name in goal.options}
        return {name: value for name, value in wanted.items() if value in product.options[name]}
    alike = {
        name: next((v for wanted in goal.options for v in values if same(of_color(v), of_color(wanted))), None)
        for name, values in product.options.items()
    }
    return {name: value for name, value in alike.items() if value is not None}
