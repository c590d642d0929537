"""Grouped-query attention without a copy of keys and values for each query head.

With a cache and a mask, transformers 5 copies the keys and values of all rows for every query head before calling
torch's attention. On a CPU that takes longer than the attention itself, and torch doesn't need the copies there. On a
GPU the fast kernels do, so models on other devices are left unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eef_framework._compat.transformers import attention_of, sdpa_attention, use_attention

if TYPE_CHECKING:
    from torch import Tensor

_NAME = "sdpa_without_copies"


def without_copies(model: Any) -> Any:
    """Return a model, set to attend without copies if it is on a CPU and would make them.

    Args:
        model: a causal language model of transformers.
    """
    config = model.config
    heads = getattr(config, "num_attention_heads", 1)
    shared = (getattr(config, "num_key_value_heads", None) or heads) < heads
    if shared and model.device.type == "cpu" and attention_of(model) == "sdpa":
        use_attention(model, _NAME, _attend)
    return model


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend with fewer heads of keys and values than of queries.

    Args:
        module: the attention layer.
        query: `(rows, heads, new, channels)`.
        key: `(rows, key heads, positions, channels)`.
        value: as `key`.
        attention_mask: `(rows, 1, new, positions)`.
        dropout: share of attention weights that are dropped; 0 except in training.
        scaling: factor for the scores; None for the usual one.
        others: further arguments of transformers' attention function.

    Returns:
        `(rows, new, heads, channels)`, and None for the attention weights.
    """
    from torch.nn.functional import scaled_dot_product_attention

    several = query.shape[2] > 1 and query.shape[1] > key.shape[1] and attention_mask is not None
    if not several or others.get("position_bias") is not None or others.get("softcap") is not None:
        return sdpa_attention(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others)
    # (rows, heads, new, channels)
    attended = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
    )
    return attended.transpose(1, 2).contiguous(), None
