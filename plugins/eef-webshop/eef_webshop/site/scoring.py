"""What a purchase earns."""

from __future__ import annotations

from eef_webshop.data.product import Product
from eef_webshop.reward import Bought, of_color
from eef_webshop.site.goals import product_type


def bought(product: Product, options: tuple[tuple[str, str], ...], price: float) -> Bought:
    """Return a product as the reward sees it.

    Args:
        product: what is bought.
        options: chosen ones, name and value.
        price: in dollars.
    """
    text = (product.name, " ".join(product.bullets), product.description)
    return Bought(
        type=product_type(product),
        attributes=product.attributes,
        text="\n".join(text).lower(),
        options=tuple(of_color(value) for _, value in options),
        price=price,
    )
