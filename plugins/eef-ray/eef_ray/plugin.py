"""Registers the executor `ray`."""

from __future__ import annotations

from collections.abc import Callable

from eef_framework.interfaces import Executor
from eef_framework.plugins import hookimpl
from eef_ray.executor import RayExecutor


@hookimpl
def register_executors(register: Callable[[type[Executor]], None]) -> None:
    """Register the executor."""
    register(RayExecutor)
