"""A check for any kind of component."""

from __future__ import annotations

from typing import Any

from eef_framework.errors import ConfigError
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
from eef_framework.plugins.import_path import class_given
from eef_framework.testing.conformance.attributor import check_attributor
from eef_framework.testing.conformance.environment import check_environment
from eef_framework.testing.conformance.executor import check_executor
from eef_framework.testing.conformance.expert import check_expert
from eef_framework.testing.conformance.filter import check_filter
from eef_framework.testing.conformance.policy import check_policy
from eef_framework.testing.conformance.tracker import check_tracker
from eef_framework.testing.conformance.trainer import check_trainer


def check_component(
    component: Component,
    environment: Environment | None = None,
    policy: Policy | TrainablePolicy | None = None,
    **options: Any,
) -> None:
    """Check that a component keeps the contract of its kind.

    Args:
        component: what to check.
        environment: for an expert.
        policy: for a trainer.
        options: further arguments of the check of its kind.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
        ConfigError: an argument is missing, or there is no check for its kind.
    """
    if isinstance(component, type):
        raise class_given(component)
    name = component.component_name()
    if isinstance(component, Expert):
        if environment is None:
            raise ConfigError(
                f"the check of expert {name!r} needs an environment",
                "Pass environment=..., or --env on the command line.",
                code="expert-without-environment",
                expert=name,
            )
        check_expert(component, environment, **options)
    elif isinstance(component, Trainer):
        if policy is None:
            raise ConfigError(
                f"the check of trainer {name!r} needs a policy",
                "Pass policy=..., or --policy on the command line.",
                code="trainer-without-policy",
                trainer=name,
            )
        if not isinstance(policy, TrainablePolicy):
            raise ConfigError(
                f"the check of trainer {name!r} got policy {policy.component_name()!r}, which has no weights to train",
                "Pass another policy=..., or --policy on the command line.",
                code="policy-without-weights",
                policy=policy.component_name(),
            )
        check_trainer(component, policy, **options)
    else:
        check = next((CHECKS[kind] for kind in CHECKS if isinstance(component, kind)), None)
        if check is None:
            kinds: list[type[Component]] = [Expert, Trainer, *CHECKS]
            raise ConfigError(
                f"there is no check for components of type {type(component).__name__}",
                f"Checked are: {', '.join(kind.__name__ for kind in kinds)}.",
                code="no-such-check",
            )
        check(component, **options)


CHECKS: dict[type[Component], Any] = {
    Environment: check_environment,
    Policy: check_policy,
    TrainablePolicy: check_policy,
    Attributor: check_attributor,
    Filter: check_filter,
    Executor: check_executor,
    Tracker: check_tracker,
}
"""Checks that need only the component."""
