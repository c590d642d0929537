"""A product as the pages show it, prepared once."""

from __future__ import annotations

from functools import cached_property

from eef_webshop.data.product import Product
from eef_webshop.site.browser import Link
from eef_webshop.site.markup import node
from eef_webshop.site.state import BACK, BUY, PREV, TABS, can_be_clicked, click

RATING = "Rating: N.A."
"""The reference ships no ratings, and no reviews."""


class Sheet:
    """What the pages of one product say. Parts are empty where the reference shows nothing.

    Args:
        product: the product.
        show_attributes: whether its page has a button for its attributes.
    """

    def __init__(self, product: Product, show_attributes: bool = False) -> None:
        self.product = product
        self.name = node(product.name)
        self.tabs = TABS if show_attributes else TABS[:-1]
        """Names of the buttons for the subpages of the product's page."""

    @cached_property
    def options(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Its options: the name, and each value as shown and as written in addresses, in quotation marks."""
        return [
            (node(name), [(shown, f'"{shown}"') for shown in map(node, values) if shown])
            for name, values in self.product.options.items()
        ]

    @cached_property
    def links(self) -> dict[str, Link]:
        """What can be clicked on its page. Where options share a value, the last one has it, as in the reference."""
        links: dict[str, Link] = dict.fromkeys((BACK, PREV, *self.tabs, BUY))
        for name, values in self.product.options.items():
            links |= dict.fromkeys(values, name)
        return links

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """The clicks on its page that are understood."""
        return tuple(click(name) for name in self.links if can_be_clicked(name) and name != "search")

    def tab(self, name: str) -> list[str]:
        """Return the parts of a subpage of the product's page."""
        product = self.product
        if name == "description":
            return [node(product.description)]
        if name == "features":
            return [node(f" {bullet}") for bullet in product.bullets]
        if name == "attributes":
            about = (product.category, product.query, product.product_category)
            return [*(node(f" {attribute}") for attribute in product.attributes), *map(node, about)]
        return []
