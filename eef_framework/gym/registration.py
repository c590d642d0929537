"""Importing this registers every installed environment with Gymnasium, as `eef/<class name>-v0`.

Gymnasium imports the module named before the id: `gymnasium.make("eef_framework.gym.registration:eef/Shop-v0")`. Since
version 1.0 it doesn't use entry points any more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium

from eef_framework.errors import EefWarning
from eef_framework.gym.from_gymnasium import GymnasiumEnvironment
from eef_framework.gym.to_gymnasium import EefEnv
from eef_framework.plugins import Registry, load_plugins

ENTRY_POINT = "eef_framework.gym.to_gymnasium:EefEnv"


def register_envs(registry: Registry | None = None) -> list[str]:
    """Register environments with Gymnasium. Existing registrations are kept.

    Settings are passed to `gymnasium.make`: `gymnasium.make("eef/Shop-v0", split="test", products=500)`.

    Args:
        registry: registry with the environments; by default the installed plugins.

    Returns:
        The ids, in the order of the environments' names.
    """
    entry_point = ENTRY_POINT if registry is None else _made_with(registry)
    registry = registry or load_plugins()
    ids = []
    for name in registry.names("environment"):
        cls = registry.get("environment", name)
        if issubclass(cls, GymnasiumEnvironment):
            continue  # wraps a Gymnasium environment
        env_id, arguments = f"eef/{cls.__name__}-v0", {"environment": name}
        known = gymnasium.registry.get(env_id)
        if known is None:
            gymnasium.register(env_id, entry_point=entry_point, kwargs=arguments)
        elif known.kwargs != arguments:
            other = known.kwargs.get("environment")
            warnings.warn(
                EefWarning(
                    f"{env_id} is environment {other!r}, not {name!r}",
                    code="gymnasium-id-taken",
                    id=env_id,
                    environment=name,
                ),
                stacklevel=2,
            )
            continue
        ids.append(env_id)
    return ids


def _made_with(registry: Registry) -> Callable[..., EefEnv]:
    """Return an entry point that looks environments up in this registry. Gymnasium stores a function unchanged."""

    def make(**arguments: Any) -> EefEnv:
        return EefEnv(registry=registry, **arguments)

    make.metadata = EefEnv.metadata  # type: ignore[attr-defined] # where Gymnasium looks for render modes
    return make


register_envs()
