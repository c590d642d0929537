"""Merges settings: defaults, recipe, environment variables, command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eef_framework.config.schema import RunConfig
from eef_framework.config.yaml_source import YamlSource, origins_of
from eef_framework.errors import ConfigError
from eef_framework.plugins import Kind
from eef_framework.validation_messages import KeyPath

COMPONENTS: dict[KeyPath, Kind] = {
    ("environment",): "environment",
    ("expert",): "expert",
    ("policy",): "policy",
    ("clone", "trainer"): "trainer",
    ("attributor",): "attributor",
    ("explore", "reflection", "judge"): "expert",
    ("filters", "*"): "filter",
    ("tune", "trainer"): "trainer",
    ("tune", "world_model"): "trainer",
    ("executor",): "executor",
    ("trackers", "*"): "tracker",
}
"""Paths of components in the schema (`*` is any index), with their kinds."""


def kind_at(key_path: KeyPath) -> Kind | None:
    """Return the kind of the component at a path, if there is one."""
    return COMPONENTS.get(tuple("*" if isinstance(key, int) else key for key in key_path))


def defaults() -> dict[str, Any]:
    """Return the schema's defaults explicitly: changing one key of a section keeps the section's other defaults."""
    return RunConfig.model_construct(**{}).model_dump(mode="json", warnings=False)


class LayeredSettings:
    """Settings merged from several sources; later sources override earlier ones.

    Args:
        data: the initial settings.

    Attributes:
        data: the merged settings, as nested mappings.
        origins: where each key was last written.
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.data: dict[str, Any] = data or {}
        self.origins: dict[KeyPath, str] = {}

    def add(self, document: YamlSource) -> None:
        """Merge a document into the settings. Sections are merged, lists are replaced.

        A component that is renamed loses its settings; one that keeps its name keeps those that aren't set again.
        """
        self.data = _merge(self.data, document.data, ())
        self.origins |= document.origins

    def set(self, path: str, value: Any, origin: str) -> None:
        """Set the value at a path such as `clone.trainer.epochs` or `filters.0.per_task`."""
        keys: KeyPath = tuple(int(key) if key.isdecimal() else key for key in path.split("."))
        if not all(part for part in path.split(".")):
            raise ConfigError(
                f"{origin}: {path!r} isn't the path of a setting",
                "Use key.key=value, for example explore.simulations=2.",
                code="invalid-path",
                given=path,
            )
        nested = _nest(keys, value, self.data, (), origin)
        origins = {keys[: n + 1]: origin for n in range(len(keys))} | origins_of(value, origin, keys)
        self.add(YamlSource(nested, origins))

    def where(self, path: KeyPath) -> str:
        """Return where the nearest key at or above a path was written; empty for defaults."""
        return next((self.origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.origins), "")


def _merge(old: Any, new: Any, key_path: KeyPath) -> Any:
    if kind_at(key_path):
        old, new = _named(old), _named(new)
        if isinstance(old, dict) and isinstance(new, dict) and new.get("name", old.get("name")) != old.get("name"):
            return new
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merge(old.get(key), value, (*key_path, key)) for key, value in new.items()}
    return new


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _nest(keys: Sequence[str | int], value: Any, old: Any, key_path: KeyPath, origin: str) -> Any:
    """Return the mapping to merge with `old` to set a value at some nested keys."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if not isinstance(old, list):
        inner = old.get(key) if isinstance(old, dict) else None
        return {str(key): _nest(rest, value, inner, (*key_path, key), origin)}
    if not isinstance(key, int) or key >= len(old):
        raise ConfigError(
            f"{origin}: {key!r} isn't an index of a list of length {len(old)}",
            "Indices start at 0.",
            code="no-such-index",
            given=key,
            length=len(old),
        )
    new = _nest(rest, value, old[key], (*key_path, key), origin)
    return [*old[:key], _merge(old[key], new, (*key_path, key)), *old[key + 1 :]]
