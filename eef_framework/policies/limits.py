"""Limits: a device's memory and a model's context window."""

from __future__ import annotations

from typing import Any

from eef_framework._compat.transformers import text_config
from eef_framework.resources import available_memory


def free_memory(device: str) -> int:
    """Return how much of a device's memory is free, in bytes; on a CPU, within the container's limits."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def kv_bytes_per_token(model: Any) -> int:
    """Return the size of a model's keys and values per token, in bytes (an upper bound if layers share them)."""
    config = text_config(model)
    query_heads = getattr(config, "num_attention_heads", None) or 1  # state-space models have none
    heads = getattr(config, "num_key_value_heads", None) or query_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def context_window(model: Any) -> int | None:
    """Return a model's context window, in tokens; None if its configuration doesn't say."""
    longest = getattr(text_config(model), "max_position_embeddings", None)
    return int(longest) if longest else None
