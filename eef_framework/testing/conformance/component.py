"""One check for components of every kind."""

from __future__ import annotations

from typing import Any

from eef_framework.errors import ConfigError
from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    Expert,
    Filter,
    Policy,
    TrainablePolicy,
    Trainer,
)
from eef_framework.testing.conformance.attributor import check_attributor
from eef_framework.testing.conformance.environment import check_environment
from eef_framework.testing.conformance.expert import check_expert
from eef_framework.testing.conformance.filter import check_filter
from eef_framework.testing.conformance.policy import check_policy
from eef_framework.testing.conformance.trainer import check_trainer


def check_component(
    component: Component,
    environment: Environment | None = None,
    policy: TrainablePolicy | None = None,
    **options: Any,
) -> None:
    """Check that a component keeps the contract of its kind.

    Args:
        component: what to check.
        environment: where an expert demonstrates.
        policy: whose weights a trainer trains.
        options: further arguments of the kind's own check.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
        ConfigError: its check needs something that wasn't given, or there is none for it.
    """
    name = component.component_name()
    if isinstance(component, Expert):
        if environment is None:
            raise ConfigError(f"expert {name!r} needs an environment to demonstrate in", "Name one with --env.")
        check_expert(component, environment, **options)
    elif isinstance(component, Trainer):
        if policy is None:
            raise ConfigError(f"trainer {name!r} needs a policy whose weights it trains", "Name one with --policy.")
        check_trainer(component, policy, **options)
    else:
        check = next((CHECKS[kind] for kind in CHECKS if isinstance(component, kind)), None)
        if check is None:
            raise ConfigError(f"{name!r} is no component of a kind that has a check", "See eef_framework.interfaces.")
        check(component, **options)


CHECKS: dict[type[Component], Any] = {
    Environment: check_environment,
    Policy: check_policy,
    TrainablePolicy: check_policy,
    Attributor: check_attributor,
    Filter: check_filter,
}
"""The checks that need nothing else."""
