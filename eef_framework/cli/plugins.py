"""`eef plugins`: lists installed components and their settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eef_framework.errors import UnknownName
from eef_framework.interfaces import Component
from eef_framework.plugins import Kind, Plugin, Registry, load_plugins
from eef_framework.plugins.describe import Setting, settings_of, summary_of, summary_of_recipe
from eef_framework.plugins.import_path import import_class
from eef_framework.plugins.kinds import kind_of
from eef_framework.validation_messages import model_at

WIDE = 500
"""Width of a table that isn't shown on a terminal, in characters."""


def plugins(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Components (`shop`, `my_module:MyClass`), or plugins."),
    ] = None,
) -> None:
    """List the installed components, or show the settings of some."""
    registry = load_plugins()
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE  # one line for each, for grep and the like
    if not names:
        _list(registry, console)
    for found in [_find(registry, name) for name in names or ()]:  # a misspelt name is reported before any output
        _show(found, console)


def _list(registry: Registry, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "distribution", "version"):
        table.add_column(column, no_wrap=True)
    table.add_column("summary")
    for plugin in registry.plugins:
        for kind, name, summary in _parts(plugin):
            table.add_row(kind, name, plugin.distribution, plugin.version, summary)
    for plugin in registry.broken:
        cause = Text(plugin.error.message if plugin.error else "")
        table.add_row("plugin", plugin.name, plugin.distribution, plugin.version, cause, style="red")
    console.print(table)


def _parts(plugin: Plugin) -> list[tuple[str, str, str]]:
    if plugin.error:
        return []
    parts = [(kind, name, summary_of(cls)) for (kind, name), cls in plugin.components.items()]
    return [*parts, *(("recipe", name, summary_of_recipe(path)) for name, path in plugin.recipes.items())]


def _show(found: list[tuple[Plugin | None, Kind, type[Component]]], console: Console) -> None:
    for plugin, kind, cls in found:
        console.print(f"[bold]{kind} {cls.component_name()}[/] from {plugin or cls.__module__}", soft_wrap=True)
        console.print(Text(summary_of(cls)))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("setting", "type", "default", "meaning"):
            table.add_column(column, overflow="fold")
        for setting in _settings(cls):
            table.add_row(*map(Text, setting))
        console.print(table if table.row_count else "It has no settings.")
        console.print()


def _settings(model: type[BaseModel], path: str = "") -> Iterator[Setting]:
    """Yield the settings of a component, each section followed by its own."""
    for setting in settings_of(model):
        yield setting._replace(name=f"{path}{setting.name}")
        if section := model_at(model, (setting.name,)):
            yield from _settings(section, f"{path}{setting.name}.")


def _find(registry: Registry, name: str) -> list[tuple[Plugin | None, Kind, type[Component]]]:
    if ":" in name:
        cls = import_class(name)
        return [(None, kind_of(cls), cls)]
    parts: list[tuple[Plugin | None, Kind, type[Component]]] = [
        (plugin, kind, cls)
        for plugin in registry.plugins
        if not plugin.error
        for (kind, each), cls in plugin.components.items()
        if name in (each, plugin.name)
    ]
    for plugin in registry.broken:
        if plugin.error and not parts and name in (plugin.name, *(each for _, each in plugin.components)):
            raise plugin.error
    if not parts:
        known = {each for plugin in registry.plugins for _, each in plugin.components}
        known |= {plugin.name for plugin in registry.plugins}
        raise UnknownName.of("component or plugin", name, known, registry.advice(name))
    return parts
