"""From recipe, environment variables and `--set` to the configuration of a run."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from eef_framework.chat.format import ChatFormat
from eef_framework.config.merge import COMPONENTS, LayeredSettings, defaults
from eef_framework.config.schema import RunConfig
from eef_framework.config.yaml_source import YamlSource, parse_value, read_yaml
from eef_framework.errors import ConfigError
from eef_framework.plugins import Kind, Registry
from eef_framework.plugins.validation_messages import Place, dotted, validation_messages
from eef_framework.records import Trajectory
from eef_framework.runs import read_rows

PREFIX = "EEF__"
"""Environment variables that set something: `EEF__explore__simulations=2`."""


def load_config(
    recipe: str | Path | None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    registry: Registry | None = None,
) -> RunConfig:
    """Compose the configuration of a run and check all of it, down to the settings of every component.

    Later sources win: defaults, the recipe, environment variables (`EEF__explore__simulations=2`), overrides. A
    component that a later source names anew loses the settings of the one before.

    Args:
        recipe: name of a registered recipe, path of a YAML file, or None for the defaults alone. A recipe may build
            on another: `extends: eef`.
        overrides: `key.key=value`, with values as in YAML.
        environ: the environment variables.
        registry: what is installed; names and settings of components are checked against it.

    Raises:
        ConfigError: anything is wrong. All mistakes of one stage are listed, each with file and line or variable.
    """
    registry = registry or Registry()
    return _checked(_overlaid(recipe, overrides, environ, registry), registry)


def wanted_plugins(
    recipe: str | Path | None, overrides: Sequence[str], environ: Mapping[str, str], registry: Registry
) -> list[str] | None:
    """Return the plugins that a configuration limits its run to, before anything else in it is looked at.

    Raises:
        ConfigError: a source can't be read.
    """
    plugins = _overlaid(recipe, overrides, environ, registry).data["plugins"]
    return plugins if isinstance(plugins, list) and all(isinstance(name, str) for name in plugins) else None


def read_recipe(recipe: str | Path, registry: Registry) -> dict[str, Any]:
    """Return what a recipe and those it builds on say, without defaults and unchecked.

    Raises:
        ConfigError: it can't be found or read.
    """
    overlay = LayeredSettings()
    _add_recipe(overlay, recipe, registry)
    return overlay.data


def components(config: RunConfig) -> Iterator[tuple[Place, Kind, dict[str, Any]]]:
    """Yield place, kind, and name with settings of every component a configuration names."""
    data = config.model_dump(mode="json")
    for pattern, kind in COMPONENTS.items():
        for place, spec in _at(data, pattern):
            if spec is not None:
                yield place, kind, spec


def resolved(config: RunConfig, registry: Registry) -> dict[str, Any]:
    """Return a configuration as plain data in which components have all of their settings, defaults included.

    This is what a record of a run keeps: a default that another version of a plugin changes shows up as a change.
    """
    data = config.model_dump(mode="json")
    for place, kind, spec in components(config):
        with registry.build(kind, spec) as component:
            settings = {**component.settings(), "name": spec["name"]}
        *above, last = place
        functools.reduce(lambda part, key: part[key], above, cast("Any", data))[last] = settings
    return data


def _at(data: Any, pattern: Place, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    if not pattern:
        yield place, data
    elif pattern[0] == "*":
        for index, item in enumerate(data):
            yield from _at(item, pattern[1:], (*place, index))
    else:
        yield from _at(data[pattern[0]], pattern[1:], (*place, pattern[0]))


def _overlaid(
    recipe: str | Path | None, overrides: Sequence[str], environ: Mapping[str, str], registry: Registry
) -> LayeredSettings:
    overlay = LayeredSettings(defaults())
    if recipe is not None:
        _add_recipe(overlay, recipe, registry)
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            path = variable.removeprefix(PREFIX).lower().replace("__", ".")
            _set(overlay, path, environ[variable], f"environment variable {variable}")
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override!r} has no `=`", "Write --set key.key=value.")
        _set(overlay, path.strip(), text, f"--set {override}")
    return overlay


def _set(overlay: LayeredSettings, path: str, text: str, origin: str) -> None:
    overlay.set(path, parse_value(text, origin), origin)


def _add_recipe(overlay: LayeredSettings, recipe: str | Path, registry: Registry) -> None:
    for document in reversed(list(_chain(recipe, registry))):
        overlay.add(document)


def _chain(recipe: str | Path, registry: Registry) -> Iterator[YamlSource]:
    """Yield a recipe's document, then those it builds on."""
    seen: list[Path] = []
    folder = Path()
    while True:
        path = _file(recipe, folder, registry)
        if path in seen:
            raise ConfigError(
                f"recipe {str(recipe)!r} extends itself: {' -> '.join(each.name for each in [*seen, path])}",
                "Remove one `extends:`.",
            )
        seen.append(path)
        document = read_yaml(path)
        parent = document.data.pop("extends", None)
        yield document
        if parent is None:
            return
        if not isinstance(parent, str):
            raise ConfigError(f"{document.origins[('extends',)]}: extends {parent!r}, expected the name of a recipe")
        recipe, folder = parent, path.parent


