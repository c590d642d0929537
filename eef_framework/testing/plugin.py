"""Registers the test doubles. It has no entry point: tests load it by name."""

from __future__ import annotations

from collections.abc import Callable

from eef_framework.interfaces import Component
from eef_framework.plugins import hookimpl
from eef_framework.testing.corridor import BlockingCorridor, Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer
from eef_framework.testing.queue_policy import QueuePolicy, ScriptedPolicy

Register = Callable[[type[Component]], None]


@hookimpl
def register_environments(register: Register) -> None:
    """Register the corridors."""
    register(Corridor)
    register(BlockingCorridor)


@hookimpl
def register_experts(register: Register) -> None:
    """Register the scripted expert of the corridor."""
    register(CorridorExpert)


@hookimpl
def register_policies(register: Register) -> None:
    """Register the policies without a model."""
    register(QueuePolicy)
    register(ScriptedPolicy)
    register(LookupPolicy)


@hookimpl
def register_trainers(register: Register) -> None:
    """Register the trainer of the lookup policy."""
    register(LookupTrainer)
