"""Importing this registers every installed environment with Gymnasium, as `eef/<class name>-v0`.

Gymnasium imports a module that is named before the id: `gymnasium.make("eef_framework.gym.envs:eef/Shop-v0")`. Up to
its version 0.29 it found environments by entry points; from 1.0 on it doesn't.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium

from eef_framework.gym.env import EefEnv
from eef_framework.gym.environment import GymnasiumEnvironment
from eef_framework.plugins import Registry, load_plugins

ENTRY_POINT = "eef_framework.gym.env:EefEnv"


def register_envs(registry: Registry | None = None) -> list[str]:
    """Register environments with Gymnasium; those it knows already are left as they are.

    Settings are arguments of `gymnasium.make`: `gymnasium.make("eef/Shop-v0", split="test", products=500)`.

    Args:
        registry: source of the environments; the installed ones by default.

    Returns:
        The ids, in the order of the environments' names.
    """
    entry_point = ENTRY_POINT if registry is None else _made_with(registry)
    registry = registry or load_plugins()
    ids = []
    for name in registry.names("environment"):
        cls = registry.get("environment", name)
        if issubclass(cls, GymnasiumEnvironment):
            continue  # Gymnasium's own
        env_id, arguments = f"eef/{cls.__name__}-v0", {"environment": name}
        known = gymnasium.registry.get(env_id)
        if known is None:
            gymnasium.register(env_id, entry_point=entry_point, kwargs=arguments)
        elif known.kwargs != arguments:
            warnings.warn(f"{env_id} is environment {known.kwargs.get('environment')!r}, not {name!r}", stacklevel=2)
            continue
        ids.append(env_id)
    return ids


def _made_with(registry: Registry) -> Callable[..., EefEnv]:
    """Return an entry point for environments that only this registry may know. Gymnasium copies a function as it is."""

    def make(**arguments: Any) -> EefEnv:
        return EefEnv(registry=registry, **arguments)

    make.metadata = EefEnv.metadata  # type: ignore[attr-defined] # where Gymnasium looks for render modes
    return make


register_envs()
