"""Finds and loads installed plugins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from eef_framework.errors import UnknownName
from eef_framework.plugins.distributions import distribution_of
from eef_framework.plugins.hookspecs import GROUP
from eef_framework.plugins.import_path import add_cwd_to_sys_path
from eef_framework.plugins.plugin import Plugin
from eef_framework.plugins.registry import BUILDING, Registry

BUILTIN = EntryPoint(name="builtin", value="eef_framework.builtin", group=GROUP)
"""The built-in plugin, available even if the core runs from a source tree."""


def load_plugins(selection: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Registry:
    """Load the installed plugins. One that fails is kept as broken, and the rest works.

    Args:
        selection: names of the plugins to load besides the built-in parts; a name with a dot is a module of the
            user's own. None means those that the environment variable `EEF_PLUGINS` lists (`a,b`), or all that are
            installed where it isn't set.
        environ: the environment variables.

    Raises:
        UnknownName: the selection names a plugin that isn't installed.
        PluginError: the selection names a plugin that is broken.
    """
    if selection is None and "EEF_PLUGINS" in environ:
        selection = [name.strip() for name in environ["EEF_PLUGINS"].split(",") if name.strip()]
    entries = discover()
    if selection is None:
        return Registry([load(entry) for entry in entries])
    entries += [EntryPoint(name, name, GROUP) for name in selection if "." in name]
    names = [entry.name for entry in entries]
    for name in selection:
        if name not in names:
            distribution = distribution_of(name)
            raise UnknownName.of("plugin", name, names, f"pip install {distribution}" if distribution else "")
    chosen = {BUILTIN.name, *selection}
    registry = Registry([load(entry) for entry in entries if entry.name in chosen], sorted(set(names) - chosen))
    for plugin in registry.broken:
        if plugin.error and plugin.name in selection:
            raise plugin.error
    return registry


def current_registry() -> Registry:
    """Return the registry that a component which builds other components should build them with.

    Within `Registry.build` it is that registry, so that a component sees the plugins of its run: those chosen with
    `--plugins`, and classes of the user's own code. A component that needs it later keeps it when it is built. Outside,
    it is a registry of the installed plugins.
    """
    return BUILDING.get(None) or load_plugins()


def discover() -> list[EntryPoint]:
    """Return the entry points of all installed plugins, the built-in parts first."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name != BUILTIN.name, entry.name))
    return found if found and found[0].name == BUILTIN.name else [BUILTIN, *found]


def load(entry: EntryPoint) -> Plugin:
    """Load one plugin; any failure is stored in its `error`."""
    plugin = Plugin(entry.name)
    if entry.dist is not None:
        plugin.distribution, plugin.version = entry.dist.name, entry.dist.version
        plugin.summary = entry.dist.metadata["Summary"] or ""
    try:
        add_cwd_to_sys_path()
        plugin.attach(entry.load())
    except (Exception, SystemExit) as cause:
        plugin.fail(cause)
    return plugin
