"""Checks that a component keeps its contract. Each violation says what was expected, what was found, and how to fix it.

def test_my_environment_keeps_its_contract():
    check_environment(MyEnvironment())
"""

from eef_framework.testing.conformance.attributor import attributor_violations, check_attributor
from eef_framework.testing.conformance.component import check_component
from eef_framework.testing.conformance.environment import check_environment, environment_violations
from eef_framework.testing.conformance.executor import check_executor, executor_violations
from eef_framework.testing.conformance.expert import check_expert, expert_violations
from eef_framework.testing.conformance.filter import check_filter, filter_violations
from eef_framework.testing.conformance.policy import check_policy, policy_violations
from eef_framework.testing.conformance.tracker import check_tracker, tracker_violations
from eef_framework.testing.conformance.trainer import check_trainer, trainer_violations
from eef_framework.testing.conformance.violation import Nonconformance, Violation

__all__ = [
    "Nonconformance",
    "Violation",
    "attributor_violations",
    "check_attributor",
    "check_component",
    "check_environment",
    "check_executor",
    "check_expert",
    "check_filter",
    "check_policy",
    "check_tracker",
    "check_trainer",
    "environment_violations",
    "executor_violations",
    "expert_violations",
    "filter_violations",
    "policy_violations",
    "tracker_violations",
    "trainer_violations",
]
