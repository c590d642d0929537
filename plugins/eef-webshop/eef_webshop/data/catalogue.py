"""A prepared WebShop: its products, by index or ASIN, and its search engine."""

from __future__ import annotations

import os
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.errors import CorruptFile, storage
from eef_webshop.data.manifest import PREPARE_AGAIN, Manifest, read_manifest
from eef_webshop.data.product import Product, decode
from eef_webshop.data.reading import read_at

if TYPE_CHECKING:
    import numpy as np

    from eef_webshop.search.index import Index

RESULTS = 50
"""Maximum number of results of a query (`SEARCH_RETURN_N` of the reference)."""
CACHED_PRODUCTS = 4096
"""Number of cached products."""
CACHED_RANKINGS = 4096
"""Number of queries with cached results."""
LONGEST_CACHED_QUERY = 1000
"""In characters. Longer queries aren't natural text, and would take too much memory."""


class Catalogue:
    """The products and the search engine of a store. Open it with `Catalogue.open`.

    Arrays are memory-mapped and records are read from disk, so all processes on a host share one copy in the system's
    cache, and memory doesn't grow with the size of the catalogue. Thread-safe, and safe to use after a fork. Pickling
    stores the folder only; unpickling opens it again.

    Args:
        folder: the store.
        manifest: its manifest.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        from eef_webshop.search.arrays import load
        from eef_webshop.search.index import Index

        self.folder, self.manifest = folder, manifest
        self.index: Index = Index(folder / "index", load(folder, "asins_rank"))
        self.pricing: np.ndarray[Any, Any] = load(folder, "pricing")
        """(products, 2) float64: both ends of the price range in dollars, or a price and NaN."""
        self.instructed: np.ndarray[Any, Any] = load(folder, "instructed")
        """(n,) int32: the products with human instructions, ascending."""
        self.synthetic: np.ndarray[Any, Any] = load(folder, "synthetic")
        """(n,) int32: the products with a synthetic instruction, ascending."""
        self._asins, self._sorted = load(folder, "asins"), load(folder, "asins_sorted")
        self._order = load(folder, "asins_order")
        self._records = Records(folder / "records.bin", load(folder, "record_ends"))
        self._read = lru_cache(CACHED_PRODUCTS)(self._records.read)
        self._rank = lru_cache(CACHED_RANKINGS)(partial(_ranking, self.index))

    @classmethod
    def open(cls, folder: Path | str) -> Catalogue:
        """Open a store.

        Args:
            folder: what `prepare` wrote.

        Raises:
            StoreError: there is no store, or it is incomplete or of another version.
            CorruptFile: one of its files is damaged.
        """
        folder = Path(folder).absolute()
        manifest = read_manifest(folder)
        try:
            with storage(folder, "opening"):
                return cls(folder, manifest)
        except (ValueError, EOFError) as cause:
            raise CorruptFile(
                f"the store {str(folder)!r} is damaged: {cause}", PREPARE_AGAIN, code="damaged-store", path=str(folder)
            ) from cause

    def close(self) -> None:
        """Close the file of records. The catalogue can't be used afterwards."""
        self._records.close()

    def __len__(self) -> int:
        return len(self._asins)

    def __reduce__(self) -> tuple[Any, ...]:
        return Catalogue.open, (self.folder,)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the files that the products were made from."""
        return self.manifest.fingerprint

    def product(self, index: int) -> Product:
        """Return a product.

        Args:
            index: its index, from 0, in the order of the official file.

        Raises:
            IndexError: there is no such product.
            CorruptFile: its record is damaged.
        """
        return self._read(index)

    def asin(self, index: int) -> str:
        """Return a product's ASIN, without reading the product."""
        return bytes(self._asins[index]).decode("ascii")

    def index_of(self, asin: str) -> int | None:
        """Return the index of the product with an ASIN, or None."""
        if not asin.isascii() or "\0" in asin:
            return None
        wanted = asin.encode("ascii")
        place = int(self._sorted.searchsorted(wanted))
        found = place < len(self._sorted) and bytes(self._sorted[place]) == wanted
        return int(self._order[place]) if found else None

    def search(self, query: str) -> tuple[int, ...]:
        """Return the indices of the best products for a query, at most 50, in the reference's order."""
        return self._ranked(query)[0]

    def ranked(self, query: str) -> tuple[tuple[int, float], ...]:
        """Return the best products for a query with their scores."""
        return tuple(zip(*self._ranked(query), strict=True))

    def _ranked(self, query: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
        return self._rank(query) if len(query) <= LONGEST_CACHED_QUERY else _ranking(self.index, query)


class Records:
    """The file of products. It is read, not mapped: mapped pages would count as this process's memory.

    Args:
        path: the file.
        ends: (products,) int64, exclusive end of each record in bytes.
    """

    def __init__(self, path: Path, ends: np.ndarray[Any, Any]) -> None:
        self._path, self._ends = path, ends
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self, index: int) -> Product:
        """Return a product, given its index.

        Raises:
            IndexError: there is no such product.
            CorruptFile: its record is damaged.
        """
        if not 0 <= index < len(self._ends):
            raise IndexError(f"product {index} of a catalogue of {len(self._ends):,}")
        start = int(self._ends[index - 1]) if index else 0
        record = read_at(self._file, int(self._ends[index]) - start, start)
        try:
            return decode(record)
        except (ValueError, TypeError) as cause:
            raise CorruptFile(
                f"record {index} of {str(self._path)!r} is damaged: {cause}",
                PREPARE_AGAIN,
                code="damaged-record",
                path=str(self._path),
                record=index,
            ) from cause

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def _ranking(index: Index, query: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    docs, scores = index.top(query, RESULTS)
    return tuple(docs.tolist()), tuple(break_ties(scores.tolist()))


def break_ties(scores: list[float]) -> list[float]:
    """Return scores as Anserini reports them: rounded to 4 decimals, each equal score 1e-6 below the previous one.

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
