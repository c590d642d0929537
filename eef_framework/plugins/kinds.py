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
    TrainablePolicy,
    Trainer,
)

Kind = Literal["environment", "expert", "policy", "attributor", "filter", "trainer", "executor", "tracker"]

KINDS: dict[Kind, tuple[type[Component], ...]] = {
    "environment": (Environment,),
    "expert": (Expert,),
    "policy": (Policy, TrainablePolicy),
    "attributor": (Attributor,),
    "filter": (Filter,),
    "trainer": (Trainer,),
    "executor": (Executor,),
    "tracker": (Tracker,),
}
"""Kind -> the interfaces; a class of this kind implements one of them."""

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
    for kind, interfaces in KINDS.items():
        if isinstance(cls, type) and issubclass(cls, interfaces):
            return kind
    names = ", ".join(interface.__name__ for interfaces in KINDS.values() for interface in interfaces)
    raise PluginError(f"{cls!r} isn't a component", f"Derive a class from one of {names} of eef_framework.interfaces.")


def interface_names(kind: Kind) -> str:
    """Return the names of the interfaces of a kind: `Policy or TrainablePolicy`."""
    return " or ".join(interface.__name__ for interface in KINDS[kind])
