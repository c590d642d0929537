"""Whoever picks what is trained on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from eef_framework.interfaces.component import Component
from eef_framework.records import Example


class Filter(Component):
    """A choice among examples. Filters are applied one after the other, and what each dropped is counted."""

    @abstractmethod
    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Return the examples to keep, in order. They may be reweighted, but not made up.

        Args:
            examples: all that the filters before let through.
            seed: for choices at random.
        """
