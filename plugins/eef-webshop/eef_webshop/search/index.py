"""Searching an index: the best documents for a query, exactly as an exhaustive BM25 would rank them."""

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
    """An index on disk. Everything is mapped, nothing is changed: any number of threads may search at once.

    Args:
        folder: what `IndexBuilder` wrote.
        precedence: (documents,) int32; of equally good documents, those with lower numbers come first.

    Raises:
        OSError, ValueError: a file is missing or no array.
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
            query: any text; repeated words count repeatedly.
            count: how many at most.

        Returns:
            (n,) the documents, best first; and (n,) float32, their scores.
        """
        return Accumulator(self.documents, count, self._precedence).best(self.postings(query))

    def scores(self, query: str) -> Array:
        """Return (documents,) float32: the scores of all documents, by plain addition; 0 where no word occurs."""
        total = np.zeros(self.documents)
        for term in self.postings(query):
            total[term.docs] += term.scores()
        return total.astype(np.float32)

    def postings(self, query: str) -> list[TermPostings]:
        """Return the terms of a query that occur in any document."""
        boosts = Counter(analyse(query))
        found = [(self._number(word), boost) for word, boost in boosts.items()]
        return [self._postings(number, boost) for number, boost in found if number is not None]

    def _postings(self, number: int, boost: int) -> TermPostings:
        start, end = int(self._starts[number]), int(self._starts[number + 1])
        heft = weight(boost, self._filled, end - start)
        return TermPostings(
            docs=self._docs[start:end],
            codes=self._codes[start:end],
            table=scores(heft, self._saturations),
            bound=float(scores(heft, self._bounds[number])),
        )


class _Words(Sequence[bytes]):
    """The terms, sorted, each cut from the map when it is looked at."""

    def __init__(self, text: Array, ends: Array) -> None:
        self._text, self._ends = memoryview(text.data), ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: Any) -> Any:
        start = self._ends[place - 1] if place else 0
        return bytes(self._text[start : self._ends[place]])


def _find(words: _Words, terms: Array, word: str) -> int | None:
    """Return a word's term, or None."""
    wanted = word.encode("utf-8", "surrogatepass")
    place = bisect_left(words, wanted)
    return int(terms[place]) if place < len(words) and words[place] == wanted else None
