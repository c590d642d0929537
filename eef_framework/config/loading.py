"""Loads the configuration of a run from a recipe, environment variables and `--set`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eef_framework.config.merge import LayeredSettings, defaults
from eef_framework.config.schema import RunConfig
from eef_framework.config.validation import checked, located
from eef_framework.config.yaml_source import YamlSource, origins_of, parse_value, read_yaml
from eef_framework.errors import ConfigError
from eef_framework.paths import expand
from eef_framework.plugins import Registry, load_plugins

PREFIX = "EEF__"
"""Prefix of environment variables with settings: `EEF__explore__simulations=2`."""

GIVEN_IN_PYTHON = "the mapping given in Python"
"""Origin of settings that have no file and line."""

Recipe = str | Path | Mapping[str, Any] | None
"""Name of a recipe, path of a YAML file, a mapping of settings as in such a file, or None for only the defaults."""

Overrides = str | Sequence[str] | Mapping[str, Any]
"""One or more `key.key=value`, with YAML values; or a mapping key -> value."""


def load_config(
    recipe: Recipe,
    overrides: Overrides = (),
    environ: Mapping[str, str] = os.environ,
    registry: Registry | None = None,
) -> RunConfig:
    """Compose the configuration of a run and validate it, including the settings of every component.

    Later sources win: defaults, the recipe, environment variables (`EEF__explore__simulations=2`), overrides. If a
    later source names another component, the settings of the earlier one are dropped.

    Args:
        recipe: name of a registered recipe, path of a YAML file, settings as a mapping (components may be objects),
            or None for only the defaults. A recipe may extend another: `extends: eef`.
        overrides: `key.key=value`, with YAML values; or a mapping.
        environ: the environment variables.
        registry: the registry that names and settings of components are checked against. Default: the plugins that
            the setting `plugins` lists, or all.

    Raises:
        ConfigError: something is wrong. All errors of one stage are listed, each with its file and line or variable.
        PluginError: a plugin that the settings list is broken.
    """
    return load_with_registry(recipe, overrides, environ, registry)[0]


def load_with_registry(
    recipe: Recipe,
    overrides: Overrides = (),
    environ: Mapping[str, str] = os.environ,
    registry: Registry | None = None,
) -> tuple[RunConfig, Registry]:
    """Compose a configuration as `load_config` does, and return the registry it was checked against, too.

    Raises:
        ConfigError: as `load_config`.
        PluginError: as `load_config`.
    """
    plugins = registry or load_plugins()
    settings = read_settings(recipe, overrides, environ, plugins)
    limited = wanted_plugins(settings) if registry is None else None
    if limited is not None:  # the configuration itself limits the run
        plugins = load_plugins(limited)
    _complete_paths(settings.data)
    config = checked(settings, plugins)
    for index, baseline in enumerate(config.baselines):
        try:
            read_recipe(baseline, plugins)
        except ConfigError as error:
            raise located(error, settings, ("baselines", index)) from error
    return config, plugins


def read_settings(
    recipe: Recipe, overrides: Overrides, environ: Mapping[str, str], registry: Registry
) -> LayeredSettings:
    """Return the settings of all sources, each read once. The settings are not validated.

    Raises:
        ConfigError: a source can't be read.
    """
    settings = LayeredSettings(defaults())
    if recipe is not None:
        _add_recipe(settings, recipe, registry)
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            path = variable.removeprefix(PREFIX).lower().replace("__", ".")
            origin = f"environment variable {variable}"
            settings.set(path, parse_value(environ[variable], origin), origin)
    for path, value, origin in _overrides(overrides):
        settings.set(path, value, origin)
    return settings


def wanted_plugins(settings: LayeredSettings) -> list[str] | None:
    """Return the plugins that the settings limit a run to, before anything else is validated."""
    plugins = settings.data["plugins"]
    if not isinstance(plugins, list | tuple) or not all(isinstance(name, str) for name in plugins):
        return None
    return list(plugins)


def read_recipe(recipe: str | Path, registry: Registry) -> LayeredSettings:
    """Return the settings of a recipe and of those it extends, without defaults and not validated.

    Raises:
        ConfigError: it can't be found or read.
    """
    settings = LayeredSettings()
    _add_recipe(settings, recipe, registry)
    return settings


def _overrides(overrides: Overrides) -> Iterator[tuple[str, Any, str]]:
    """Yield path, value and origin of every override."""
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            yield key, value, f"override {key}"
        return
    for override in [overrides] if isinstance(overrides, str) else overrides:
        path, equals, text = override.partition("=")
        origin = f"--set {override}"
        if not equals:
            raise ConfigError(
                f"--set {override!r} has no `=`", "Write --set key.key=value.", code="no-value", given=override
            )
        yield path.strip(), parse_value(text, origin), origin


def _add_recipe(settings: LayeredSettings, recipe: str | Path | Mapping[str, Any], registry: Registry) -> None:
    for source in reversed(list(_chain(recipe, registry))):
        settings.add(source)


def _chain(recipe: str | Path | Mapping[str, Any], registry: Registry) -> Iterator[YamlSource]:
    """Yield a recipe's source, then those it extends."""
    seen: list[Path] = []
    folder = Path()
    while True:
        if isinstance(recipe, Mapping):
            source = YamlSource(dict(recipe), origins_of(recipe, GIVEN_IN_PYTHON))
        else:
            path = _file(recipe, folder, registry)
            if path in seen:
                raise ConfigError(
                    f"recipe {str(recipe)!r} extends itself: {' -> '.join(each.name for each in [*seen, path])}",
                    "Remove one `extends:`.",
                    code="recipe-cycle",
                )
            seen.append(path)
            folder = path.parent
            source = read_yaml(path)
            _find_baselines(source.data, folder)
        parent = source.data.pop("extends", None)
        yield source
        if parent is None:
            return
        if not isinstance(parent, str):
            where = source.origins[("extends",)]
            raise ConfigError(
                f"{where}: extends {parent!r}, expected the name of a recipe",
                "Name one recipe, or the path of one YAML file, which may extend another itself.",
                code="extends-no-name",
            )
        recipe = parent


