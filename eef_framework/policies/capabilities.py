"""Determines the capabilities of a model's forward pass (caching, padding, gaps) by trying them.

Architectures differ in how they handle padding and caches, and nothing in their interface says so: a state-space model
continues from a state only one token at a time, some models count positions by index, padding included, and some ignore
the cache they are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eef_framework._compat.transformers import (
    ATTENTION_CACHE_ARGUMENTS,
    LIMITED_ATTENTION,
    cache_arguments,
    empty_cache,
    is_attention,
    is_plain,
    text_config,
)

if TYPE_CHECKING:
    from torch import Tensor

_LENGTH, _GAP = 8, 4
"""Length of the test sequence and of its padding, in tokens."""


class Capabilities(NamedTuple):
    """How a model may be run."""

    cache: str = "past_key_values"
    """The argument for the cache; empty if the model needs the whole sequence for every token."""
    padding: bool = True
    """Whether sequences of several lengths, padded on the left, may share a batch and a cache."""
    gaps: bool = True
    """Whether padding may be in the middle of a sequence, for example after a cached prefix."""


def capabilities(model: Any) -> Capabilities:
    """Determine the capabilities of a model by trying them.

    Args:
        model: a causal language model of transformers, in evaluation mode.
    """
    import torch

    ids = torch.arange(_LENGTH, device=model.device)[None] % text_config(model).vocab_size
    # ids and one: (1, _LENGTH); pad and zero: (1, _GAP); logits: (1, positions, vocabulary).
    pad, zero = ids[:, :1].expand(1, _GAP), torch.zeros(1, _GAP, dtype=torch.long, device=model.device)
    one, middle = torch.ones_like(ids), _LENGTH // 2
    with torch.inference_mode():
        whole = _logits(model, ids, one)
        left = _logits(model, torch.cat([pad, ids], 1), torch.cat([zero, one], 1))[:, _GAP:]
        gap = _logits(
            model,
            torch.cat([ids[:, :middle], pad, ids[:, middle:]], 1),
            torch.cat([one[:, :middle], zero, one[:, middle:]], 1),
        )
        names = cache_arguments(model)
        precise = model.dtype == torch.float32
        cache = next((name for name in names if _agree(whole, _stepwise(model, ids, name), precise)), "")
    layers = _layers(model) if cache else []
    padding = cache in ATTENTION_CACHE_ARGUMENTS and all(map(is_attention, layers)) and _agree(whole, left, precise)
    # The test sequence is too short to show a limited attention span.
    limited = any(getattr(model.config, name, None) for name in LIMITED_ATTENTION)
    reaches_all = all(map(is_plain, layers)) and not limited
    without_gap = torch.cat([gap[:, :middle], gap[:, middle + _GAP :]], 1)
    return Capabilities(cache, padding, padding and reaches_all and _agree(whole, without_gap, precise))


def _layers(model: Any) -> list[Any]:
    return list(empty_cache(model.config).layers)


def _logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the logits after each position, `(1, positions, vocabulary)`, without a cache.

    Args:
        model: the model.
        ids: tokens, `(1, positions)`.
        mask: which of them are not padding, `(1, positions)`.
    """
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits.float()  # type: ignore[no-any-return]


def _stepwise(model: Any, ids: Tensor, name: str) -> Tensor | None:
    """Return the same logits computed with a cache: half of the tokens at once, the others one by one.

    Args:
        model: the model.
        ids: tokens, `(1, positions)`.
        name: the argument for the cache.

    Returns:
        `(1, positions, vocabulary)`; None if the model raises an error.
    """
    import torch

    middle = _LENGTH // 2
    try:
        kv_cache, found = empty_cache(model.config), []
        for start, end in [(0, middle), *((index, index + 1) for index in range(middle, _LENGTH))]:
            positions = torch.arange(start, end, device=ids.device)[None]
            more = {"position_ids": positions, name: kv_cache, "use_cache": True}
            found.append(model(input_ids=ids[:, start:end], **more).logits.float())
    except Exception:  # a model may raise any exception for a cache of the wrong kind
        return None
    return torch.cat(found, 1)


def _agree(wanted: Tensor, found: Tensor | None, precise: bool) -> bool:
    """Return whether logits are equal except for rounding, which is coarse unless the model computes in float32."""
    if found is None:
        return False
    tolerance = 1e-3 if precise else 0.1
    return bool((wanted - found).abs().max() <= tolerance * (wanted - wanted.mean()).abs().max())
