"""The best documents of a query without scoring all (MaxScore; Turtle and Flood, "Query evaluation", 1995).

Terms are taken in order of the most they can add, which for words is nearly: rare ones first. As soon as what the
remaining terms can add together is less than the score of the worst of the best so far, no document that was not met
yet can come in; from then on only the documents still in the race are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SLACK = 1e-6
"""Relative margin of all comparisons with bounds, above the rounding errors of single precision."""
LOOKUP_COST = 12
"""Looking a document up costs about as much as adding a score to this many."""


@dataclass(frozen=True, slots=True)
class TermPostings:
    """A term of a query, with its documents."""

    docs: Array
    """(n,) int32, ascending."""
    codes: Array
    """(n,) which pair of frequency and length the term has there."""
    table: Array
    """(C,) float32: what it adds to a document's score, by that code."""
    bound: float
    """The most it adds to any."""

    def scores(self) -> Array:
        """Return (n,) float32: what the term adds to each of its documents."""
        return self.table.take(self.codes)


class Accumulator:
    """Adds up the scores of one query.

    Args:
        documents: how many there are.
        count: how many of the best are wanted.
        precedence: (documents,) int32, which of two equally good documents comes first: the one with the lower number.
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
            if self._out_of_reach(rest):
                return self._ordered(self._narrowed(terms[place:], rest))
            self._add(term)
            rest -= term.bound
        return self._ordered(np.flatnonzero(self._scores))

    def _out_of_reach(self, rest: float) -> bool:
        return rest < self._threshold * (1 - SLACK)

    def _add(self, term: TermPostings) -> None:
        """Add a term everywhere, and raise the threshold by the documents it occurs in."""
        docs = term.docs.astype(np.intp)  # as NumPy would do at each of the next two steps
        reached = self._scores.take(docs)
        reached += term.scores()
        self._scores[docs] = reached
        reached = reached[reached > self._threshold]
        if len(reached) >= self.count:
            self._threshold = float(_kth_largest(reached, self.count))

    def _narrowed(self, terms: Sequence[TermPostings], rest: float) -> Array:
        """Add the remaining terms to the documents still in the race, which become fewer; return them."""
        racing = np.flatnonzero(self._scores >= self._floor(rest))
        for term in terms:
            if len(racing) * LOOKUP_COST < len(term.docs):
                self._look_up(racing, term)
            else:
                self._add(term)
            rest -= term.bound
            reached = self._scores[racing]
            self._threshold = max(self._threshold, float(_kth_largest(reached, self.count)))
            racing = racing[reached >= self._floor(rest)]
        return racing

    def _floor(self, rest: float) -> float:
        """Return the score below which a document can't come in any more."""
        return (self._threshold - rest) * (1 - SLACK) - SLACK

    def _look_up(self, racing: Array, term: TermPostings) -> None:
        places = np.searchsorted(term.docs, racing.astype(term.docs.dtype))
        places[places == len(term.docs)] = 0
        hit = term.docs[places] == racing
        self._scores[racing[hit]] += term.table[term.codes[places[hit]]]

    def _ordered(self, docs: Array) -> tuple[Array, Array]:
        """Return the best of some documents, given in ascending order."""
        reached = self._scores[docs].astype(np.float32)
        if len(docs) > self.count:
            inside = self._inside(docs, reached, _kth_largest(reached, self.count))
            docs, reached = docs[inside], reached[inside]
        order = np.lexsort((self._precedence[docs], -reached))
        return docs[order], reached[order]

    def _inside(self, docs: Array, reached: Array, last: Any) -> Array:
        """Return the places of the best: all above the last score, and of those that have it as many as fit."""
        above, tied = np.flatnonzero(reached > last), np.flatnonzero(reached == last)
        free = self.count - len(above)
        if len(tied) > free:
            tied = tied[np.argpartition(self._precedence[docs[tied]], free - 1)[:free]]
        return np.concatenate([above, tied])


def _kth_largest(values: Array, count: int) -> Any:
    """Return the value of rank `count` from above; there are at least as many."""
    return np.partition(values, len(values) - count)[len(values) - count]
