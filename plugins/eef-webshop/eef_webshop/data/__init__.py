"""The real WebShop's products: the official files, and the store that they are converted to."""

from eef_webshop.data.catalogue import Catalogue
from eef_webshop.data.prepare import Summary, prepare
from eef_webshop.data.product import Product

__all__ = ["Catalogue", "Product", "Summary", "prepare"]
