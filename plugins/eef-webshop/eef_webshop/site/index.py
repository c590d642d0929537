"""Which products have how many goals: what has to be known of the catalogue before the first goal can be drawn."""

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
"""With which the reference shuffles its goals."""


class GoalIndex:
    """The goals of a catalogue as numbers. A *place* is a product, or one of the instructions people wrote for it.

    Attributes:
        pricing: (products, 2) ends of each product's price range in dollars, NaN for the second of a single price.
        owners: (places,) the product of every place, ascending.
        records: (places,) which of the product's instructions it is; 0 for synthetic ones.
    """

    def __init__(self, catalogue: Catalogue, kind: Kind) -> None:
        import numpy as np

        owners: NDArray[np.int32] = catalogue.synthetic if kind == "synthetic" else catalogue.instructed
        places = [
            (owner, record, count)
            for owner in owners.tolist()
            for record, count in _places(catalogue.product(owner), kind)
        ]
        table = np.array(places, dtype=np.int64).reshape(-1, 3)
        self.pricing = catalogue.pricing
        self.owners, self.records = table[:, 0], table[:, 1]
        self._ends = table[:, 2].cumsum()
        order = list(range(int(self._ends[-1]) if places else 0))
        random.Random(SHUFFLE_SEED).shuffle(order)
        self._order = np.array(order, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._order)

    def find(self, index: int) -> tuple[int, int]:
        """Return the place that a goal comes from, and which of the place's goals it is.

        Args:
            index: of the goal in the reference's order.
        """
        number = int(self._order[index])
        place = int(self._ends.searchsorted(number, side="right"))
        return place, number - (int(self._ends[place - 1]) if place else 0)


def _places(product: Product, kind: Kind) -> list[tuple[int, int]]:
    """Return the places of a product: number of the instruction, and how many goals it makes."""
    if kind == "human":
        records = enumerate(product.human_instructions)
        return [(number, 1) for number, record in records if record.get("instruction_attributes")]
    if product.instruction is None or not product.instruction_attributes:
        return []
    return [(0, math.prod(len(values) for values in product.options.values()))]
