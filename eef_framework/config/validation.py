"""Validates the settings of a run, and builds its components to check theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from eef_framework.chat.format import ChatFormat
from eef_framework.config.merge import COMPONENTS, LayeredSettings
from eef_framework.config.schema import ComponentSpec, RunConfig
from eef_framework.errors import ConfigError
from eef_framework.paths import expand
from eef_framework.plugins import Kind, Registry
from eef_framework.records import Trajectory
from eef_framework.runs import read_rows
from eef_framework.validation_messages import KeyPath, dotted, validation_messages


def checked(settings: LayeredSettings, registry: Registry) -> RunConfig:
    """Build a configuration from settings and validate it.

    Raises:
        ConfigError: as `load_config`.
    """
    _read_shots(settings)
    _complete_components(settings.data)
    config = validated(settings.data, settings, _advice(settings, registry))
    check_components(config, settings, registry)
    return config


def validated(data: Mapping[str, Any], settings: LayeredSettings, fix: str = "") -> RunConfig:
    """Return a configuration.

    Args:
        data: its settings; components may be objects.
        settings: where they were written.
        fix: how to fix an error.

    Raises:
        ConfigError: a setting is unknown or has a wrong value (`wrong-settings`); each is in a line of its own.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as cause:
        message = validation_messages(cause, RunConfig, lambda key_path: described(settings, key_path))
        wrong = [dotted(tuple(each["loc"])) for each in cause.errors()]
        types = [each["type"] for each in cause.errors()]
        raise ConfigError(message, fix, code="wrong-settings", settings=wrong, reasons=types) from cause


def check_components(config: RunConfig, settings: LayeredSettings, registry: Registry) -> None:
    """Build the components of a configuration, to check their settings.

    Args:
        config: the configuration. The components are kept for its run.
        settings: where its settings were written.
        registry: registry for looking up components by name.

    Raises:
        ConfigError: there is no component of a name, or it doesn't accept its settings.
    """
    for key_path, kind, spec in components(config):
        try:
            if spec.component is None and spec.checked is None:
                spec.checked = registry.build(kind, spec)
        except ConfigError as error:
            raise located(error, settings, key_path) from error


def located(error: ConfigError, settings: LayeredSettings, key_path: KeyPath) -> ConfigError:
    """Return an error with the setting that it is about, and where that was written."""
    message = f"{described(settings, key_path)}: {error.message}"
    return type(error)(message, error.fix, code=error.code, **error.details)


def _complete_components(data: dict[str, Any]) -> None:
    """Add name and settings to components that are null by default, if only some of their settings were given.

    `tune.trainer.steps` alone then means the trainer of `clone` with another number of steps.
    """
    clone, tune = data.get("clone"), data.get("tune")
    if isinstance(clone, dict) and isinstance(tune, dict):
        tune["trainer"] = _completed(tune.get("trainer"), clone.get("trainer"))
        tune["world_model"] = _completed(tune.get("world_model"), tune["trainer"] or clone.get("trainer"))
    data["executor"] = _completed(data.get("executor"), "threads")


def _completed(spec: Any, base: Any) -> Any:
    if not isinstance(spec, dict) or "name" in spec or isinstance(spec, ComponentSpec):
        return spec
    named = {"name": base} if isinstance(base, str) else base
    return {**named, **spec} if isinstance(named, dict) and "name" in named else spec


def _advice(settings: LayeredSettings, registry: Registry) -> str:
    """Return how to fix a missing or misplaced setting."""
    unnamed: list[Kind] = [kind for kind in ("environment", "expert") if not settings.data.get(kind)]
    advice = [how_to_name(kind, registry) for kind in unnamed] if "environment" in unnamed else []
    if "out" in settings.data:
        advice.append("Where results go is an option of the command: --out PATH.")
    return " ".join(advice)


def _read_shots(settings: LayeredSettings) -> None:
    """Replace the path of a file with its episodes, so that a configuration contains everything that agents read."""
    section = settings.data["format"]
    path = section.get("shots") if isinstance(section, dict) else None
    if isinstance(path, str):
        try:
            wording = ChatFormat.model_validate({**section, "shots": ()})
        except ValidationError:
            return  # reported when everything is validated
        rows = [row for row in read_rows(expand(path), Trajectory) if row.steps]
        if not rows:
            where = described(settings, ("format", "shots"))
            raise ConfigError(
                f"{where}: {path!r} has no trajectory with a step",
                "Name a file that `eef collect` or `eef play` wrote.",
                code="no-shots",
                path=path,
            )
        section["shots"] = [list(wording.shot(row)) for row in rows]


def described(settings: LayeredSettings, key_path: KeyPath) -> str:
    """Return the path of a setting, and where it was written."""
    origin = settings.where(key_path)
    return f"{dotted(key_path) or 'configuration'}{f' ({origin})' if origin else ''}"


def how_to_name(kind: Kind, registry: Registry) -> str:
    """Return how to name a component of a kind, and the available ones."""
    names = registry.names(kind)
    return f"Add --set {kind}=NAME, one of: {', '.join(names) or 'none is installed'}."


def components(config: RunConfig) -> Iterator[tuple[KeyPath, Kind, ComponentSpec]]:
    """Yield path, kind, and name with settings of every component in a configuration."""
    for pattern, kind in COMPONENTS.items():
        for key_path, spec in _at(config, pattern):
            if spec is not None:
                yield key_path, kind, ComponentSpec.make(spec)


def _at(data: Any, pattern: KeyPath, key_path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if not pattern:
        yield key_path, data
    elif pattern[0] == "*":
        for index, item in enumerate(data or ()):
            yield from _at(item, pattern[1:], (*key_path, index))
    else:
        yield from _at(getattr(data, str(pattern[0]), None), pattern[1:], (*key_path, pattern[0]))
