"""Plugins: the hooks they implement, how they are found, and the registry of their components."""

from eef_framework.plugins.discovery import current_registry, load_plugins
from eef_framework.plugins.hookspecs import hookimpl
from eef_framework.plugins.kinds import Kind
from eef_framework.plugins.plugin import Plugin
from eef_framework.plugins.registry import Registry, Spec

__all__ = ["Kind", "Plugin", "Registry", "Spec", "current_registry", "hookimpl", "load_plugins"]
