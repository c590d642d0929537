"""Low-rank adapters of another model, in the layout of peft."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from eef_framework._compat.peft import SETTINGS_FILE, load_adapters
from eef_framework.errors import ConfigError
from eef_framework.models.libraries import PEFT, require_installed


def is_adapter(path: Path) -> bool:
    """Return whether a folder holds adapters and no complete model.

    It may still have a config.json: some tools write that of the base model.
    """
    weights = (*path.glob("model*.safetensors"), *path.glob("pytorch_model*.bin"))
    return (path / SETTINGS_FILE).is_file() and not weights


def base_of(path: Path) -> str:
    """Return the model that a folder's adapters were trained on: a folder or a name.

    Raises:
        ConfigError: their settings can't be read, or don't name it.
    """
    try:
        base = json.loads((path / SETTINGS_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as cause:
        raise ConfigError(
            f"can't read the adapters' settings {str(path / SETTINGS_FILE)!r}: {cause}",
            code="model-unreadable",
            path=str(path / SETTINGS_FILE),
        ) from cause
    if not base:
        raise ConfigError(
            f"the adapters in {str(path)!r} don't name the model they were trained on",
            f"Put its folder or name into {SETTINGS_FILE} as base_model_name_or_path.",
            code="no-adapter-base",
            adapters=str(path),
        )
    return str(base)


def with_adapters(model: Any, path: Path) -> Any:
    """Return the model with a folder's adapters merged into its weights.

    Raises:
        ConfigError: peft isn't installed, or the adapters don't fit the model.
    """
    require_installed("peft", PEFT, f"the adapter {str(path)!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about weights that don't fit, which are checked below
            adapted, saved, loaded = load_adapters(model, path)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as cause:
        first = next(iter(str(cause).strip().splitlines()), "")
        raise _differ(path, f"{type(cause).__name__}: {first}") from cause
    if other := sorted(saved ^ loaded):
        where = "the adapters" if other[0] in saved else "the model"
        raise _differ(path, f"only {where} have {other[0]} ({len(other)} such weights)", tensors=other)
    return adapted.merge_and_unload()


def _differ(path: Path, why: str, **details: Any) -> ConfigError:
    return ConfigError(
        f"the adapters in {str(path)!r} don't fit their model: {why}",
        "They were trained on another one: check base_model_name_or_path in adapter_config.json.",
        code="adapter-differs",
        adapters=str(path),
        **details,
    )
