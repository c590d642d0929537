"""Registers TextWorld, its experts and recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from eef_framework.plugins import hookimpl
from eef_textworld.environment import TextWorld
from eef_textworld.experts import TextWorldFallible, TextWorldWalkthrough


@hookimpl
def register_environments(register: Callable[[type[Any]], None]) -> None:
    """Register the environment."""
    register(TextWorld)


@hookimpl
def register_experts(register: Callable[[type[Any]], None]) -> None:
    """Register the experts for it."""
    register(TextWorldWalkthrough)
    register(TextWorldFallible)


@hookimpl
def register_recipes(register: Callable[[Path | Mapping[str, Path]], None]) -> None:
    """Register the recipes."""
    register(Path(str(resources.files("eef_textworld") / "recipes")))
