"""Filter: selects training examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from eef_framework.interfaces.component import Component
from eef_framework.records import Example


class Filter(Component):
    """Filter: selects training examples. Filters are applied in order, and the examples that each drops are counted."""

    @abstractmethod
    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Return the examples to keep, in order. Filters may reweight examples, but not create new ones.

        Args:
            examples: the examples that passed the earlier filters.
            seed: for random choices.
        """
