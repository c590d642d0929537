"""Types of models that the installed transformers supports.

Importing the library takes seconds, so its source files are searched first, which takes milliseconds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path


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
    """Return whether a word occurs, in quotes, in files of transformers."""
    spec = importlib.util.find_spec("transformers")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    present = [folder / name for name in files if (folder / name).is_file()]
    return any(f'"{word}"' in file.read_text(encoding="utf-8") for file in present)
