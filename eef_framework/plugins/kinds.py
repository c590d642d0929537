"""The kinds of components that plugins provide."""

from __future__ import annotations

from typing import Literal

from eef_framework.errors import PluginError
from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    Executor,
    Expert,
    Filter,
    Policy,
    Tracker,
    Trainer,
)

Kind = Literal["environment", "expert", "policy", "attributor", "filter", "trainer", "executor", "tracker"]

KINDS: dict[Kind, type[Component]] = {
    "environment": Environment,
    "expert": Expert,
    "policy": Policy,
    "attributor": Attributor,
    "filter": Filter,
    "trainer": Trainer,
    "executor": Executor,
    "tracker": Tracker,
}
"""Kind -> the interface that a class of this kind implements."""

HOOKS: dict[str, Kind] = {
    "register_environments": "environment",
    "register_experts": "expert",
    "register_policies": "policy",
    "register_attributors": "attributor",
    "register_filters": "filter",
    "register_trainers": "trainer",
    "register_executors": "executor",
    "register_trackers": "tracker",
}
"""Hook -> the kind it registers."""


def kind_of(cls: type[Component]) -> Kind:
    """Return the kind of component that a class is.

    Raises:
        PluginError: it implements none of the interfaces.
    """
    for kind, base in KINDS.items():
        if isinstance(cls, type) and issubclass(cls, base):
            return kind
    bases = ", ".join(base.__name__ for base in KINDS.values())
    raise PluginError(f"{cls!r} is no component", f"Derive a class from one of {bases} of eef_framework.interfaces.")
