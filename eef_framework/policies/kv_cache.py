"""Rows of KV caches: merged from several batches, or selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eef_framework._compat.transformers import SPARE_TOKENS, empty_cache

if TYPE_CHECKING:
    from torch import Tensor


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


def selected(cache: Any, mask: Tensor, index: Sequence[int]) -> Tensor:
    """Keep these rows of a cache, in this order, and return their mask, `(rows, positions)`."""
    import torch

    rows = torch.tensor(index, device=mask.device)
    cache.batch_select_indices(rows)
    return mask[rows]


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
