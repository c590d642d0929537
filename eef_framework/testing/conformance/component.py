"""A check for any kind of component."""

from __future__ import annotations

from contextlib import ExitStack
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
from eef_framework.plugins import Registry, current_registry
from eef_framework.plugins.import_path import class_given
from eef_framework.testing.conformance.attributor import check_attributor
from eef_framework.testing.conformance.environment import check_environment
from eef_framework.testing.conformance.executor import check_executor
from eef_framework.testing.conformance.expert import check_expert
from eef_framework.testing.conformance.filter import check_filter
from eef_framework.testing.conformance.policy import check_policy
from eef_framework.testing.conformance.tracker import check_tracker
from eef_framework.testing.conformance.trainer import check_trainer

DEFAULT_POLICY = "transformers"
"""The policy that trainers are checked with if no other one belongs to them."""


def check_component(
    component: Component,
    environment: Environment | None = None,
    policy: Policy | TrainablePolicy | None = None,
    **options: Any,
) -> None:
    """Check that a component keeps the contract of its kind.

    Args:
        component: what to check.
        environment: for an expert. Default: the only environment of its plugin or module, with its default settings.
        policy: for a trainer. Default: its own policy, or the only one of its plugin or module, or `transformers`.
        options: further arguments of the check of its kind.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
        ConfigError: an argument is missing, or there is no check for its kind.
    """
    if isinstance(component, type):
        raise class_given(component)
    with ExitStack() as stack:
        if isinstance(component, Expert):
            if environment is None:
                environment = stack.enter_context(environment_for(type(component), current_registry())())
            check_expert(component, environment, **options)
        elif isinstance(component, Trainer):
            if policy is None:
                policy = stack.enter_context(policy_for(type(component), current_registry())())
            if not isinstance(policy, TrainablePolicy):
                raise ConfigError(
                    f"the check of trainer {component.component_name()!r} got policy {policy.component_name()!r}, "
                    "which has no weights to train",
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


def environment_for(expert: type[Component], registry: Registry) -> type[Environment]:
    """Return the only environment that comes with an expert.

    Raises:
        ConfigError: there is none, or several (`expert-without-environment`).
    """
    found = registry.companions(expert, Environment)
    if len(found) == 1:
        return found[0]
    name, names = registry.name_of(expert), [registry.name_of(each) for each in found]
    names = names or registry.names("environment")
    raise ConfigError(
        f"the check of expert {name!r} needs an environment",
        f"Pass environment=..., or --env on the command line: {', '.join(names) or 'none is installed'}.",
        code="expert-without-environment",
        expert=name,
        environments=names,
    )


def policy_for(trainer: type[Component], registry: Registry) -> type[Any]:
    """Return the policy of a trainer: its own, or the only one that comes with it, or `transformers`."""
    beside = registry.companions(trainer, TrainablePolicy)
    own = getattr(trainer, "policies", ())[:1] or (beside if len(beside) == 1 else ())
    return own[0] if own else registry.get("policy", DEFAULT_POLICY)


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
