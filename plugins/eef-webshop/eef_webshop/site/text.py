"""The reference's modes `text` and `text_rich`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from eef_framework.records import Observation
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.site.goals import Goal
from eef_webshop.site.html_text import as_rendered
from eef_webshop.site.pages import CACHE_SIZE, Pages
from eef_webshop.site.renderers import PlainRenderer, RichRenderer
from eef_webshop.site.state import BACK, NEXT, PREV, SEARCH, State, can_be_clicked, click


class ResultLine(NamedTuple):
    """A product on a result page."""

    text: str
    """Its text while the product hasn't been opened."""
    seen: str
    """Its text after the product was opened."""
    action: str
    """The click that opens it; empty if no action can name its ASIN."""


class TextPages(Pages):
    """The reference's modes `text` and `text_rich`. The latter marks buttons and chosen options.

    Args:
        catalogue: the products.
        show_attributes: whether product pages have a button for attributes.
        rich: whether the mode is `text_rich`.
    """

    def __init__(self, catalogue: Catalogue, show_attributes: bool = False, rich: bool = False) -> None:
        super().__init__(catalogue, show_attributes)
        self._renderer: type[PlainRenderer] | type[RichRenderer] = RichRenderer if rich else PlainRenderer
        self._line = lru_cache(maxsize=4 * CACHE_SIZE)(self._new_line)
        self._item = lru_cache(maxsize=CACHE_SIZE)(lambda index: self._renderer.product(self.product_page(index), ""))
        self._tab = lru_cache(maxsize=CACHE_SIZE)(
            lambda index, name: self._renderer.tab(self.product_page(index).tab(name))
        )

    def observe(self, state: State, goal: Goal, reward: float) -> Observation:
        """Return the observation of a state."""
        renderer, instruction = self._renderer, as_rendered(goal.instruction)
        if state.kind == "results":
            return self._results(state, instruction)
        if state.kind == "item":
            return self._product(state, instruction)
        if state.kind == "tab":
            text = renderer.with_instruction(instruction, self._tab(state.product, state.tab))
            return Observation(text=text, actions=(click(BACK), click(PREV)))
        if state.kind == "done":
            return Observation(text=renderer.receipt(self.product_page(state.product), state, reward), actions=())
        return Observation(text=renderer.start_page(instruction), actions=(), free=(SEARCH,))

    def _product(self, state: State, instruction: str) -> Observation:
        page, renderer = self.product_page(state.product), self._renderer
        if renderer is PlainRenderer or not (state.options or '"' in state.query):  # no option is marked
            text = renderer.with_instruction(instruction, self._item(state.product))
        else:
            address = state.address
            text = RichRenderer.clicked(page, address) + RichRenderer.with_instruction(
                instruction, RichRenderer.product(page, address)
            )
        return Observation(text=text, actions=page.actions)

    def _results(self, state: State, instruction: str) -> Observation:
        lines = [(self._line(index), index in state.seen) for index in state.shown]
        buttons = (click(BACK), *[click(PREV)] * state.has_prev, click(NEXT))
        head = self._renderer.results_header(state)
        body = self._renderer.separator.join([head, *(line.seen if seen else line.text for line, seen in lines)])
        return Observation(
            text=self._renderer.with_instruction(instruction, body),
            actions=(*buttons, *(line.action for line, _ in lines if line.action)),
        )

    def _new_line(self, index: int) -> ResultLine:
        page = self.product_page(index)
        asin = page.product.asin.lower()
        action = click(asin) if can_be_clicked(asin) else ""
        return ResultLine(self._renderer.result(page, False), self._renderer.result(page, True), action)
