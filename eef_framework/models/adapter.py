"""Low-rank adapters of another model, in the layout of peft."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eef_framework._compat.peft import SETTINGS_FILE, load_adapters, stack_low_rank
from eef_framework.errors import ConfigError
from eef_framework.models.libraries import PEFT, require_installed

SUBFOLDER = "adapter"
"""Folder within a checkpoint that holds the adapters of its training, whose result is merged into the checkpoint."""


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


class AdapterChain(NamedTuple):
    """How a checkpoint came from a model by trainings of adapters."""

    base: str
    """The model that the first training started from: a folder or a name."""
    adapters: tuple[Path, ...]
    """Folders with the adapters of each training, the first training first. Each are relative to the ones before."""


def adapter_chain(path: Path) -> AdapterChain:
    """Return which adapters, one after another, lead to a checkpoint.

    A training with adapters starts from a checkpoint, and merges its adapters into it. So they aren't relative to the
    original model but to the checkpoint, which may come from another training with adapters.

    Args:
        path: a folder with a complete model, or with adapters only.

    Raises:
        ConfigError: the settings of adapters can't be read.
    """
    found: list[Path] = []
    while path not in found:
        if path.is_dir() and is_adapter(path):
            found.append(path)
        elif (path / SUBFOLDER / SETTINGS_FILE).is_file() and path / SUBFOLDER not in found:
            found.append(path / SUBFOLDER)
        else:
            break
        path = Path(base_of(found[-1]))
    return AdapterChain(str(path), tuple(reversed(found)))


def stack_adapters(adapters: Sequence[Path], output: Path) -> int:
    """Write adapters that change a model as much as several ones after another. Their rank is the sum of the ranks.

    Args:
        adapters: folders of adapters, as `adapter_chain` returns them.
        output: folder to write.

    Returns:
        The rank.

    Raises:
        ConfigError: they are of a kind that doesn't add up (`adapters-not-additive`).
    """
    try:
        return stack_low_rank(adapters, output)
    except ValueError as cause:
        raise ConfigError(
            f"the adapters in {', '.join(map(repr, map(str, adapters)))} can't be combined: {cause}",
            "Train plain low-rank adapters, or use the merged weights.",
            code="adapters-not-additive",
            adapters=[str(path) for path in adapters],
        ) from cause


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
