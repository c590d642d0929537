"""Where clicks and searches lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eef_webshop.site.state import BACK, BUY, NEXT, PREV, TABS, State

if TYPE_CHECKING:
    from eef_webshop.data.catalogue import Catalogue

Link = int | str | None
"""What a click stands for: a product's index, an option's name, or a button (None)."""


def search(catalogue: Catalogue, state: State, query: str) -> State:
    """Return the first page of results; products opened before stay marked."""
    return State("results", query, catalogue.search(query), seen=state.seen)


def follow(state: State, name: str, link: Link) -> State:
    """Return where a click leads.

    Args:
        state: where the shopper is.
        name: what is clicked. Buttons win over options of the same name.
        link: what it stands for.
    """
    if name == BUY:
        return state._replace(kind="done")
    if name == BACK:
        return State()
    place = state.taken_for
    if name == NEXT and place == "results":
        return _results(state, state.number + 1)
    if name == PREV and place in ("results", "item"):
        return _results(state, state.number - (place == "results"))
    if name in TABS:
        return state._replace(kind="tab", tab=name)
    if isinstance(link, int):
        return state._replace(kind="item", product=link, seen=state.seen | {link})
    if isinstance(link, str):
        return state._replace(options=tuple((dict(state.options) | {link: name}).items()))
    return state._replace(kind="item", tab="")


def _results(state: State, number: int) -> State:
    return State("results", state.query, state.found, number, seen=state.seen)
