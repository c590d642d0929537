"""Low-rank adapters (LoRA): a fraction of the weights is trained, and merged into the model at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from eef_framework.errors import ConfigError
from eef_framework.models.libraries import PEFT, require_installed


class Lora(BaseModel):
    """Settings of low-rank adapters (Hu et al. 2021, arXiv 2106.09685)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rank: int = Field(default=16, gt=0)
    """Rank of the updates."""
    alpha: int = Field(default=32, gt=0)
    """Updates are scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout before the adapters."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the modules with adapters, such as `q_proj`."""


def lora_config(lora: Lora) -> Any:
    """Return the settings for peft.

    Raises:
        ConfigError: peft isn't installed.
    """
    require_installed("peft", PEFT, "the trainer's setting lora")
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )


def require_targets(model: Any, lora: Lora) -> None:
    """Check that a model has modules with the configured names.

    Raises:
        ConfigError: it has none of them.
    """
    names = [f".{name}" for name, _ in model.named_modules()]
    if lora.targets != "all-linear" and not any(name.endswith(f".{each}") for each in lora.targets for name in names):
        raise ConfigError(
            f"the model has none of the modules in the trainer's lora.targets {lora.targets!r}",
            "'all-linear' fits all.",
            code="lora-targets",
            targets=lora.targets,
        )


def adapted(model: Any, lora: Lora) -> Any:
    """Return the model with fresh adapters, the only weights that are trained.

    Raises:
        ConfigError: peft isn't installed, or the model has no module of the names given.
    """
    config = lora_config(lora)
    require_targets(model, lora)
    from peft import get_peft_model

    return get_peft_model(model, config)


def merged(model: Any, lora: Lora, weights: dict[str, Any], output: Path) -> Any:
    """Write trained adapters to a folder, and return the model with them merged into it.

    Args:
        model: the model they were trained on.
        lora: their settings.
        weights: state of the adapted model after the training.
        output: folder for the adapters, in the layout of peft.
    """
    complete = adapted(model, lora)
    complete.load_state_dict(weights)
    complete.save_pretrained(output)
    return complete.merge_and_unload()
