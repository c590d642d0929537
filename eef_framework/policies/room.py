"""How much fits: into a device's memory, and into a model's window."""

from __future__ import annotations

from typing import Any

from eef_framework.resources import available_memory


def free_memory(device: str) -> int:
    """Return how much of a device's memory is free, in bytes; on a processor, what a container's limits leave."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def bytes_per_token(model: Any) -> int:
    """Return how much memory a model's keys and values take for each token (an upper bound, where heads share them)."""
    config = model.config.get_text_config(decoder=True)
    query_heads = getattr(config, "num_attention_heads", None) or 1  # state-space models have none
    heads = getattr(config, "num_key_value_heads", None) or query_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def window(model: Any) -> int | None:
    """Return the longest sequence that a model was made for, in tokens; None if it doesn't say."""
    longest = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return int(longest) if longest else None
