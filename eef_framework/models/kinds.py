"""Model types supported by the installed transformers. Loads the library, which takes seconds."""

from __future__ import annotations

from collections.abc import Sequence


def knows_type(model_type: str) -> bool:
    """Return whether there is a model for the `model_type` of a config.json."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def is_causal(model_type: str, architectures: Sequence[str]) -> bool:
    """Return whether weights are those of a causal language model.

    Args:
        model_type: the value in config.json.
        architectures: classes that the weights were saved from. A model that names none is judged by its type.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    found = CAUSAL.get(model_type)
    classes = {found} if isinstance(found, str) else set(found or ())
    return bool(classes) if not architectures else not classes.isdisjoint(architectures)


def reads_gguf(architecture: str) -> bool:
    """Return whether GGUF files of an architecture can be read."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    return architecture in GGUF_SUPPORTED_ARCHITECTURES
