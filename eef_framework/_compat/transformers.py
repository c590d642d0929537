"""Parts of transformers that aren't public or change often: caches, attention, arguments and types of models."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ATTENTION_CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names of the argument for keys and values: that of transformers 5.24 on, and the one before."""
STATE_CACHE_ARGUMENT = "cache_params"
"""Name of the argument for the states of a state-space model before transformers 5.24; it is `cache`, too, since."""
LIMITED_ATTENTION = ("sliding_window", "window_size", "attention_window_size", "attention_chunk_size")
"""Settings of models whose layers attend to a part of the sequence."""
SPARE_TOKENS = 32
"""Number of further tokens to preallocate whenever the buffers of a cache are full."""


def cache_arguments(model: Any) -> tuple[str, ...]:
    """Return the arguments for a cache that a model has, the newest name first."""
    names = inspect.signature(model.forward).parameters
    return tuple(name for name in (*ATTENTION_CACHE_ARGUMENTS, STATE_CACHE_ARGUMENT) if name in names)


def limits_logits(model: Any) -> bool:
    """Return whether a model has the argument `logits_to_keep`: the number of last positions to compute logits for."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters


def text_config(model: Any) -> Any:
    """Return the configuration of a model's language part."""
    return model.config.get_text_config(decoder=True)


def empty_cache(config: Any) -> Any:
    """Return an empty cache for a model; layers that keep all keys and values are preallocated.

    Args:
        config: the model's.
    """
    from transformers import DynamicCache

    kv_cache = DynamicCache(config=config)
    # Sliding-window layers, and layers that keep something other than keys and values, are left unchanged.
    kv_cache.layers = [preallocated_layer()() if is_plain(layer) else layer for layer in kv_cache.layers]
    return kv_cache


def is_plain(layer: Any) -> bool:
    """Return whether a layer of a cache keeps the keys and values of all tokens."""
    return type(layer).__name__ in ("DynamicLayer", "PreallocatedLayer")


def is_attention(layer: Any) -> bool:
    """Return whether a layer keeps keys and values of tokens (all or the latest) and nothing else, such as a state."""
    from transformers.cache_utils import DynamicLayer

    return isinstance(layer, DynamicLayer) and "LinearAttention" not in type(layer).__name__


@cache
def preallocated_layer() -> type[Any]:
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


def attention_of(model: Any) -> str:
    """Return the name of a model's attention function, such as `sdpa`."""
    return str(model.config._attn_implementation)


def use_attention(model: Any, name: str, function: Callable[..., Any]) -> None:
    """Let a model use an attention function that takes the same masks as `sdpa`.

    Args:
        model: a causal language model.
        name: name of the function.
        function: takes what `sdpa_attention` takes.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, AttentionMaskInterface()["sdpa"])
    model.set_attn_implementation(name)


def sdpa_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **others: Any
) -> tuple[Tensor, None]:
    """Attend as transformers does with `sdpa`.

    Args:
        module: the attention layer.
        query: `(rows, heads, new, channels)`.
        key: `(rows, key heads, positions, channels)`.
        value: as `key`.
        attention_mask: `(rows, 1, new, positions)`.
        others: further arguments.

    Returns:
        `(rows, new, heads, channels)`, and None for the attention weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    found: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **others)
    return found


def enable_activation_checkpointing(model: Any) -> None:
    """Let a model recompute activations in the backward pass, which saves memory."""
    # Its name since transformers 5, or before.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def unpacked_gguf() -> dict[str, Any]:
    """Return the arguments of `from_pretrained` with which the weights of a GGUF file are unpacked."""
    import transformers

    # From 5.2x on, weights are left packed otherwise; before, they never were.
    config = getattr(transformers, "GgufConfig", None)
    return {} if config is None else {"quantization_config": config(dequantize=True)}


def knows_type(model_type: str) -> bool:
    """Return whether there is a model for the `model_type` of a config.json."""
    if _mentioned(model_type, "models/auto/configuration_auto.py", "models/auto/auto_mappings.py"):
        return True
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def is_causal(model_type: str, architectures: Sequence[str]) -> bool:
    """Return whether weights are those of a causal language model.

    Args:
        model_type: the value in config.json.
        architectures: classes that the weights were saved from. A model that names none is judged by its type.
    """
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        return True
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    found = CAUSAL.get(model_type)
    classes = {found} if isinstance(found, str) else set(found or ())
    return bool(classes) if not architectures else not classes.isdisjoint(architectures)


def reads_gguf(architecture: str) -> bool:
    """Return whether GGUF files of an architecture can be read."""
    if _mentioned(architecture, "integrations/ggml.py"):
        return True
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    return architecture in GGUF_SUPPORTED_ARCHITECTURES


def _mentioned(word: str, *files: str) -> bool:
    """Return whether a word occurs, in quotes, in files of transformers: importing the library takes seconds."""
    spec = importlib.util.find_spec("transformers")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    present = [folder / name for name in files if (folder / name).is_file()]
    return any(f'"{word}"' in file.read_text(encoding="utf-8") for file in present)
