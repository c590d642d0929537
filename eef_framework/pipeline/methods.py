"""A run's methods: its own recipe, and the baselines beside it."""

from __future__ import annotations

from typing import Any

import yaml

from eef_framework.config.tree import RunConfig
from eef_framework.errors import ConfigError
from eef_framework.plugins import Registry

METHOD_KEYS = ("method", "iterations", "explore", "attributor", "select", "filters")
"""The parts of a recipe that make it another method. The rest is the setting in which methods are compared."""


def methods(config: RunConfig, registry: Registry) -> list[RunConfig]:
    """Return the configuration of each method of a run, its own first.

    A baseline is the run's configuration with the method's part of a recipe laid over it, so that everything else is
    equal. Where a recipe matches the simulations of an attributor, it is the run's attributor that is matched.

    Raises:
        UnknownName: there is no recipe of a baseline's name.
        ConfigError: two methods have the same name.
    """
    found = [config, *(_baseline(config, name, registry) for name in config.baselines)]
    names = [each.method for each in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"two methods of this run have the same name: {names}", "Drop one of `baselines`.")
    return found


def _baseline(config: RunConfig, name: str, registry: Registry) -> RunConfig:
    path = registry.recipe(name)
    recipe: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    own = {key: recipe[key] for key in METHOD_KEYS if key in recipe}
    data = config.model_dump(mode="json")
    if recipe.get("explore", {}).get("matched") and config.attributor:
        own.pop("attributor", None)
    if "clone" in recipe:
        data["clone"] |= recipe["clone"]
    explore = own.pop("explore", {})
    data["explore"] |= explore
    data |= own | {"baselines": [], "method": own.get("method", name)}
    if own.get("iterations", config.iterations) > config.iterations:
        data["iterations"] = config.iterations
    return RunConfig.model_validate(data)
