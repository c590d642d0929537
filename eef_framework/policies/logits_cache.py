"""Cache of the model's logits for recent token sequences.

Simulations from one state start with the same prompt, and agents see the same pages repeatedly: in the embedded shop,
four in five prompts of an exploration are repeated.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class LogitsCache:
    """LRU cache of the logits after token sequences.

    Args:
        max_bytes: maximum size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._logits: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()

    def get(self, ids: tuple[int, ...]) -> Tensor | None:
        """Return the logits after a sequence, `(vocabulary,)`, or None if they aren't cached."""
        logits = self._logits.get(ids)
        if logits is not None:
            self._logits.move_to_end(ids)
        return logits

    def put(self, ids: tuple[int, ...], logits: Tensor) -> None:
        """Cache the logits `(vocabulary,)` after a sequence, and evict the least recently used if the cache is full."""
        size = _size(ids, logits)
        if ids in self._logits or size > self._max_bytes:
            return
        self._logits[ids] = logits.clone()  # a view would keep the logits of its whole batch alive
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._logits.popitem(last=False))


def _size(ids: tuple[int, ...], logits: Tensor) -> int:
    return 8 * len(ids) + logits.numel() * logits.element_size()
