"""Prefix cache: keeps keys and values of conversations, so that only the new part of a longer one is computed.

With the whole episode as history, each prompt starts with the one before and its answer; and the simulations from the
states of one trajectory share its beginning.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from eef_framework.policies.cache import AHEAD, empty_cache, is_plain

_WORTH_SHARING = 16
"""Minimum length of a shared prefix that is kept, in tokens."""
_HEADS = 16
"""Maximum number of shared prefixes."""


class Prefix(NamedTuple):
    """A token sequence with its keys and values."""

    ids: tuple[int, ...]
    layers: list[tuple[Any, Any]]
    """Keys and values of each layer, `(heads, tokens, width)`."""

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return sum(2 * keys.numel() * keys.element_size() for keys, _ in self.layers)


class Known(NamedTuple):
    """The cached prefix of a token sequence."""

    prefix: Prefix | None = None
    length: int = 0


class Prefixes:
    """LRU cache of conversations with their keys and values.

    Nothing is kept until a prompt with an earlier answer has been seen: if each prompt shows one observation, no prompt
    continues another. Shared prefixes of different prompts, such as the instructions, are always kept, separately, in
    at most a quarter of the size.

    Args:
        max_bytes: maximum size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._wanted = False
        self._by_prompt: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()
        self._heads: list[Prefix] = []

    def find(self, ids: tuple[int, ...], starts: Sequence[int]) -> Known:
        """Return the longest cached prefix of a sequence; never all of it, as one token is needed for logits.

        Args:
            ids: the sequence.
            starts: start of each answer in it; the last is the answer being generated.
        """
        self._wanted = self._wanted or (len(starts) > 1 and self._max_bytes > 0)
        for start in reversed(starts):
            prefix = self._by_prompt.get(ids[:start])
            if prefix is not None:
                # A conversation that continues this one will be continued itself; then this prefix is no longer needed.
                self._by_prompt.move_to_end(ids[:start], last=start == starts[-1])
                return Known(prefix, min(_common(prefix.ids, ids), len(ids) - 1))
        heads = (Known(head, min(_common(head.ids, ids), len(ids) - 1)) for head in self._heads)
        return max(heads, key=lambda known: known.length, default=Known())

    def shared(self, sequences: Sequence[tuple[int, ...]], known: Sequence[Known]) -> tuple[int, ...]:
        """Return the shared prefix of sequences that don't continue a conversation; empty if it is cached or short.

        Args:
            sequences: of tokens.
            known: the cached prefix of each.
        """
        fresh = [(ids, some.length) for ids, some in zip(sequences, known, strict=True) if self._is_head(some.prefix)]
        if len(fresh) < 2 or not self._max_bytes:
            return ()
        least, most = min(ids for ids, _ in fresh), max(ids for ids, _ in fresh)
        length = min(_common(least, most), min(len(ids) for ids, _ in fresh) - 1)
        return least[:length] if length - min(there for _, there in fresh) >= _WORTH_SHARING else ()

    def keep_head(self, ids: tuple[int, ...], cache: Any) -> None:
        """Cache a shared prefix.

        Args:
            ids: its tokens.
            cache: its keys and values, a batch of one without padding.
        """
        if not all(is_plain(layer) for layer in cache.layers):
            return
        prefix = Prefix(ids, [(layer.keys[0].clone(), layer.values[0].clone()) for layer in cache.layers])
        self._heads = [prefix, *self._heads][:_HEADS]
        while sum(head.bytes for head in self._heads) > self._max_bytes // 4:
            self._heads.pop()

    def _is_head(self, prefix: Prefix | None) -> bool:
        return prefix is None or any(prefix is head for head in self._heads)

    def keep(self, prompt: tuple[int, ...], ids: tuple[int, ...], cache: Any, row: int, mask: Any) -> None:
        """Cache a finished row of a batch.

        Args:
            prompt: the tokens before the answer.
            ids: all tokens in the cache.
            cache: keys and values of the batch.
            row: its index there.
            mask: which positions of the row are not padding, `(positions,)`.
        """
        if not self._wanted or not all(is_plain(layer) for layer in cache.layers):
            return  # a sliding-window layer forgets the beginning
        real = mask.bool()
        prefix = Prefix(ids, [(layer.keys[row][:, real], layer.values[row][:, real]) for layer in cache.layers])
        if prefix.bytes > self._max_bytes:
            return
        self._drop(prompt)
        self._by_prompt[prompt] = prefix
        self._bytes += prefix.bytes
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._by_prompt)))

    def shrink(self) -> None:
        """Keep half as much from now on."""
        self._max_bytes //= 2
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._by_prompt)))
        while sum(head.bytes for head in self._heads) > self._max_bytes // 4:
            self._heads.pop()

    def _drop(self, prompt: tuple[int, ...]) -> None:
        prefix = self._by_prompt.pop(prompt, None)
        self._bytes -= prefix.bytes if prefix else 0


def assembled(known: Sequence[Known], new: int, config: Any, device: Any) -> tuple[Any, Any]:
    """Return a cache with the cached prefixes, padded on the left, and the mask of its positions.

    Args:
        known: the cached prefix of each row.
        new: number of positions to be added; memory for them is preallocated.
        config: the model's.
        device: where the model is.
    """
    import torch

    cache = empty_cache(config)
    width = max(row.length for row in known)
    mask = torch.tensor([[0] * (width - row.length) + [1] * row.length for row in known]).long().to(device)
    some = next((row.prefix for row in known if row.length), None)
    for layer, shape in enumerate(some.layers if some else []):
        pair = [tensor.new_zeros(len(known), len(tensor), width + new + AHEAD, tensor.shape[2]) for tensor in shape]
        for index, row in enumerate(known):
            if row.prefix and row.length:
                for padded, tensor in zip(pair, row.prefix.layers[layer], strict=True):
                    padded[index, :, width - row.length : width] = tensor[:, : row.length]
        cache.layers[layer].hold(pair, width)
    return cache, mask


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return the length of the common prefix of two sequences."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(index for index in range(shorter) if one[index] != other[index])
