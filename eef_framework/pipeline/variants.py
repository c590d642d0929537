"""A run's methods: its own recipe and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from eef_framework.config.loading import read_recipe
from eef_framework.config.schema import RunConfig, Section
from eef_framework.errors import ConfigError
from eef_framework.plugins import Registry

METHOD_KEYS = ("method", "iterations", "clone", "explore", "attributor", "select", "filters", "tune")
"""The sections of a recipe that define its method. The rest is shared by the methods that are compared."""

SECTIONS = ("clone", "explore", "select", "tune")
"""Sections that a recipe may override partially."""


def variants(config: RunConfig, registry: Registry) -> list[RunConfig]:
    """Return the configuration of each method of a run, its own first.

    A baseline is the run's configuration, with the recipe's method sections merged into it, so that everything else is
    equal.

    Raises:
        UnknownName: a baseline isn't the name of a recipe.
        ConfigError: two methods have the same name.
    """
    found = [config, *(_baseline(config, name, registry) for name in config.baselines)]
    names = [each.method for each in found]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"two methods of this run have the same name: {names}",
            "Drop one of `baselines`.",
            code="two-methods-of-one-name",
            names=names,
        )
    return found


def _baseline(config: RunConfig, name: str, registry: Registry) -> RunConfig:
    recipe = read_recipe(name, registry)
    laid_over = {key: recipe[key] for key in METHOD_KEYS if key in recipe}
    if laid_over.get("explore", {}).get("matched") and config.attributor:
        laid_over.pop("attributor", None)
    if "iterations" in laid_over:
        laid_over["iterations"] = min(laid_over["iterations"], config.iterations)
    # Without conversion to plain data: components that were passed as objects stay unchanged.
    data = _fields(config) | {"baselines": ()}
    for key, value in laid_over.items():
        data[key] = _merged(data[key], value) if key in SECTIONS else value
    return RunConfig.model_validate(data)


def _merged(section: BaseModel, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a section with some replaced; sections within it are merged as well."""
    fields = _fields(section)
    for name, new in value.items():
        old = fields.get(name)
        fields[name] = _merged(old, new) if isinstance(old, Section) and isinstance(new, Mapping) else new
    return fields


def _fields(section: BaseModel) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}
