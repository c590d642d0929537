"""Writes a store: records and arrays.

records.bin     the products, one JSON list after another
record_ends     (N,)    int64       exclusive end of each, in bytes
asins           (N,)    bytes       ASINs by product
asins_sorted    (N,)    bytes       ASINs in order
asins_order     (N,)    int32       the product of each
asins_rank      (N,)    int32       position of each product's ASIN in that order
pricing         (N, 2)  float64     both ends of the price range; NaN for the second of a single price
instructed      (n,)    int32       products with human instructions
synthetic       (n,)    int32       products with a synthetic instruction
index/          see `eef_webshop.search.build`
manifest.json   see `eef_webshop.data.manifest`; written last
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eef_webshop.data.product import Product
from eef_webshop.search.build import Counted, IndexBuilder


class StoreWriter:
    """Collects products in order and writes the store.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "index").mkdir()
        self._index = IndexBuilder(folder / "index")
        self._records = (folder / "records.bin").open("wb")
        self._ends = array("q")
        self._asins: list[bytes] = []
        self._pricing = array("d")
        self._instructed = array("i")
        self._synthetic = array("i")

    def __len__(self) -> int:
        return len(self._asins)

    def add(self, products: Sequence[Product], records: Sequence[bytes], terms: Counted) -> None:
        """Add a batch of products.

        Args:
            products: the products.
            records: their records.
            terms: the terms of their texts.
        """
        for product, record in zip(products, records, strict=True):
            self._register(product)
            self._ends.append(self._records.tell() + len(record))
            self._records.write(record)
        self._index.add(terms)

    def finish(self) -> dict[str, int]:
        """Write the remaining files; return the sizes of all files in bytes, by name."""
        self._records.close()
        asins = np.array(self._asins, dtype="S10")
        order = np.argsort(asins, kind="stable").astype(np.int32)
        self._save("record_ends", np.array(self._ends, dtype=np.int64))
        self._save("asins", asins)
        self._save("asins_sorted", asins[order])
        self._save("asins_order", order)
        self._save("asins_rank", np.argsort(order).astype(np.int32))
        self._save("pricing", np.array(self._pricing, dtype=np.float64).reshape(-1, 2))
        self._save("instructed", np.array(self._instructed, dtype=np.int32))
        self._save("synthetic", np.array(self._synthetic, dtype=np.int32))
        self._index.finish()
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in sorted(files)}

    def close(self) -> None:
        """Close the file of records."""
        self._records.close()

    def _register(self, product: Product) -> None:
        number = len(self._asins)
        self._asins.append(product.asin.encode("ascii"))
        self._pricing.extend((*product.pricing, math.nan)[:2])
        if product.human_instructions:
            self._instructed.append(number)
        if product.instruction is not None:
            self._synthetic.append(number)

    def _save(self, name: str, values: np.ndarray[Any, Any]) -> None:
        np.save(self.folder / f"{name}.npy", values)
