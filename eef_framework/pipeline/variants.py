"""A run's methods: its own recipe and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from eef_framework.config.loading import read_recipe
from eef_framework.config.merge import LayeredSettings, kind_at
from eef_framework.config.schema import ComponentSpec, RunConfig, Section
from eef_framework.config.validation import check_components, described, validated
from eef_framework.errors import ConfigError
from eef_framework.plugins import Registry
from eef_framework.validation_messages import KeyPath, nearest

METHOD_KEYS = ("method", "iterations", "clone", "explore", "attributor", "select", "filters", "tune")
"""The sections of a recipe that define its method. The rest is shared by the methods that are compared."""


def variants(config: RunConfig, registry: Registry) -> list[RunConfig]:
    """Return the configuration of each method of a run, its own first.

    A baseline is the run's configuration, with the recipe's method sections merged into it, so that everything else is
    equal.

    Raises:
        UnknownName: a baseline isn't the name of a recipe.
        ConfigError: its settings are wrong (`wrong-settings`), or one isn't part of a method and differs from the run's
            (`shared-setting`); two methods have the same name (`two-methods-of-one-name`).
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
    _check_is_a_method(name, recipe, config)
    laid_over = {key: recipe.data[key] for key in METHOD_KEYS if key in recipe.data}
    explore = laid_over.get("explore")
    if isinstance(explore, Mapping) and explore.get("matched") and config.attributor:
        laid_over.pop("attributor", None)
    merged = _merged(config, laid_over, config)
    variant = validated(merged | {"baselines": ()}, recipe)
    check_components(variant, recipe, registry)
    return variant.model_copy(update={"iterations": min(variant.iterations, config.iterations)})


def _check_is_a_method(name: str, recipe: LayeredSettings, config: RunConfig) -> None:
    """Check that a baseline's recipe differs from the run in nothing but its method.

    Raises:
        ConfigError: a setting is unknown (`wrong-settings`), or methods of one run can't differ in it
            (`shared-setting`).
    """
    own = config.model_dump(mode="json")
    for key, value in recipe.data.items():
        if key in METHOD_KEYS or key == "baselines":
            continue
        if key == "format" and isinstance(value, Mapping):  # `check_methods` says what lacks `outcomes`
            value = {name: each for name, each in value.items() if name != "outcomes"}
        where = f"baseline {name!r}: {described(recipe, (key,))}"
        if key not in own:
            raise ConfigError(f"{where} is unknown; {nearest(key, METHOD_KEYS)}", code="wrong-settings", settings=[key])
        if not _is_in(value, own[key]):
            raise ConfigError(
                f"{where} differs from the run's, but the methods of a run share it. A baseline has its own "
                f"{', '.join(METHOD_KEYS)}",
                "Leave it out, or make it a run of its own, and compare the two: eef compare.",
                code="shared-setting",
                setting=key,
            )


def _is_in(given: Any, own: Any) -> bool:
    """Return whether all settings given are among the run's own."""
    if isinstance(own, Mapping) and isinstance(given, str):
        given = {"name": given}
    if isinstance(own, Mapping) and isinstance(given, Mapping):
        return all(key in own and _is_in(value, own[key]) for key, value in given.items())
    return bool(given == own)


def _merged(section: BaseModel, value: Mapping[str, Any], run: RunConfig, at: KeyPath = ()) -> dict[str, Any]:
    """Return the fields of a section with some replaced; sections within it are merged as well.

    They aren't converted to plain data: components that were passed as objects stay unchanged.
    """
    fields = {name: getattr(section, name) for name in type(section).model_fields}
    for name, new in value.items():
        old = fields.get(name)
        if kind_at((*at, name)):
            fields[name] = _respecified(old or _default(run, (*at, name)), new)
        elif isinstance(old, Section) and isinstance(new, Mapping):
            fields[name] = _merged(old, new, run, (*at, name))
        else:
            fields[name] = new
    return fields


def _respecified(old: ComponentSpec | None, new: Any) -> Any:
    """Return a component as it is given; one without a name is the run's own with other settings."""
    if old is None or not isinstance(new, Mapping) or "name" in new:
        return new
    if old.component is not None:
        raise ConfigError(
            f"a baseline changes {', '.join(map(repr, new))} of {old['name']!r}, which was given as an object",
            "Name the component in the baseline, with all its settings.",
            code="settings-of-an-object",
            component=old["name"],
        )
    return {**old, **new}


def _default(run: RunConfig, path: KeyPath) -> ComponentSpec | None:
    """Return the component that is used where none is set."""
    trainers: dict[KeyPath, ComponentSpec] = {
        ("tune", "trainer"): run.clone.trainer,
        ("tune", "world_model"): run.tune.world_model_trainer(run.clone),
    }
    return trainers.get(path)
