"""Effects of clicks and searches on the state."""

from __future__ import annotations

from eef_webshop.data.catalogue import Catalogue
from eef_webshop.site.state import BACK, BUY, NEXT, PREV, TABS, State

Link = int | str | None
"""The target of a click: a product's index, an option's name, or None for a button."""


def search(catalogue: Catalogue, state: State, query: str) -> State:
    """Return the first result page of a query. Products that were opened before remain marked."""
    return State("results", query, catalogue.search(query), seen=state.seen, per_page=state.per_page)


def follow(state: State, name: str, link: Link) -> State:
    """Return the state after a click.

    Args:
        state: the state before it.
        name: the name that is clicked. Buttons take precedence over options of the same name.
        link: the target of the click.
    """
    if name == BUY:
        return state._replace(kind="done")
    if name == BACK:
        return State(per_page=state.per_page)
    place = state.reference_kind
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
    return State("results", state.query, state.found, number, seen=state.seen, per_page=state.per_page)
