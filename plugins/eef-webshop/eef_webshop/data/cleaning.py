"""Converts official records to products by the rules of the reference (`load_products` in its `engine.py`)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from eef_webshop.data.product import DEFAULT_PRICE, Product

MAX_PRICE = 1_000_000.0
"""Highest plausible price in dollars. A record with a higher price is considered corrupt."""
NO_ATTRIBUTES = ("DUMMY_ATTR",)
"""Attributes that the reference gives to a product without an entry in `items_ins_v2`."""

_REQUIRED = ("asin", "category", "query", "product_category", "name", "full_description")
_NOT_IN_PRICES = re.compile(r"[^\d.]")
_PLAIN_ASIN = re.compile(r"[!-~]+")


class Unusable(Exception):
    """A record that can't be converted to a product.

    Args:
        reason: the reason, in the same words for all records with the same problem.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def clean(record: Any, extras: Mapping[str, Any] | None, human: Sequence[Mapping[str, Any]]) -> Product:
    """Return the product of a record of `items_shuffle*.json`, without the nouns of its name.

    Args:
        record: the decoded record.
        extras: the product's entry in `items_ins_v2*.json`, if it has one.
        human: the product's entries in `items_human_ins.json`.

    Raises:
        Unusable: a key is missing or has an unexpected value.
    """
    _check(record)
    extras = extras if isinstance(extras, Mapping) else {}
    bullets = record["small_description"]
    images = record.get("images")
    instruction = extras.get("instruction")
    return Product(
        asin=record["asin"],
        query=record["query"].lower().strip(),
        category=record["category"],
        product_category=record["product_category"],
        name=record["name"],
        description=record["full_description"],
        bullets=_strings(bullets if isinstance(bullets, list) else [bullets], "small_description"),
        pricing=_pricing(record.get("pricing")),
        options=_options(record.get("customization_options")),
        attributes=_strings(extras.get("attributes", NO_ATTRIBUTES), "attributes"),
        instruction=instruction if isinstance(instruction, str) else None,
        instruction_attributes=_strings(extras.get("instruction_attributes") or (), "instruction_attributes"),
        human_instructions=tuple(dict(entry) for entry in human),
        nouns=frozenset(),
        noun_count=0,
        main_image=images[0] if isinstance(images, list) and images and isinstance(images[0], str) else "",
    )


def _check(record: Any) -> None:
    if not isinstance(record, Mapping):
        raise Unusable("not a JSON object")
    for key in (*_REQUIRED, "small_description"):
        if key not in record:
            raise Unusable(f"key {key!r} is missing")
    for key in _REQUIRED:
        if not isinstance(record[key], str):
            raise Unusable(f"{key!r} isn't a string")
    if not _PLAIN_ASIN.fullmatch(record["asin"]):
        raise Unusable("the ASIN is empty or has characters other than printable ASCII")


def _strings(values: Any, key: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise Unusable(f"{key!r} isn't a list of strings")
    return tuple(values)


def _pricing(given: Any) -> tuple[float, ...]:
    """Parse `$a` or `$a to $b`: every dollar sign begins a price, and the first two are used."""
    if not given:
        return (DEFAULT_PRICE,)
    if not isinstance(given, str):
        raise Unusable("'pricing' isn't a string")
    try:
        prices = [float(Decimal(_NOT_IN_PRICES.sub("", part))) for part in given.split("$")[1:]]
    except InvalidOperation:
        raise Unusable("'pricing' isn't a price") from None
    if not prices:
        raise Unusable("'pricing' isn't a price")
    if not all(math.isfinite(price) and price <= MAX_PRICE for price in prices):
        raise Unusable(f"absurd price: over {MAX_PRICE:,.0f} dollars")
    return tuple(prices[:2])


def _options(given: Any) -> dict[str, tuple[str, ...]]:
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise Unusable("'customization_options' isn't a JSON object")
    return {name.lower(): _values(contents) for name, contents in given.items() if contents is not None}


def _values(contents: Any) -> tuple[str, ...]:
    try:
        return tuple(content["value"].strip().replace("/", " | ").lower() for content in contents)
    except (TypeError, KeyError, AttributeError):
        raise Unusable("an option has no list of values") from None
