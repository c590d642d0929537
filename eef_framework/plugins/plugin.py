"""One plugin: its distribution, its components, and its error, if any."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from eef_framework.errors import PluginError, author_line
from eef_framework.interfaces import Component
from eef_framework.plugins import hookspecs
from eef_framework.plugins.kinds import HOOKS, KINDS, Kind, interface_names, kind_of
from eef_framework.validation_messages import reason

if TYPE_CHECKING:
    import typer

NAME = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*")
"""Pattern of registered names."""


@dataclass
class Plugin:
    """A plugin, loaded or broken.

    Attributes:
        name: its entry point.
        distribution: the installed package it comes from.
        version: that package's version.
        summary: that package's one line about itself.
        components: its components, by kind and name. Those of a broken plugin are kept only for their names, and never
            used.
        recipes: the recipes it registers.
        error: set if it can't be used.
    """

    name: str
    distribution: str = ""
    version: str = ""
    summary: str = ""
    components: dict[tuple[Kind, str], type[Component]] = field(default_factory=dict)
    recipes: dict[str, Path] = field(default_factory=dict)
    error: PluginError | None = None
    _manager: pluggy.PluginManager | None = field(default=None, repr=False)

    def __str__(self) -> str:
        origin = f" ({self.distribution} {self.version})" if self.distribution else ""
        return f"plugin {self.name!r}{origin}"

    def attach(self, module: object) -> None:
        """Let a module (or any object with hook implementations) register its parts.

        Raises:
            PluginError: it registers something of the wrong kind.
            pluggy.PluginValidationError: a hook doesn't exist, or takes other arguments.
        """
        # One manager for each plugin: pluggy stops at the first plugin that raises, but the others have to continue.
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(module, self.name)
        self._manager.check_pending()
        if not self._manager.get_hookcallers(module):
            raise PluginError(
                f"{self} implements no hook", "Decorate its functions with @hookimpl of eef_framework.plugins."
            )
        self._call("register_components", register=self.register_all)
        for hook, kind in HOOKS.items():
            self._call(hook, register=partial(self.register, kind))
        self._call("register_recipes", register=self._register_recipes)

    def register_all(self, *classes: type[Component]) -> None:
        """Add components of any kind.

        Raises:
            PluginError: as for `register`.
        """
        for cls in classes:
            self.register(kind_of(cls), cls)

    def add_commands(self, cli: typer.Typer) -> None:
        """Let the plugin add its commands; one that fails is broken from then on."""
        try:
            self._call("register_commands", cli=cli)
        except (Exception, SystemExit) as cause:
            self.fail(cause)

    def fail(self, cause: BaseException) -> None:
        """Mark the plugin as broken."""
        if not isinstance(cause, PluginError):
            where = author_line(cause)
            error = PluginError(
                f"{self} can't be loaded: {reason(cause)}{f' ({where})' if where else ''}",
                f"Upgrade or uninstall {self.distribution or 'it'}, or leave it out with --plugins.",
                code="plugin-not-loaded",
                where=where,
            )
            error.__cause__ = cause
            cause = error
        self.error = cause

    def register(self, kind: Kind, cls: type[Component]) -> None:
        """Add a component.

        Raises:
            PluginError: it isn't such a component, can't be built, has no name, or has the name of another one.
        """
        if not (isinstance(cls, type) and issubclass(cls, KINDS[kind])):
            raise PluginError(
                f"{self} registers {cls!r} as {kind}, which is not a subclass of {interface_names(kind)}",
                f"Derive it from {interface_names(kind)} of eef_framework.interfaces, and register the class, not an "
                "instance.",
            )
        name = getattr(cls, "name", None)
        if not isinstance(name, str) or not NAME.fullmatch(name) or "name" in cls.model_fields:
            raise PluginError(
                f"{self} registers {kind} {cls.__qualname__} with name {name!r}",
                'Give the class a name in lower case, words joined by hyphens: name: ClassVar[str] = "my-name".',
            )
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(cls.__abstractmethods__))
            raise PluginError(f"{self} registers {kind} {name!r}, which doesn't implement {missing}")
        if self.components.setdefault((kind, name), cls) is not cls:
            raise PluginError(f"{self} registers two components as {kind} {name!r}", "Rename one of them.")

    def _call(self, hook: str, **arguments: Any) -> None:
        if self._manager is not None and self.error is None:
            getattr(self._manager.hook, hook)(**arguments)

    def _register_recipes(self, recipes: Path | Mapping[str, Path]) -> None:
        if not isinstance(recipes, Mapping):
            if not Path(recipes).is_dir():
                raise PluginError(f"{self} registers recipes in {str(recipes)!r}, which isn't a folder")
            recipes = {path.stem: path for path in sorted(Path(recipes).glob("*.yaml"))}
        for name, path in recipes.items():
            if not Path(path).is_file():
                raise PluginError(f"{self} registers recipe {name!r}, but there is no file {str(path)!r}")
            if name in self.recipes:
                raise PluginError(f"{self} registers two recipes named {name!r}", "Rename one of them.")
            self.recipes[name] = Path(path)
