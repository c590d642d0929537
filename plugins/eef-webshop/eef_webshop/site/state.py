"""Where a shopper is, and how actions are spelt.

Facts are those of the reference's `web_agent_text_env.py` and `engine.py` (princeton-nlp/WebShop).
"""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

from eef_framework.records import FreeText

PER_PAGE: Final = 10
"""Results on a page."""
SEARCH: Final = FreeText(prefix="search[", suffix="]")
BACK: Final = "back to search"
NEXT: Final = "next >"
PREV: Final = "< prev"
BUY: Final = "buy now"
TABS: Final = ("description", "features", "reviews", "attributes")
"""The subpages of a product's page."""


class State(NamedTuple):
    """Everything that an episode changes, except for its steps. Small and immutable, so that copies cost nothing."""

    kind: Literal["start", "results", "item", "tab", "done"] = "start"
    """The kind of page."""
    query: str = ""
    """The latest search, in lower case."""
    found: tuple[int, ...] = ()
    """Indices of all products it found, best first."""
    number: int = 1
    """Of the page of results, from 1."""
    product: int = -1
    """Index of the open product."""
    options: tuple[tuple[str, str], ...] = ()
    """The options chosen: name and value."""
    tab: str = ""
    """The open subpage of the product's page."""
    seen: frozenset[int] = frozenset()
    """Products opened since the first page was left."""

    @property
    def shown(self) -> tuple[int, ...]:
        """The products on this page of results."""
        return self.found[(self.number - 1) * PER_PAGE : self.number * PER_PAGE]

    @property
    def has_prev(self) -> bool:
        """Whether there is a page of results before this one."""
        return self.number > 1

    @property
    def address(self) -> str:
        """The end of the page's address: the reference looks into it for words and for options."""
        query = self.query.replace(" ", "+")
        if self.kind == "tab":
            return f"{query}/{self.number}/{self.tab}/{dict(self.options)}"
        return f"{query}/{self.number}/{json.dumps(dict(self.options))}"

    @property
    def taken_for(self) -> str:
        """The kind of page that the reference takes this one for when it goes on or back.

        It looks for the first of these names in the address, where the words of the query stand, too.
        """
        if self.kind == "item":
            return "results" if "search_results" in self.address else "item"
        if self.kind == "tab":
            address = self.address
            return "results" if "search_results" in address else "item" if "item_page" in address else "tab"
        return self.kind


def parse(action: str) -> tuple[str, str | None]:
    """Split `name[argument]`, as the reference does: the last `[` that something stands in counts.

    Takes linear time, and looks at the first line only.

    Returns:
        Name and argument; the whole action and None where it isn't of this form.
    """
    line = action.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, max(end - 1, 1))
    if start < 0:
        return action, None
    return line[:start], line[start + 1 : end]


def click(target: str) -> str:
    """Return the action that clicks something."""
    return f"click[{target}]"


def can_be_clicked(target: str) -> bool:
    """Return whether the action that clicks it is read as such: a value with a `[` in it, for one, is not."""
    name, argument = parse(click(target))
    return name == "click" and argument is not None and argument.lower() == target
