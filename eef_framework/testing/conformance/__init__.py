"""Conformance: does a component keep its contract? Every violation says what was expected, what is, and how to fix it.

def test_my_environment_keeps_its_contract():
check_environment(MyEnvironment())
"""

from eef_framework.testing.conformance.attributor import attributor_violations, check_attributor
from eef_framework.testing.conformance.environment import check_environment, environment_violations
from eef_framework.testing.conformance.violation import Nonconformance, Violation

__all__ = [
    "Nonconformance",
    "Violation",
    "attributor_violations",
    "check_attributor",
    "check_environment",
    "environment_violations",
]
