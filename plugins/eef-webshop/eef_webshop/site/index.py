"""Number of goals of each product, which has to be known before the first goal can be drawn."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Literal

from eef_webshop.data.product import Product

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from eef_webshop.data.catalogue import Catalogue

Kind = Literal["synthetic", "human"]
SHUFFLE_SEED = 233
"""Seed with which the reference shuffles its goals."""


class GoalIndex:
    """The goals of a catalogue as numbers. A *source* is an instruction of a product; it has one or more goals.

    Args:
        catalogue: the products.
        kind: the kind of instructions.

    Attributes:
        pricing: (products, 2) price range of each product in dollars; NaN for the upper end of a single price.
        owners: (sources,) product of each source, ascending.
        records: (sources,) number of the source among the product's instructions; 0 for synthetic ones.
    """

    def __init__(self, catalogue: Catalogue, kind: Kind) -> None:
        import numpy as np

        owners: NDArray[np.int32] = catalogue.synthetic if kind == "synthetic" else catalogue.instructed
        sources = [
            (owner, record, count)
            for owner in owners.tolist()
            for record, count in _sources(catalogue.product(owner), kind)
        ]
        table = np.array(sources, dtype=np.int64).reshape(-1, 3)
        self.pricing = catalogue.pricing
        self.owners, self.records = table[:, 0], table[:, 1]
        self._ends = table[:, 2].cumsum()
        order = list(range(int(self._ends[-1]) if sources else 0))
        random.Random(SHUFFLE_SEED).shuffle(order)
        self._order = np.array(order, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._order)

    def find(self, index: int) -> tuple[int, int]:
        """Return the source of a goal, and the number of the goal among the source's goals.

        Args:
            index: index of the goal in the reference's order.
        """
        number = int(self._order[index])
        source = int(self._ends.searchsorted(number, side="right"))
        return source, number - (int(self._ends[source - 1]) if source else 0)


def _sources(product: Product, kind: Kind) -> list[tuple[int, int]]:
    """Return the sources of a product: number of the instruction, and number of its goals."""
    if kind == "human":
        records = enumerate(product.human_instructions)
        return [(number, 1) for number, record in records if record.get("instruction_attributes")]
    if product.instruction is None or not product.instruction_attributes:
        return []
    return [(0, math.prod(len(values) for values in product.options.values()))]
