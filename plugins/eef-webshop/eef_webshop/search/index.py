"""Searches an index: returns the same results as exhaustive BM25."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from eef_webshop.search.analysis import analyse
from eef_webshop.search.arrays import load
from eef_webshop.search.bm25 import saturation, scores, weight
from eef_webshop.search.topk import Accumulator, TermPostings

Array = np.ndarray[Any, Any]


class Index:
    """A memory-mapped, read-only index. Thread-safe.

    Args:
        folder: the index, as written by `IndexBuilder`.
        precedence: (documents,) int32; documents with equal scores are sorted by it, ascending.

    Raises:
        OSError: a file is missing.
        ValueError: a file isn't an array.
    """

    def __init__(self, folder: Path, precedence: Array) -> None:
        self._precedence = precedence
        self.documents, self._filled, _ = (int(value) for value in load(folder, "statistics"))
        self._starts, self._bounds = load(folder, "term_starts"), load(folder, "term_bounds")
        self._docs, self._codes = load(folder, "posting_docs"), load(folder, "posting_codes")
        words = _Words(load(folder, "word_text"), load(folder, "word_ends"))
        self._saturations = saturation(load(folder, "pairs"), load(folder, "statistics"))
        self._number = lru_cache(maxsize=1 << 14)(partial(_find, words, load(folder, "word_terms")))

    def top(self, query: str, count: int = 50) -> tuple[Array, Array]:
        """Return the best documents for a query.

        Args:
            query: any text; repeated words count more.
            count: maximum number of documents.

        Returns:
            (n,) the documents, best first; (n,) float32, their scores.
        """
        return Accumulator(self.documents, count, self._precedence).best(self.postings(query))

    def scores(self, query: str) -> Array:
        """Return (documents,) float32: the scores of all documents; 0 if no term of the query occurs."""
        total = np.zeros(self.documents)
        for term in self.postings(query):
            total[term.docs] += term.scores()
        return total.astype(np.float32)

    def postings(self, query: str) -> list[TermPostings]:
        """Return the postings of the query's terms that occur in any document."""
        boosts = Counter(analyse(query))
        found = [(self._number(word), boost) for word, boost in boosts.items()]
        return [self._postings(number, boost) for number, boost in found if number is not None]

    def _postings(self, number: int, boost: int) -> TermPostings:
        start, end = int(self._starts[number]), int(self._starts[number + 1])
        term_weight = weight(boost, self._filled, end - start)
        return TermPostings(
            docs=self._docs[start:end],
            codes=self._codes[start:end],
            table=scores(term_weight, self._saturations),
            bound=float(scores(term_weight, self._bounds[number])),
        )


class _Words(Sequence[bytes]):
    """The sorted terms, each read from the memory map on access."""

    def __init__(self, text: Array, ends: Array) -> None:
        self._text, self._ends = memoryview(text.data), ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: Any) -> Any:
        start = self._ends[place - 1] if place else 0
        return bytes(self._text[start : self._ends[place]])


def _find(words: _Words, terms: Array, word: str) -> int | None:
    """Return the number of a word's term, or None."""
    wanted = word.encode("utf-8", "surrogatepass")
    place = bisect_left(words, wanted)
    return int(terms[place]) if place < len(words) and words[place] == wanted else None
