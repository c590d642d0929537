"""KV caches of batches in preallocated buffers, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SPARE_TOKENS = 32
"""Number of further tokens to preallocate whenever the buffers are full."""


def empty_cache(config: Any) -> Any:
    """Return an empty cache for a model.

    Args:
        config: the model's.
    """
    from transformers import DynamicCache

    kv_cache = DynamicCache(config=config)
    # Sliding-window layers, and layers that keep something other than keys and values, are left unchanged.
    kv_cache.layers = [_preallocated_layer()() if is_plain(layer) else layer for layer in kv_cache.layers]
    return kv_cache


def is_plain(layer: Any) -> bool:
    """Return whether a layer keeps the keys and values of all tokens."""
    return type(layer).__name__ in ("DynamicLayer", "PreallocatedLayer")


def is_attention(layer: Any) -> bool:
    """Return whether a layer keeps keys and values of tokens (all or the latest) and nothing else, such as a state."""
    from transformers.cache_utils import DynamicLayer

    return isinstance(layer, DynamicLayer) and "LinearAttention" not in type(layer).__name__


def merged(caches: Sequence[Any], masks: Sequence[Tensor], config: Any) -> tuple[Any, Tensor]:
    """Return one cache with the rows of several, and the mask of its positions, `(rows, positions)`.

    Args:
        caches: at least one, with plain layers. They are reset.
        masks: which of their positions are not padding, `(rows, positions)` each.
        config: the model's.
    """
    import torch

    if len(caches) == 1:
        return caches[0], masks[0]
    whole, width = empty_cache(config), max(mask.shape[1] for mask in masks)
    for index, layers in enumerate(zip(*(each.layers for each in caches), strict=True)):
        keys, values = [layer.keys for layer in layers], [layer.values for layer in layers]
        whole.layers[index].hold([_stacked(keys, width), _stacked(values, width)], width)
        for layer in layers:
            layer.reset()  # so that no more than one layer exists twice at any time
    return whole, torch.cat([torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in masks])


def _stacked(parts: Sequence[Tensor], width: int) -> Tensor:
    """Stack the rows of tensors `(rows, heads, positions, channels)`, padded on the left, with spare space right.

    Returns:
        `(all rows, heads, width + spare, channels)`.
    """
    _, heads, _, channels = parts[0].shape
    whole = parts[0].new_zeros(sum(map(len, parts)), heads, width + SPARE_TOKENS, channels)
    row = 0
    for part in parts:
        whole[row : row + len(part), :, width - part.shape[2] : width] = part
        row += len(part)
    return whole


@cache
def _preallocated_layer() -> type[Any]:
    """Return the class of layers with preallocated buffers. It is created once transformers is loaded."""
    from transformers.cache_utils import DynamicLayer

    class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values of one layer, `(rows, heads, positions, channels)`: views of buffers with spare positions.

        The implementation of transformers copies everything for every new token, which takes as long as the attention.
        """

        is_initialized: bool

        def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            """Add keys and values `(rows, heads, new, channels)`; returns all of them."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
                self._buffers: list[Tensor] = [self.keys, self.values]
            length = self.keys.shape[2]
            needed = length + key_states.shape[2]
            if needed > self._buffers[0].shape[2]:
                self._buffers = [_grown(old, needed + SPARE_TOKENS) for old in (self.keys, self.values)]
            for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
                buffer[:, :, length:needed] = new
            self.keys, self.values = (buffer[:, :, :needed] for buffer in self._buffers)
            return self.keys, self.values

        def hold(self, buffers: list[Tensor], length: int) -> None:
            """Use preallocated buffers for keys and values; the first `length` positions are in use."""
            self.lazy_initialization(*buffers)
            self._buffers = buffers
            self.keys, self.values = (buffer[:, :, :length] for buffer in buffers)

        def reset(self) -> None:
            """Drop keys and values. In transformers 5.0 the parent only zeroes them."""
            self.keys = self.values = None  # type: ignore[assignment]  # as the parent of later versions does
            self.is_initialized = False
            super().reset()
            self._buffers = []

        def batch_select_indices(self, indices: Tensor) -> None:
            """Keep these rows, with their spare positions: otherwise the next token would have to copy them again."""
            if self.is_initialized:
                self.hold([buffer.index_select(0, indices) for buffer in self._buffers], self.keys.shape[2])

    def _grown(old: Tensor, length: int) -> Tensor:
        buffer = old.new_empty(*old.shape[:2], length, old.shape[3])
        buffer[:, :, : old.shape[2]] = old
        return buffer

    return PreallocatedLayer
