"""Registers ScienceWorld and its experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eef_framework.plugins import hookimpl
from eef_sciworld.environment import SciWorld
from eef_sciworld.experts import FallibleExpert, GoldExpert


@hookimpl
def register_environments(register: Callable[[type[Any]], None]) -> None:
    """Register ScienceWorld."""
    register(SciWorld)


@hookimpl
def register_experts(register: Callable[[type[Any]], None]) -> None:
    """Register the experts for it."""
    register(GoldExpert)
    register(FallibleExpert)
