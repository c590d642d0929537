"""Registry: maps names to classes and recipes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, overload

from pydantic import ValidationError

from eef_framework.errors import ConfigError, EefError, PluginError, UnknownName, author_line
from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    Executor,
    Expert,
    Filter,
    Policy,
    Tracker,
    TrainablePolicy,
    Trainer,
)
from eef_framework.plugins.distributions import distribution_of
from eef_framework.plugins.import_path import check_complete, class_given, import_class
from eef_framework.plugins.kinds import KINDS, Kind, interface_names, kind_of
from eef_framework.plugins.plugin import Plugin
from eef_framework.validation_messages import KeyPath, dotted, reason, validation_messages

Spec = str | Mapping[str, Any] | Component
"""A component to build: its name, its name and settings, or the component itself."""

OWN_CODE = "own code"
"""The name of the plugin that holds what `Registry.register` adds."""

OWN_CLASS = "A class of your own is named by its module and a colon: my_module:MyClass."

BUILDING: ContextVar[Registry] = ContextVar("eef_registry")
"""The registry that is building a component right now; see `current_registry`."""


class Registry:
    """Everything that the loaded plugins registered.

    Attributes:
        plugins: all that were asked for, broken ones included.
        unselected: names of plugins that are installed but were not asked for.
    """

    def __init__(self, plugins: Sequence[Plugin] = (), unselected: Sequence[str] = ()) -> None:
        self.plugins: list[Plugin] = []
        self.unselected = tuple(unselected)
        for plugin in plugins:
            self.add(plugin)

    def add(self, plugin: Plugin) -> None:
        """Add a plugin. If it registers a name that is already taken, it is broken."""
        for kind, name in [*plugin.components, *(("recipe", name) for name in plugin.recipes)]:
            owner = self._owner(kind, name)
            if owner and not plugin.error:
                plugin.fail(
                    PluginError(
                        f"{plugin} registers {kind} {name!r}, which {owner} registers already",
                        f"Uninstall one of {plugin.distribution or plugin.name!r} and "
                        f"{owner.distribution or owner.name!r}, or leave one out with --plugins.",
                        code="name-taken",
                        kind=kind,
                        name=name,
                    )
                )
        self.plugins.append(plugin)

    def register(self, *classes: type[Component]) -> None:
        """Add components of user code, only to this registry.

        A class that is redefined, for example by rerunning a notebook cell, replaces the earlier one.

        Raises:
            PluginError: one isn't a component, has no name, or a name that is taken.
        """
        own = next((plugin for plugin in self.plugins if plugin.name == OWN_CODE), None)
        if own is None:
            own = Plugin(OWN_CODE)
            self.plugins.append(own)
        for cls in classes:
            kind = kind_of(cls)
            owner = self._owner(kind, cls.name)
            before = own.components.get((kind, cls.name))
            if owner is not None and owner is not own:
                raise PluginError(
                    f"{cls.__qualname__} can't be registered as {kind} {cls.name!r}, which {owner} already registers",
                    "Give the class another `name`.",
                    code="name-taken",
                    kind=kind,
                    name=cls.name,
                )
            if before is not None and (before.__module__, before.__qualname__) == (cls.__module__, cls.__qualname__):
                del own.components[kind, cls.name]
            own.register(kind, cls)

    @property
    def broken(self) -> tuple[Plugin, ...]:
        """The plugins that can't be used."""
        return tuple(plugin for plugin in self.plugins if plugin.error)

    @property
    def recipes(self) -> dict[str, Path]:
        """Name -> file of every recipe."""
        return {name: path for plugin in self._usable for name, path in plugin.recipes.items()}

    def names(self, kind: Kind) -> list[str]:
        """Return all names of a kind, sorted."""
        return sorted(name for plugin in self._usable for each, name in plugin.components if each == kind)

    def get(self, kind: Kind, name: str) -> type[Component]:
        """Return the class registered under a name.

        Args:
            kind: the expected kind.
            name: a registered name, or the import path `module:Class` of a class in the user's own code.

        Raises:
            UnknownName: nothing is registered under it; the message has similar names, or the package to install.
            PluginError: the plugin that registers it is broken.
            ConfigError: the import path can't be imported, or isn't of this kind.
        """
        if ":" in name:
            cls: type[Component] = import_class(name)
            if not (isinstance(cls, type) and issubclass(cls, KINDS[kind])):
                fix = f"Derive it from {interface_names(kind)} of eef_framework.interfaces."
                raise ConfigError(
                    f"{name!r} isn't a subclass of {interface_names(kind)}", fix, code="wrong-kind", kind=kind
                )
            check_complete(cls, name)
            return cls
        for plugin in self._usable:
            if (kind, name) in plugin.components:
                return plugin.components[kind, name]
        for plugin in self.broken:
            if plugin.error and (kind, name) in plugin.components:
                raise plugin.error
        raise UnknownName.of(kind, name, self.names(kind), self.advice(name))

    def name_of(self, cls: type[Component]) -> str:
        """Return the name that a class is registered under, or else its import path."""
        registered = any(cls in plugin.components.values() for plugin in self._usable)
        return cls.name if registered else f"{cls.__module__}:{cls.__qualname__}"

    def companions(self, cls: type[Component], base: type[Component]) -> list[type[Any]]:
        """Return the subclasses of a base class that come with a component: from its plugin, or from its module.

        Of classes in a module, those that it defines come before those that it imports.

        Args:
            cls: the class of the component.
            base: the base class of the companions, such as `Environment`.
        """
        for plugin in self._usable:
            if cls in plugin.components.values():
                return [each for each in plugin.components.values() if issubclass(each, base)]
        named = vars(sys.modules[cls.__module__]).values()
        classes = [each for each in named if isinstance(each, type) and issubclass(each, base)]
        found = [each for each in dict.fromkeys(classes) if not inspect.isabstract(each)]
        return [each for each in found if each.__module__ == cls.__module__] or found

    def recipe(self, name: str) -> Path:
        """Return the file of a recipe.

        Raises:
            UnknownName: no recipe has this name.
        """
        if name not in self.recipes:
            raise UnknownName.of("recipe", name, self.recipes, self.advice(name, "A file needs its ending: NAME.yaml."))
        return self.recipes[name]

    # fmt: off
    @overload
    def build(self, kind: Literal["environment"], spec: Spec) -> Environment: ...
    @overload
    def build(self, kind: Literal["expert"], spec: Spec) -> Expert: ...
    @overload
    def build(self, kind: Literal["policy"], spec: Spec) -> Policy | TrainablePolicy: ...
    @overload
    def build(self, kind: Literal["attributor"], spec: Spec) -> Attributor: ...
    @overload
    def build(self, kind: Literal["filter"], spec: Spec) -> Filter: ...
    @overload
    def build(self, kind: Literal["trainer"], spec: Spec) -> Trainer: ...
    @overload
    def build(self, kind: Literal["executor"], spec: Spec) -> Executor: ...
    @overload
    def build(self, kind: Literal["tracker"], spec: Spec) -> Tracker: ...
    @overload
    def build(self, kind: Kind, spec: Spec) -> Component: ...
    # fmt: on
    def build(self, kind: Kind, spec: Spec) -> Component:
        """Build a component.

        Args:
            kind: the expected kind.
            spec: a name, a mapping with `name` and settings, or a component, which is returned unchanged.

        Raises:
            ConfigError: the component doesn't exist, or a setting is unknown or invalid.
        """
        if isinstance(spec, type):
            raise class_given(spec)
        if isinstance(spec, Component):
            if not isinstance(spec, KINDS[kind]):
                raise ConfigError(
                    f"{spec!r} isn't a subclass of {interface_names(kind)}",
                    f"Give an object of such a class for the {kind}.",
                    code="wrong-kind",
                    kind=kind,
                )
            return spec
        settings = {"name": spec} if isinstance(spec, str) else dict(spec)
        name = settings.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(
                f"this {kind} has no name: {spec!r}",
                f"Add `name:`, one of {', '.join(self.names(kind)) or 'none'}.",
                code="no-name",
                kind=kind,
            )
        cls = self.get(kind, name)
        building = BUILDING.set(self)
        try:
            return _build(kind, name, cls, settings)
        finally:
            BUILDING.reset(building)

    @property
    def _usable(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if not plugin.error]

    def _owner(self, kind: str, name: str) -> Plugin | None:
        def has(plugin: Plugin) -> bool:
            return name in plugin.recipes if kind == "recipe" else (kind, name) in plugin.components

        return next(filter(has, self._usable), None)

    def advice(self, name: str, otherwise: str = OWN_CLASS) -> str:
        """Return how to fix a name under which nothing of the wanted kind is registered.

        Args:
            name: the name.
            otherwise: the advice if nothing of another kind has this name, and no known package provides it.
        """
        advice = [f"There is the {kind} {name!r}." for kind in (*KINDS, "recipe") if self._owner(kind, name)]
        distribution = distribution_of(name)
        if distribution and distribution not in {plugin.distribution for plugin in self.plugins}:
            advice.append(f"{name!r} comes with {distribution}: pip install {distribution}.")
        advice = advice or [otherwise]
        advice += [f"A broken plugin may bring it: {plugin.error.message}." for plugin in self.broken if plugin.error]
        if self.unselected:
            advice.append(f"Installed, but left out by --plugins or EEF_PLUGINS: {', '.join(self.unselected)}.")
        return " ".join(advice)


def _build(kind: Kind, name: str, cls: type[Component], settings: dict[str, Any]) -> Component:
    try:
        return cls(**settings)
    except ValidationError as cause:
        reasons = validation_messages(cause, cls, lambda key_path: _setting(kind, name, key_path))
        wrong = [dotted(tuple(each["loc"])) for each in cause.errors()]
        types = [each["type"] for each in cause.errors()]
        own = "Its settings are the fields of its class."
        fix = own if ":" in name else f"`eef plugins {name}` lists its settings."
        raise ConfigError(
            reasons, fix, code="wrong-settings", settings=wrong, reasons=types, kind=kind, name=name
        ) from cause
    except EefError:
        raise
    except (Exception, SystemExit) as cause:
        where = author_line(cause)
        raise ConfigError(
            f"{kind} {name!r} can't be built: {reason(cause)}{f' ({where})' if where else ''}",
            "Correct it there." if where else "",
            code="component-not-built",
            where=where,
        ) from cause


def _setting(kind: str, name: str, key_path: KeyPath) -> str:
    return f"setting {dotted(key_path)!r} of {kind} {name!r}" if key_path else f"{kind} {name!r}"
