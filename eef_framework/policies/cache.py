"""KV cache of a batch in preallocated buffers, padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache as once
from typing import Any

AHEAD = 32
"""Number of further tokens to preallocate whenever the buffers are full."""


def empty_cache(config: Any) -> Any:
    """Return an empty cache for a model.

    Args:
        config: the model's.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=config)
    # Sliding-window layers, and layers that keep something other than keys and values, are left unchanged.
    cache.layers = [_reserving()() if is_plain(layer) else layer for layer in cache.layers]
    return cache


def is_plain(layer: Any) -> bool:
    """Return whether a layer keeps the keys and values of all tokens."""
    return type(layer).__name__ in ("DynamicLayer", "ReservingLayer")


def is_attention(layer: Any) -> bool:
    """Return whether a layer keeps keys and values of tokens (all or the latest) and nothing else, such as a state."""
    from transformers.cache_utils import DynamicLayer

    return isinstance(layer, DynamicLayer) and "LinearAttention" not in type(layer).__name__


def merged(caches: Sequence[Any], masks: Sequence[Any], config: Any) -> tuple[Any, Any]:
    """Return one cache with the rows of several, and the mask of its positions.

    Args:
        caches: at least one, with plain layers.
        masks: which of their positions are not padding, `(rows, positions)` each.
        config: the model's.
    """
    import torch

    if len(caches) == 1:
        return caches[0], masks[0]
    whole, width = empty_cache(config), max(mask.shape[1] for mask in masks)
    for index, layers in enumerate(zip(*(cache.layers for cache in caches), strict=True)):
        keys, values = [layer.keys for layer in layers], [layer.values for layer in layers]
        whole.layers[index].hold([_stacked(keys, width), _stacked(values, width)], width)
        for layer in layers:
            layer.reset()  # so that there is never a second copy of more than one layer
    return whole, torch.cat([torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in masks])


def _stacked(parts: Sequence[Any], width: int) -> Any:
    """Join tensors `(rows, heads, positions, channels)` of several lengths, padded left, spare space right."""
    some = parts[0]
    whole = some.new_zeros(sum(map(len, parts)), some.shape[1], width + AHEAD, some.shape[3])
    row = 0
    for part in parts:
        whole[row : row + len(part), :, width - part.shape[2] : width] = part
        row += len(part)
    return whole


@once
def _reserving() -> type[Any]:
    """Return the class of layers with preallocated buffers. It is created once transformers is loaded."""
    from transformers.cache_utils import DynamicLayer

    class ReservingLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values of one layer.

        The implementation of transformers copies everything for every new token, which takes as long as the attention.
        """

        is_initialized: bool

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            """Add keys and values `(rows, heads, new, channels)`; returns all of them."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
                self._room: list[Any] = [self.keys, self.values]
            there = self.keys.shape[2]
            wanted = there + key_states.shape[2]
            known, new = (self.keys, self.values), (key_states, value_states)
            if wanted > self._room[0].shape[2]:
                self._room = [_wider(old, wanted + AHEAD) for old in known]
            for room, more in zip(self._room, new, strict=True):
                room[:, :, there:wanted] = more
            self.keys, self.values = (room[:, :, :wanted] for room in self._room)
            return self.keys, self.values

        def hold(self, room: list[Any], length: int) -> None:
            """Use preallocated buffers; the first `length` positions are in use."""
            self.lazy_initialization(*room)
            self._room = room
            self.keys, self.values = (each[:, :, :length] for each in room)

        def reset(self) -> None:
            """Forget keys and values. In transformers 5.0 the parent only zeroes them."""
            self.keys = self.values = None
            self.is_initialized = False
            super().reset()
            self._room = []

        def batch_select_indices(self, indices: Any) -> None:
            """Keep these rows with their free space: otherwise the next token would have to copy them again."""
            if self.is_initialized:
                self.hold([room.index_select(0, indices) for room in self._room], self.keys.shape[2])

    def _wider(old: Any, length: int) -> Any:
        room = old.new_empty(*old.shape[:2], length, old.shape[3])
        room[:, :, : old.shape[2]] = old
        return room

    return ReservingLayer
