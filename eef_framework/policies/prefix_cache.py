"""Prefix cache: keeps keys and values of conversations, so that only the new part of a longer one is computed.

If the whole episode is shown, each prompt starts with the previous prompt and its answer, and the simulations from the
states of one trajectory share its beginning.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from eef_framework._compat.transformers import SPARE_TOKENS, empty_cache, is_plain

if TYPE_CHECKING:
    from torch import Tensor

_MIN_SHARED = 16
"""Minimum length of a shared prefix that is kept, in tokens."""
_MAX_SHARED = 16
"""Maximum number of shared prefixes."""


class CachedPrefix(NamedTuple):
    """A token sequence with its keys and values."""

    ids: tuple[int, ...]
    layers: list[tuple[Tensor, Tensor]]
    """Keys and values of each layer, both `(heads, tokens, channels)`."""

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return sum(2 * keys.numel() * keys.element_size() for keys, _ in self.layers)


class PrefixMatch(NamedTuple):
    """The longest cached prefix of a token sequence."""

    prefix: CachedPrefix | None = None
    length: int = 0


class PrefixCache:
    """LRU cache of conversations with their keys and values.

    Conversations aren't kept before a prompt with an earlier answer has been seen: if each prompt shows one observation
    only, no prompt continues another. Prefixes that different prompts share, such as the instructions, are always kept,
    separately, in at most a quarter of the size.

    Args:
        max_bytes: maximum size.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._used = False
        self._by_prompt: OrderedDict[tuple[int, ...], CachedPrefix] = OrderedDict()
        self._shared: list[CachedPrefix] = []

    def find(self, ids: tuple[int, ...], starts: Sequence[int]) -> PrefixMatch:
        """Return the longest cached prefix of a sequence; never all of it, as one token is needed for logits.

        Args:
            ids: the sequence.
            starts: start of each answer in it; the last is the answer being generated.
        """
        self._used = self._used or (len(starts) > 1 and self._max_bytes > 0)
        for start in reversed(starts):
            prefix = self._by_prompt.get(ids[:start])
            if prefix is not None:
                # The conversation that continues this one will be cached, too; then this one can be evicted first.
                self._by_prompt.move_to_end(ids[:start], last=start == starts[-1])
                return PrefixMatch(prefix, min(_common(prefix.ids, ids), len(ids) - 1))
        shared = (PrefixMatch(prefix, min(_common(prefix.ids, ids), len(ids) - 1)) for prefix in self._shared)
        return max(shared, key=lambda match: match.length, default=PrefixMatch())

    def shared_prefix(self, sequences: Sequence[tuple[int, ...]], matches: Sequence[PrefixMatch]) -> tuple[int, ...]:
        """Return the shared prefix of sequences that don't continue a conversation; empty if it is cached or short.

        Args:
            sequences: of tokens.
            matches: the longest cached prefix of each.
        """
        pairs = zip(sequences, matches, strict=True)
        fresh = [(ids, match.length) for ids, match in pairs if self._is_shared(match.prefix)]
        if len(fresh) < 2 or not self._max_bytes:
            return ()
        least, most = min(ids for ids, _ in fresh), max(ids for ids, _ in fresh)
        length = min(_common(least, most), min(len(ids) for ids, _ in fresh) - 1)
        return least[:length] if length - min(cached for _, cached in fresh) >= _MIN_SHARED else ()

    def keep_shared(self, ids: tuple[int, ...], cache: Any) -> None:
        """Cache a shared prefix.

        Args:
            ids: its tokens.
            cache: its keys and values, a batch of one without padding.
        """
        if not all(is_plain(layer) for layer in cache.layers):
            return
        prefix = CachedPrefix(ids, [(layer.keys[0].clone(), layer.values[0].clone()) for layer in cache.layers])
        self._shared = [prefix, *self._shared][:_MAX_SHARED]
        while sum(prefix.bytes for prefix in self._shared) > self._max_bytes // 4:
            self._shared.pop()

    def _is_shared(self, prefix: CachedPrefix | None) -> bool:
        return prefix is None or any(prefix is each for each in self._shared)

    def keep(self, prompt: tuple[int, ...], ids: tuple[int, ...], cache: Any, row: int, mask: Tensor) -> None:
        """Cache a finished row of a batch.

        Args:
            prompt: the tokens before the answer.
            ids: all tokens in the cache.
            cache: keys and values of the batch.
            row: its index there.
            mask: which positions of the row are not padding, `(positions,)`.
        """
        if not self._used or not all(is_plain(layer) for layer in cache.layers):
            return  # a sliding-window layer forgets the beginning
        real = mask.bool()
        prefix = CachedPrefix(ids, [(layer.keys[row][:, real], layer.values[row][:, real]) for layer in cache.layers])
        if prefix.bytes > self._max_bytes:
            return
        self._evict(prompt)
        self._by_prompt[prompt] = prefix
        self._bytes += prefix.bytes
        while self._bytes > self._max_bytes:
            self._evict(next(iter(self._by_prompt)))

    def shrink(self) -> None:
        """Halve the maximum size, and evict what exceeds it."""
        self._max_bytes //= 2
        while self._bytes > self._max_bytes:
            self._evict(next(iter(self._by_prompt)))
        while sum(prefix.bytes for prefix in self._shared) > self._max_bytes // 4:
            self._shared.pop()

    def _evict(self, prompt: tuple[int, ...]) -> None:
        prefix = self._by_prompt.pop(prompt, None)
        self._bytes -= prefix.bytes if prefix else 0


def assembled(matches: Sequence[PrefixMatch], new: int, config: Any, device: Any) -> tuple[Any, Tensor]:
    """Return a KV cache with the prefixes, padded on the left, and the mask of its positions, `(rows, positions)`.

    Args:
        matches: the prefix of each row.
        new: number of positions to be added; memory for them is preallocated.
        config: the model's.
        device: where the model is.
    """
    import torch

    kv_cache = empty_cache(config)
    width = max(match.length for match in matches)
    mask = torch.tensor([[0] * (width - match.length) + [1] * match.length for match in matches]).long().to(device)
    some = next((match.prefix for match in matches if match.length), None)
    for layer, tensors in enumerate(some.layers if some else []):
        # Keys and values of the layer, both (rows, heads, positions and spare, channels).
        buffers = [t.new_zeros(len(matches), len(t), width + new + SPARE_TOKENS, t.shape[2]) for t in tensors]
        for row, match in enumerate(matches):
            if match.prefix and match.length:
                for buffer, tensor in zip(buffers, match.prefix.layers[layer], strict=True):
                    buffer[row, :, width - match.length : width] = tensor[:, : match.length]
        kv_cache.layers[layer].hold(buffers, width)
    return kv_cache, mask


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return the length of the common prefix of two sequences."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(index for index in range(shorter) if one[index] != other[index])
