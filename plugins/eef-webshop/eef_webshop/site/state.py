"""The state of an episode, and the syntax of actions.

Both follow the reference's `web_agent_text_env.py` and `engine.py` (princeton-nlp/WebShop).
"""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

from eef_framework.records import FreeText

PER_PAGE: Final = 10
"""Number of results on a page of the reference."""
SEARCH: Final = FreeText(prefix="search[", suffix="]")
BACK: Final = "back to search"
NEXT: Final = "next >"
PREV: Final = "< prev"
BUY: Final = "buy now"
TABS: Final = ("description", "features", "reviews", "attributes")
"""Names of the subpages of a product's page."""


class State(NamedTuple):
    """The state of an episode, without its steps. Small and immutable, so that copies are free."""

    kind: Literal["start", "results", "item", "tab", "done"] = "start"
    """The kind of page."""
    query: str = ""
    """The latest search, in lower case."""
    found: tuple[int, ...] = ()
    """Indices of all products found, best first."""
    number: int = 1
    """Number of the result page, from 1."""
    product: int = -1
    """Index of the open product."""
    options: tuple[tuple[str, str], ...] = ()
    """The chosen options: name and value."""
    tab: str = ""
    """The open subpage of the product's page."""
    seen: frozenset[int] = frozenset()
    """Products that were opened since the first page."""
    per_page: int = PER_PAGE
    """Number of results on a page."""

    @property
    def shown(self) -> tuple[int, ...]:
        """The products on this result page."""
        return self.found[(self.number - 1) * self.per_page : self.number * self.per_page]

    @property
    def pages(self) -> int:
        """The number of result pages that have products; 1 if nothing was found."""
        return max(1, -(-len(self.found) // self.per_page))

    @property
    def has_prev(self) -> bool:
        """Whether there is a previous result page."""
        return self.number > 1

    @property
    def address(self) -> str:
        """The end of the page's URL, in which the reference searches for words and options."""
        query = self.query.replace(" ", "+")
        if self.kind == "tab":
            return f"{query}/{self.number}/{self.tab}/{dict(self.options)}"
        return f"{query}/{self.number}/{json.dumps(dict(self.options))}"

    @property
    def reference_kind(self) -> str:
        """The kind of page that the reference identifies for `next >` and `< prev`.

        It searches the URL for names of kinds, and the URL contains the query's words, too.
        """
        if self.kind == "item":
            return "results" if "search_results" in self.address else "item"
        if self.kind == "tab":
            address = self.address
            return "results" if "search_results" in address else "item" if "item_page" in address else "tab"
        return self.kind


def parse(action: str) -> tuple[str, str | None]:
    """Parse `name[argument]` as the reference does: the last `[` with a non-empty argument counts.

    Takes linear time, and considers the first line only.

    Returns:
        Name and argument; the whole action and None if it doesn't have this form.
    """
    line = action.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, max(end - 1, 1))
    if start < 0:
        return action, None
    return line[:start], line[start + 1 : end]


def click(target: str) -> str:
    """Return the action that clicks a target."""
    return f"click[{target}]"


def can_be_clicked(target: str) -> bool:
    """Return whether the action that clicks a target is parsed as that; it isn't if the target contains a `[`."""
    name, argument = parse(click(target))
    return name == "click" and argument is not None and argument.lower() == target
