"""The pages of the shop, their links, and their text in both modes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

from eef_framework.records import FreeText, Observation
from eef_webshop.generated.catalogue import SIZES, Product
from eef_webshop.generated.goals import Goal
from eef_webshop.generated.search import PER_PAGE

NEXT: Final = "click[next >]"
PREV: Final = "click[< prev]"
BACK: Final = "click[back to search]"
BUY: Final = "click[buy now]"
SEARCH: Final = FreeText(prefix="search[", suffix="]")


def click(target: str) -> str:
    """Return the action that clicks a target."""
    return f"click[{target}]"


class Start(NamedTuple):
    """The first page, with the search field."""


class Results(NamedTuple):
    """A page of search results."""

    found: tuple[int, ...]
    """Indices of all products found, best first."""
    number: int = 1
    """Number of this page, from 1."""

    @property
    def pages(self) -> int:
        """Number of result pages; one if there are no results."""
        return max(1, -(-len(self.found) // PER_PAGE))

    @property
    def shown(self) -> tuple[int, ...]:
        """The products on this page."""
        return self.found[(self.number - 1) * PER_PAGE : self.number * PER_PAGE]


class Item(NamedTuple):
    """The page of a product."""

    product: int
    """Index of the product."""
    results: Results
    """The page on which it was opened."""
    color: str = ""
    """The chosen color; empty if none."""
    size: str = ""
    """The chosen size; empty if none."""


class Receipt(NamedTuple):
    """The last page, after a purchase."""

    item: Item
    """The page on which the purchase was made."""


Page = Start | Results | Item | Receipt


class Pages(ABC):
    """Links and text of the pages. One object serves all sessions of a shop.

    Args:
        products: the products of the shop.
    """

    instructions: str = ""
    """The rules, for the agent's system prompt."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.products = products

    def links(self, page: Page) -> dict[str, Page]:
        """Return the links of a page: target pages by action."""
        if isinstance(page, Results):
            return self._links_of_results(page)
        if isinstance(page, Item):
            return self._links_of_item(page)
        return {}

    def observe(self, page: Page, links: dict[str, Page], goal: Goal, visited: frozenset[int]) -> Observation:
        """Return the observation of a page.

        Args:
            page: the page.
            links: its links.
            goal: what the agent has to buy.
            visited: the products whose pages were opened.
        """
        free = (SEARCH,) if self._can_search(page) else ()
        return Observation(text=self._text(page, goal, visited), actions=tuple(links), free=free)

    @abstractmethod
    def label(self, place: int, product: int) -> str:
        """Return the target to click to open a product, given its position on the page (from 1) and its index."""

    @abstractmethod
    def _can_search(self, page: Page) -> bool: ...

    @abstractmethod
    def _text(self, page: Page, goal: Goal, visited: frozenset[int]) -> str: ...

    def _links_of_results(self, page: Results) -> dict[str, Page]:
        links: dict[str, Page] = {
            click(self.label(place, product)): Item(product, page) for place, product in enumerate(page.shown, 1)
        }
        if page.number < page.pages:
            links[NEXT] = Results(page.found, page.number + 1)
        if page.number > 1:
            links[PREV] = Results(page.found, page.number - 1)
        links[BACK] = Start()
        return links

    def _links_of_item(self, page: Item) -> dict[str, Page]:
        product, results, color, size = page
        links: dict[str, Page] = {click(c): Item(product, results, c, size) for c in self.products[product].colors}
        links |= {click(s): Item(product, results, color, s) for s in SIZES}
        links[PREV] = results
        links[BACK] = Start()
        links[BUY] = Receipt(page)
        return links


class CompactPages(Pages):
    """About fifty words from a vocabulary of less than a hundred, for models that train on a laptop.

    The words of a product precede the click that opens it, so that a model can find a match and copy what follows.
    """

    def label(self, place: int, product: int) -> str:
        """Return the position on the page."""
        return str(place)

    def _can_search(self, page: Page) -> bool:
        return isinstance(page, Start)

    def _text(self, page: Page, goal: Goal, visited: frozenset[int]) -> str:
        wanted = f"{goal.category} {goal.style} {goal.feature} {goal.color} {goal.size}"
        return f"want {wanted} under {goal.price_upper}\n{self._body(page, visited)}"

    def _body(self, page: Page, visited: frozenset[int]) -> str:
        if isinstance(page, Results):
            lines = [
                f"{self.products[product].style} {self.products[product].price} "
                f"{'seen ' if product in visited else ''}{click(self.label(place, product))}"
                for place, product in enumerate(page.shown, 1)
            ]
            return "\n".join((*lines, f"page {page.number} of {page.pages}"))
        if isinstance(page, Item):
            product = self.products[page.product]
            chosen = " ".join(option for option in (page.color, page.size) if option)
            return (
                f"item {' '.join(product.attributes)} {product.price}\ncolor {' '.join(product.colors)}\n"
                f"chosen {chosen or 'none'}"
            )
        return "bought" if isinstance(page, Receipt) else "search"


class TextPages(Pages):
    """The format of WebShop's mode `text`, for large models."""

    instructions = (
        "You are shopping on a web site. Find and buy the product that the instruction asks for: the right kind, "
        "all attributes, the right options, and a price within the limit.\n"
        "Answer with one action a turn:\n"
        "search[words] searches the shop; words in product titles count.\n"
        "click[name] clicks one of the buttons, products or options of the page, for example click[next >], "
        "click[< prev], click[back to search], click[B0ABCDEFGH] or click[red].\n"
        "Choose the options first, then click[buy now]. This ends the episode; what is not bought earns nothing."
    )

    def label(self, place: int, product: int) -> str:
        """Return the product's number."""
        return self.products[product].asin.lower()

    def _can_search(self, page: Page) -> bool:
        return not isinstance(page, Receipt)

    def _text(self, page: Page, goal: Goal, visited: frozenset[int]) -> str:
        return " [SEP] ".join(("Instruction:", goal.instruction, *self._parts(page)))

    def _parts(self, page: Page) -> tuple[str, ...]:
        if isinstance(page, Results):
            return self._parts_of_results(page)
        if isinstance(page, Item):
            return self._parts_of_item(page)
        return ("Thank you for shopping with us!",) if isinstance(page, Receipt) else ("Search",)

    def _parts_of_results(self, page: Results) -> tuple[str, ...]:
        parts = ["Back to Search", f"Page {page.number} (Total results: {len(page.found)})"]
        parts += ["< Prev"] * (page.number > 1) + ["Next >"] * (page.number < page.pages)
        for index in page.shown:
            product = self.products[index]
            parts += [product.asin, product.title.title(), f"${product.price:.2f}"]
        return tuple(parts)

    def _parts_of_item(self, page: Item) -> tuple[str, ...]:
        product = self.products[page.product]
        chosen = [f"You have clicked {option}." for option in (page.color, page.size) if option]
        options = ("color", *product.colors, "size", *SIZES)
        features = f"Features: {', '.join(product.attributes)}"
        price = f"Price: ${product.price:.2f}"
        return (*chosen, "Back to Search", "< Prev", *options, product.title.title(), price, features, "Buy Now")
