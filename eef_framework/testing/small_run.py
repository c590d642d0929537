"""Settings of a run in the corridor that takes less than a second."""

from __future__ import annotations

from typing import Any

from eef_framework.config.schema import RunConfig
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer


def small_settings(train: int = 8, test: int = 6, **changes: Any) -> dict[str, Any]:
    """Return settings as plain data. Their components are registered by `eef_framework.testing.plugin`.

    Args:
        train: number of training tasks.
        test: number of evaluation tasks.
        changes: sections that replace or extend these settings. Without an attributor, nothing is attributed.
    """
    return {
        "environment": "corridor",
        "expert": "corridor-expert",
        "policy": "lookup",
        "format": {"history": 1},
        "iterations": 1,
        "collect": {"tasks": {"split": "train", "count": train}},
        "clone": {"trainer": "lookup"},
        "evaluate": {"tasks": {"split": "test", "count": test}},
    } | changes


def small_config(train: int = 8, test: int = 6, **changes: Any) -> RunConfig:
    """Return the same settings with objects as components, which need no plugin."""
    components: dict[str, Any] = {
        "environment": Corridor(),
        "expert": CorridorExpert(),
        "policy": LookupPolicy(),
        "clone": {"trainer": LookupTrainer()},
    }
    return RunConfig(**small_settings(train, test, **components | changes))
