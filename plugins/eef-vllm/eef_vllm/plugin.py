"""Registers the policy `vllm`."""

from __future__ import annotations

from collections.abc import Callable

from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.plugins import hookimpl
from eef_vllm.policy import VllmPolicy


@hookimpl
def register_policies(register: Callable[[type[Policy] | type[TrainablePolicy]], None]) -> None:
    """Register the policy."""
    register(VllmPolicy)
