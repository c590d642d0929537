"""A prepared WebShop: products by number or ASIN, and the search."""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.errors import CorruptFile, storage
from eef_webshop.data.manifest import AGAIN, Manifest, read_manifest
from eef_webshop.data.product import Product, decode

if TYPE_CHECKING:
    import numpy as np

    from eef_webshop.search.index import Index

RESULTS = 50
"""Most results of a query (`SEARCH_RETURN_N` of the reference)."""
CACHED_PRODUCTS = 4096
CACHED_RANKINGS = 4096


class Catalogue:
    """Products and search of a store; use `Catalogue.open`.

    Arrays are memory-mapped and records are read where they lie, so that all processes on a host share one copy in the
    system's cache, and memory does not grow with the size of the catalogue. Safe to use from several threads, and after
    a fork; pickled, it becomes its folder's name and is opened anew.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        from eef_webshop.search.arrays import load
        from eef_webshop.search.index import Index

        self.folder, self.manifest = folder, manifest
        self.index: Index = Index(folder / "index", load(folder, "asins_rank"))
        self.pricing: np.ndarray[Any, Any] = load(folder, "pricing")
        """(products, 2) float64: prices in dollars: both ends of a range, or one and NaN."""
        self.instructed: np.ndarray[Any, Any] = load(folder, "instructed")
        """(n,) int32: the products that people wrote instructions for, ascending."""
        self.synthetic: np.ndarray[Any, Any] = load(folder, "synthetic")
        """(n,) int32: the products with a synthetic instruction, ascending."""
        self._ends, self._sorted, self._order = (
            load(folder, "record_ends"),
            load(folder, "asins_sorted"),
            load(folder, "asins_order"),
        )
        self._asins = load(folder, "asins")
        self._records = os.open(folder / "records.bin", os.O_RDONLY)
        self._read = lru_cache(CACHED_PRODUCTS)(self._decode)
        self._rank = lru_cache(CACHED_RANKINGS)(self._ranking)

    @classmethod
    def open(cls, folder: Path | str) -> Catalogue:
        """Open a store.

        Args:
            folder: what `prepare` wrote.

        Raises:
            StoreError: there is none, it is incomplete, or of another version.
            CorruptFile: one of its files is damaged.
        """
        folder = Path(folder).absolute()
        manifest = read_manifest(folder)
        try:
            with storage(folder, "opening"):
                return cls(folder, manifest)
        except (ValueError, EOFError) as cause:
            raise CorruptFile(f"the store {str(folder)!r} is damaged: {cause}", AGAIN) from cause

    def close(self) -> None:
        """Close the file of records; the catalogue is of no use afterwards."""
        if self._records >= 0:
            os.close(self._records)
            self._records = -1

    def __del__(self) -> None:
        if hasattr(self, "_records"):
            self.close()

    def __len__(self) -> int:
        return len(self._ends)

    def __reduce__(self) -> tuple[Any, ...]:
        return Catalogue.open, (self.folder,)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of what the products were made of."""
        return self.manifest.fingerprint

    def product(self, index: int) -> Product:
        """Return a product.

        Args:
            index: its number, from 0, in the order of the official file.

        Raises:
            IndexError: there is no such number.
            CorruptFile: its record is damaged.
        """
        return self._read(index)

    def asin(self, index: int) -> str:
        """Return a product's ASIN, without reading the product."""
        return bytes(self._asins[index]).decode("ascii")

    def index_of(self, asin: str) -> int | None:
        """Return the number of the product with an ASIN, or None."""
        if not asin.isascii() or "\0" in asin:
            return None
        wanted = asin.encode("ascii")
        place = int(self._sorted.searchsorted(wanted))
        found = place < len(self._sorted) and bytes(self._sorted[place]) == wanted
        return int(self._order[place]) if found else None

    def search(self, query: str) -> tuple[int, ...]:
        """Return the numbers of the best products for a query, in the reference's order; 50 at most."""
        return self._rank(query)[0]

    def ranked(self, query: str) -> tuple[tuple[int, float], ...]:
        """Return the same with their scores."""
        return tuple(zip(*self._rank(query), strict=True))

    def _ranking(self, query: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
        docs, scores = self.index.top(query, RESULTS)
        return tuple(docs.tolist()), tuple(untied(scores.tolist()))

    def _decode(self, index: int) -> Product:
        if not 0 <= index < len(self):
            raise IndexError(f"product {index} of a catalogue of {len(self):,}")
        start = int(self._ends[index - 1]) if index else 0
        record = os.pread(self._records, int(self._ends[index]) - start, start)
        try:
            return decode(record)
        except (ValueError, TypeError) as cause:
            raise CorruptFile(f"record {index} of the store {str(self.folder)!r} is damaged: {cause}", AGAIN) from cause


def untied(scores: list[float]) -> list[float]:
    """Return scores as Anserini reports them: rounded to 4 decimals, and of equal ones each 1e-6 below the one before.

    Args:
        scores: in descending order.
    """
    adjusted: list[float] = []
    repeats, last = 0, None
    for score in scores:
        rounded = round(score, 4)
        repeats, last = (repeats + 1 if rounded == last else 0), rounded
        adjusted.append(rounded - 1e-6 * repeats)
    return adjusted
