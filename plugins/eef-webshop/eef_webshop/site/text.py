"""The reference's modes `text` and `text_rich`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from eef_framework.records import Observation
from eef_webshop.site.goals import Goal
from eef_webshop.site.markup import node
from eef_webshop.site.pages import REMEMBERED, Pages
from eef_webshop.site.state import BACK, NEXT, PREV, SEARCH, State, can_be_clicked, click
from eef_webshop.site.writers import Plain, Rich

if TYPE_CHECKING:
    from eef_webshop.data.catalogue import Catalogue


class Line(NamedTuple):
    """A product in a list of results."""

    text: str
    seen: str
    """The same, once the product was opened."""
    action: str
    """The click that opens it; empty where its number can't be spelt in an action."""


class TextPages(Pages):
    """The reference's modes `text` and `text_rich`. The latter marks buttons, and what was clicked.

    Args:
        catalogue: the products.
        show_attributes: whether product pages have a button for attributes.
        rich: whether the mode is `text_rich`.
    """

    def __init__(self, catalogue: Catalogue, show_attributes: bool = False, rich: bool = False) -> None:
        super().__init__(catalogue, show_attributes)
        self._write: type[Plain] | type[Rich] = Rich if rich else Plain
        self._line = lru_cache(maxsize=4 * REMEMBERED)(self._new_line)
        self._item = lru_cache(maxsize=REMEMBERED)(lambda index: self._write.item(self.sheet(index), ""))
        self._tab = lru_cache(maxsize=REMEMBERED)(lambda index, name: self._write.tab(self.sheet(index).tab(name)))

    def observe(self, state: State, goal: Goal, reward: float) -> Observation:
        """Return what the agent sees."""
        write, instruction = self._write, node(goal.instruction)
        if state.kind == "results":
            return self._results(state, instruction)
        if state.kind == "item":
            return self._product(state, instruction)
        if state.kind == "tab":
            text = write.under(instruction, self._tab(state.product, state.tab))
            return Observation(text=text, actions=(click(BACK), click(PREV)))
        if state.kind == "done":
            return Observation(text=write.done(self.sheet(state.product), state, reward), actions=())
        return Observation(text=write.start(instruction), actions=(), free=(SEARCH,))

    def _product(self, state: State, instruction: str) -> Observation:
        sheet, write = self.sheet(state.product), self._write
        if write is Plain or not (state.options or '"' in state.query):  # nothing to be marked
            text = write.under(instruction, self._item(state.product))
        else:
            address = state.address
            text = Rich.clicked(sheet, address) + Rich.under(instruction, Rich.item(sheet, address))
        return Observation(text=text, actions=sheet.actions)

    def _results(self, state: State, instruction: str) -> Observation:
        lines = [(self._line(index), index in state.seen) for index in state.shown]
        buttons = (click(BACK), *[click(PREV)] * state.has_prev, click(NEXT))
        head = self._write.head(state)
        body = self._write.between.join([head, *(line.seen if seen else line.text for line, seen in lines)])
        return Observation(
            text=self._write.under(instruction, body),
            actions=(*buttons, *(line.action for line, _ in lines if line.action)),
        )

    def _new_line(self, index: int) -> Line:
        sheet = self.sheet(index)
        asin = sheet.product.asin.lower()
        action = click(asin) if can_be_clicked(asin) else ""
        return Line(self._write.line(sheet, False), self._write.line(sheet, True), action)