def _find_baselines(data: dict[str, Any], folder: Path) -> None:
    """Resolve the paths of a file's baselines that are relative to its folder. Others are relative to the cwd."""
    baselines = data.get("baselines")
    if isinstance(baselines, list) and folder != Path.cwd():
        beside = {name: folder / expand(name) for name in baselines if isinstance(name, str) and _is_path(name)}
        found = {name: str(path) for name, path in beside.items() if path.is_file()}
        data["baselines"] = [found.get(name, name) if isinstance(name, str) else name for name in baselines]


def _is_path(recipe: str | Path) -> bool:
    """Return whether a recipe is given by its path, not by its name."""
    text = str(recipe)
    return isinstance(recipe, Path) or text.endswith((".yaml", ".yml")) or "/" in text or os.sep in text


def _file(recipe: str | Path, folder: Path, registry: Registry) -> Path:
    if not isinstance(recipe, str | Path):
        raise ConfigError(
            f"expected a recipe's name, the path of a YAML file or a mapping with settings, got {recipe!r:.80}",
            "Give components as settings: {'environment': ..., 'expert': ...}.",
            code="not-settings",
        )
    text = str(recipe)
    if _is_path(recipe):
        path = (folder / expand(recipe)).resolve()
        if not path.exists() or path.is_dir():  # a pipe works: it is read once
            known = ", ".join(sorted(registry.recipes)) or "none"
            raise ConfigError(
                f"there is no file {text!r}",
                f"Give a YAML file, or the name of a recipe: {known}.",
                code="no-such-recipe",
                path=text,
            )
        return path
    return registry.recipe(text).resolve()


def _complete_paths(data: dict[str, Any]) -> None:
    """Make the paths of baselines absolute, so that a run can be resumed from any folder."""
    if isinstance(data["baselines"], list):
        data["baselines"] = [
            str(expand(name).resolve()) if isinstance(name, str) and _is_path(name) and expand(name).is_file() else name
            for name in data["baselines"]
        ]
