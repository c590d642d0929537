"""Pytest fixtures. To use them, put `pytest_plugins = ["eef_framework.testing.fixtures"]` into `conftest.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eef_framework.records import Example, Trajectory
from eef_framework.testing import conformance
from eef_framework.testing.conformance import examples
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer
from eef_framework.testing.queue_policy import QueuePolicy, ScriptedPolicy
from eef_framework.testing.small_run import small_settings


@pytest.fixture
def corridor() -> Corridor:
    """The corridor with its default settings."""
    return Corridor()


@pytest.fixture
def corridor_expert() -> CorridorExpert:
    """An expert for the corridor that succeeds about four times in ten."""
    return CorridorExpert()


@pytest.fixture
def queue_policy() -> QueuePolicy:
    """A policy that answers `go[east]` twice, then `open[door]`."""
    return QueuePolicy(answers=("Action: go[east]", "Action: go[east]", "Action: open[door]"))


@pytest.fixture
def scripted_policy() -> ScriptedPolicy:
    """A policy that chooses the right action about every other time."""
    return ScriptedPolicy()


@pytest.fixture
def lookup_policy() -> LookupPolicy:
    """A policy with an empty table, which acts at random."""
    return LookupPolicy()


@pytest.fixture
def lookup_trainer() -> LookupTrainer:
    """The trainer of the lookup policy."""
    return LookupTrainer()


@pytest.fixture
def demonstrations() -> list[Trajectory]:
    """Six successful episodes in the corridor, without wrong actions."""
    return examples.demonstrations()


@pytest.fixture
def training_examples() -> list[Example]:
    """An example for each state of the demonstrations."""
    return examples.examples()


@pytest.fixture
def check_component() -> Callable[..., None]:
    """The conformance check for any component: `check_component(MyExpert(), environment=MyGame())`."""
    return conformance.check_component


@pytest.fixture
def tiny_run_config() -> dict[str, Any]:
    """The settings of a whole run of the method that takes milliseconds, as plain data for `RunConfig`.

    It uses the components of `eef_framework.testing.plugin`, which has to be loaded, and the attributor `interval` of
    the distribution eef-attribution.
    """
    return small_settings(20, 12, iterations=2, attributor={"name": "interval", "probes": 3})
