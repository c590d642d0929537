"""Models that are another model and low-rank adapters, in the layout of peft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError

_SETTINGS = "adapter_config.json"


def is_adapter(path: Path) -> bool:
    """Tell whether a folder holds adapters and no model of its own."""
    return (path / _SETTINGS).is_file() and not (path / "config.json").is_file()


def base_of(path: Path) -> str:
    """Return the model that a folder's adapters were trained on: a folder or a name.

    Raises:
        ConfigError: the adapters don't say.
    """
    try:
        base = json.loads((path / _SETTINGS).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as cause:
        raise ConfigError(f"can't read the adapters' settings {str(path / _SETTINGS)!r}: {cause}") from cause
    if not base:
        raise ConfigError(
            f"the adapters in {str(path)!r} don't say which model they belong to",
            f"Put its folder or name into {_SETTINGS} as base_model_name_or_path.",
        )
    return str(base)


def with_adapters(model: Any, path: Path) -> Any:
    """Return the model with a folder's adapters merged into its weights.

    Raises:
        ConfigError: peft isn't installed, or the adapters don't fit the model.
    """
    try:
        from peft import PeftModel
    except ImportError as cause:
        raise ConfigError("adapters need the package peft", "pip install 'eef-framework[lora]'") from cause
    try:
        return PeftModel.from_pretrained(model, str(path)).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as cause:
        first = next(iter(str(cause).strip().splitlines()), "")
        raise ConfigError(
            f"the adapters in {str(path)!r} don't fit their model: {type(cause).__name__}: {first}",
            "Check base_model_name_or_path in adapter_config.json.",
        ) from cause
