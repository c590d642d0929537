"""The contents of a product's page."""

from __future__ import annotations

from functools import cached_property

from eef_webshop.data.product import Product
from eef_webshop.site.html_text import as_rendered
from eef_webshop.site.navigation import Link
from eef_webshop.site.state import BACK, BUY, PREV, TABS, can_be_clicked, click

RATING = "Rating: N.A."
"""The reference has no ratings and no reviews."""


class ProductPage:
    """The contents of a product's page and its subpages. Parts are empty if the reference shows nothing.

    Args:
        product: the product.
        show_attributes: whether the page has a button for the attributes.

    Attributes:
        product: the product.
        name: its title, as shown.
        tabs: names of the subpages.
    """

    def __init__(self, product: Product, show_attributes: bool = False) -> None:
        self.product = product
        self.name = as_rendered(product.name)
        self.tabs = TABS if show_attributes else TABS[:-1]

    @cached_property
    def options(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The options: name, and each value as shown and as quoted in URLs."""
        return [
            (as_rendered(name), [(shown, f'"{shown}"') for shown in map(as_rendered, values) if shown])
            for name, values in self.product.options.items()
        ]

    @cached_property
    def links(self) -> dict[str, Link]:
        """The links of the page. If options share a value, it belongs to the last one, as in the reference."""
        links: dict[str, Link] = dict.fromkeys((BACK, PREV, *self.tabs, BUY))
        for name, values in self.product.options.items():
            links |= dict.fromkeys(values, name)
        return links

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """The clicks that are understood on the page."""
        return tuple(click(name) for name in self.links if can_be_clicked(name) and name != "search")

    def tab(self, name: str) -> list[str]:
        """Return the parts of a subpage, given its name."""
        product = self.product
        if name == "description":
            return [as_rendered(product.description)]
        if name == "features":
            return [as_rendered(f" {bullet}") for bullet in product.bullets]
        if name == "attributes":
            about = (product.category, product.query, product.product_category)
            return [*(as_rendered(f" {attribute}") for attribute in product.attributes), *map(as_rendered, about)]
        return []
