"""Compares an episode with an earlier one that had the same actions."""

from __future__ import annotations

from eef_framework.interfaces import Session
from eef_framework.records import Step, Task
from eef_framework.testing.conformance.context import difference
from eef_framework.testing.conformance.violation import Violation, quoted

DETERMINISM = "Make everything depend only on task and actions: derive seeds from the task, sort sets and folders."
ISOLATION = "Keep the state of an episode in its session, not in the environment, the class or a shared object."

Divergence = tuple[int, str, str, object, object]
"""State, the action before it, and the field of the step that differs, with expected and actual value."""


def divergence(session: Session, steps: list[Step], state: int = 0) -> Divergence | None:
    """Repeat recorded steps and return the first difference."""
    for number, expected in enumerate(steps, state + 1):
        if session.done:
            return number - 1, "", "done", False, True
        if found := difference(expected, session.step(expected.action)):
            return number, expected.action, *found
    return None


def divergence_violation(rule: str, task: Task, found: Divergence, fix: str) -> Violation:
    """Return the violation for a divergence."""
    state, action, name, expected, actual = found
    where = f"task {task.id!r}, state {state}" + (f", after {quoted(action)}" if action else "")
    return Violation(rule, where, f"{name} {quoted(expected)}", f"{name} {quoted(actual)}", fix)
