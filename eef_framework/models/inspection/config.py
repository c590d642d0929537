"""Finds out from a model's config.json whether it can be used and trained here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eef_framework._compat.transformers import is_causal, knows_type
from eef_framework.errors import ConfigError
from eef_framework.models.libraries import require_quantization_libraries


def check_config(config: Mapping[str, Any], path: object, trust_remote_code: bool = False) -> None:
    """Check whether a model can be used and trained here.

    Args:
        config: content of its config.json.
        path: its path, for messages.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        ConfigError: it isn't.
    """
    names = tuple(config.get("architectures") or ())
    remote = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    require_quantization_libraries(config.get("quantization_config"), path)
    if config.get("is_encoder_decoder"):
        raise _not_causal(path, names)
    if remote and trust_remote_code:
        return
    kind = config.get("model_type")
    if kind is None or not knows_type(str(kind)):
        raise _unknown_type(path, kind, remote)
    if not is_causal(str(kind), names):
        raise _not_causal(path, names)


def _unknown_type(path: object, kind: object, remote: bool) -> ConfigError:
    if remote:
        return ConfigError(
            f"the model {str(path)!r} (model_type {kind!r}) runs only with Python code of its own, which isn't allowed",
            "Read that code. If you trust it, set trust_remote_code: true for the policy and for the trainers.",
            code="model-needs-remote-code",
            path=str(path),
            model_type=kind,
        )
    return ConfigError(
        f"the installed transformers doesn't know the model_type {kind!r} of {str(path)!r}",
        "Install a newer transformers (pip install -U transformers), or choose another model.",
        code="model-type-unknown",
        path=str(path),
        model_type=kind,
    )


def _not_causal(path: object, names: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} isn't a causal language model: its architecture is {', '.join(names) or 'unknown'}",
        "Choose a model that writes text left to right, such as a Llama, Qwen or Mistral (instruction-tuned).",
        code="not-a-causal-model",
        path=str(path),
        architectures=list(names),
    )