def _file(recipe: str | Path, folder: Path, registry: Registry) -> Path:
    text = str(recipe)
    if isinstance(recipe, Path) or text.endswith((".yaml", ".yml")) or "/" in text or os.sep in text:
        path = (folder / recipe).resolve()
        if not path.is_file():
            known = ", ".join(sorted(registry.recipes)) or "none"
            raise ConfigError(f"there is no file {text!r}", f"Give a YAML file, or the name of a recipe: {known}.")
        return path
    return registry.recipe(text).resolve()


def _checked(overlay: LayeredSettings, registry: Registry) -> RunConfig:
    _read_shots(overlay)
    try:
        config = RunConfig.model_validate(overlay.data)
    except ValidationError as cause:
        message = validation_messages(cause, RunConfig, lambda place: _described(overlay, place))
        raise ConfigError(message, _advice(overlay, registry)) from cause
    for place, kind, spec in components(config):
        try:
            registry.build(kind, spec).close()
        except ConfigError as error:
            raise type(error)(f"{_described(overlay, place)}: {error.message}", error.fix) from error
    for baseline in config.baselines:
        read_recipe(baseline, registry)
    return config


def _advice(overlay: LayeredSettings, registry: Registry) -> str:
    """Say how to mend what is missing, or stands where it doesn't belong."""
    unnamed: list[Kind] = [kind for kind in ("environment", "expert") if not overlay.data.get(kind)]
    advice = [how_to_name(kind, registry) for kind in unnamed] if "environment" in unnamed else []
    if "out" in overlay.data:
        advice.append("Where results go is an option of the command: --out PATH.")
    return " ".join(advice)


def _read_shots(overlay: LayeredSettings) -> None:
    """Put episodes in place of the path of a file with them, so that a configuration says all of what agents read."""
    settings = overlay.data["format"]
    path = settings.get("shots") if isinstance(settings, dict) else None
    if isinstance(path, str):
        try:
            wording = ChatFormat.model_validate({**settings, "shots": ()})
        except ValidationError:
            return  # said when everything is checked
        rows = [row for row in read_rows(Path(path), Trajectory) if row.steps]
        if not rows:
            where = _described(overlay, ("format", "shots"))
            raise ConfigError(
                f"{where}: {path!r} holds no trajectory with a step",
                "Name a file that `eef collect` or `eef play` wrote.",
            )
        settings["shots"] = [list(wording.shot(row)) for row in rows]


def _described(overlay: LayeredSettings, place: Place) -> str:
    origin = overlay.where(place)
    return f"{dotted(place) or 'configuration'}{f' ({origin})' if origin else ''}"


def how_to_name(kind: Kind, registry: Registry) -> str:
    """Say how to name a component of a kind, and which there are."""
    names = registry.names(kind)
    return f"Add --set {kind}=NAME, one of: {', '.join(names) or 'none is installed'}."
