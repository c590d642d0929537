"""Finds the best documents of a query without scoring all (MaxScore; Turtle and Flood, "Query evaluation", 1995).

Terms are processed in descending order of the upper bounds of their scores, so rare words come first. When the
remaining terms together can't exceed the k-th best score so far, no further document can be among the best. From then
on only the remaining candidates are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SLACK = 1e-6
"""Relative margin of comparisons with bounds, higher than the rounding errors of single precision."""
LOOKUP_COST = 12
"""Finding a document in the postings costs about as much as adding scores to this many documents."""


@dataclass(frozen=True, slots=True)
class TermPostings:
    """The postings of a query's term."""

    docs: Array
    """(n,) int32: the documents, ascending."""
    codes: Array
    """(n,) index of the pair of frequency and length in each document."""
    table: Array
    """(C,) float32: the term's contribution to a document's score, by that index."""
    bound: float
    """Upper bound of the contributions."""

    def scores(self) -> Array:
        """Return (n,) float32: the term's contribution to the score of each of its documents."""
        return self.table.take(self.codes)


class Accumulator:
    """Accumulates the scores of one query.

    Args:
        documents: number of documents.
        count: number of documents to return.
        precedence: (documents,) int32; documents with equal scores are sorted by it, ascending.
    """

    def __init__(self, documents: int, count: int, precedence: Array) -> None:
        self.count = count
        self._precedence = precedence
        self._scores = np.zeros(documents)
        self._threshold = 0.0

    def best(self, terms: Sequence[TermPostings]) -> tuple[Array, Array]:
        """Return the best documents, best first, and their scores (float32)."""
        terms = sorted(terms, key=lambda term: -term.bound)
        rest = sum(term.bound for term in terms)
        for place, term in enumerate(terms):
            if self._is_complete(rest):
                return self._ordered(self._filtered(terms[place:], rest))
            self._add(term)
            rest -= term.bound
        return self._ordered(np.flatnonzero(self._scores))

    def _is_complete(self, rest: float) -> bool:
        return rest < self._threshold * (1 - SLACK)

    def _add(self, term: TermPostings) -> None:
        """Add a term to the scores of its documents, and raise the threshold."""
        docs = term.docs.astype(np.intp)  # otherwise NumPy would convert it twice below
        scores = self._scores.take(docs)
        scores += term.scores()
        self._scores[docs] = scores
        scores = scores[scores > self._threshold]
        if len(scores) >= self.count:
            self._threshold = float(_kth_largest(scores, self.count))

    def _filtered(self, terms: Sequence[TermPostings], rest: float) -> Array:
        """Add the remaining terms to the scores of the candidates; return the candidates that remain."""
        candidates = np.flatnonzero(self._scores >= self._floor(rest))
        for term in terms:
            if len(candidates) * LOOKUP_COST < len(term.docs):
                self._look_up(candidates, term)
            else:
                self._add(term)
            rest -= term.bound
            scores = self._scores[candidates]
            self._threshold = max(self._threshold, float(_kth_largest(scores, self.count)))
            candidates = candidates[scores >= self._floor(rest)]
        return candidates

    def _floor(self, rest: float) -> float:
        """Return the score below which a document can't be among the best."""
        return (self._threshold - rest) * (1 - SLACK) - SLACK

    def _look_up(self, candidates: Array, term: TermPostings) -> None:
        places = np.searchsorted(term.docs, candidates.astype(term.docs.dtype))
        places[places == len(term.docs)] = 0
        hit = term.docs[places] == candidates
        self._scores[candidates[hit]] += term.table[term.codes[places[hit]]]

    def _ordered(self, docs: Array) -> tuple[Array, Array]:
        """Return the best of some documents, given in ascending order."""
        scores = self._scores[docs].astype(np.float32)
        if len(docs) > self.count:
            best = self._best(docs, scores, _kth_largest(scores, self.count))
            docs, scores = docs[best], scores[best]
        order = np.lexsort((self._precedence[docs], -scores))
        return docs[order], scores[order]

    def _best(self, docs: Array, scores: Array, last: Any) -> Array:
        """Return the positions of the best: all above the last score, and as many with that score as fit."""
        above, tied = np.flatnonzero(scores > last), np.flatnonzero(scores == last)
        free = self.count - len(above)
        if len(tied) > free:
            tied = tied[np.argpartition(self._precedence[docs[tied]], free - 1)[:free]]
        return np.concatenate([above, tied])


def _kth_largest(values: Array, count: int) -> Any:
    """Return the k-th largest value, where k is `count`."""
    return np.partition(values, len(values) - count)[len(values) - count]
