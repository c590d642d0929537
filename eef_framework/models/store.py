"""Finds fetched models on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from eef_framework.errors import ConfigError
from eef_framework.models.known import KNOWN
from eef_framework.paths import cache_folder, expand


def models_folder() -> Path:
    """Return the folder of models: `$EEF_HOME/models`, or `eef-framework/models` in the user's cache folder."""
    if folder := os.environ.get("EEF_HOME"):
        return expand(folder) / "models"
    return cache_folder() / "eef-framework" / "models"


def folder_of(name: str) -> Path | None:
    """Return the folder of a known model, None if it hasn't been fetched."""
    folder = models_folder() / name
    return folder if (folder / "config.json").is_file() else None


def resolve(model: str) -> str:
    """Return where to load a model from: a known model's folder; anything else is returned unchanged.

    Raises:
        ConfigError: the name is known, and the model hasn't been fetched.
    """
    if model not in KNOWN or Path(model).is_dir():
        return model
    folder = folder_of(model)
    if folder is None:
        raise ConfigError(
            f"the model {model!r} isn't installed: there is no {str(models_folder() / model)!r}",
            f"Run: eef models get {model}",
            code="model-not-installed",
            model=model,
        )
    return str(folder)
